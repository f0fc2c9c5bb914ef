"""An interpreter that has an older dgad installed, as the nodes of a cluster may."""

import subprocess
import sys
import sysconfig
from pathlib import Path

OLDER = "0.0.1"


def interpreter_with_older_dgad(folder: Path) -> str:
    """Path of a python with everything that this one has, but with dgad 0.0.1 in its own site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", folder], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    libraries = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # `addsitedir` and not a plain path: it also takes up what is installed in editable mode there.
    (site_packages / "libraries.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in libraries)
    )
    for package in ("dgad", "tune", "serve", "cluster"):
        (site_packages / package).mkdir()
        (site_packages / package / "__init__.py").write_text(f"OLDER = {OLDER!r}\n")
    metadata = site_packages / f"dgad-{OLDER}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: dgad\nVersion: {OLDER}\n")
    return str(folder / "bin" / "python")

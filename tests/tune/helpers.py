"""A run on the tests' data, without a search around it."""

from pathlib import Path

from tests.tune.conftest import DOMAINS
from tune.fits.run import Run
from tune.study.settings import Study


def run_on(data: Path, folder: Path) -> Run:
    """A run in `folder`/x whose executor fits and scores in this process; what it shares is in `folder`."""
    return Run(
        folder=folder / "x",
        store=str(folder / "x"),
        study=Study(name="x", data=str(data), num_references="3", scale="squash 64"),
        data=str(data),
        domains=DOMAINS,
        data_fingerprint="f",
        code_version="1",
        device="cpu",
        num_threads=1,
        cache_bytes=64 * 1024**2,
    )

"""The templates of cluster files that dgad ships."""

import importlib.metadata
import importlib.resources
import sys

from dgad.errors import SettingsError
from dgad.settings import did_you_mean

TEMPLATES: dict[str, str] = {
    "on-prem": "machines that you have, by ssh",
    "aws-gpu": "AWS, with GPU workers at spot prices",
    "gcp-gpu": "Google Cloud, with preemptible GPU workers",
    "rayjob": "Kubernetes: one study, by KubeRay",
    "rayservice": "Kubernetes: a service that stays, by KubeRay",
}
"""The use of each template, by its name."""


def render_template(name: str) -> str:
    """Fill in the Ray and the Python that run here into a template; what only the user knows is left.

    Raises `SettingsError` for a name that is not in `TEMPLATES`.
    """
    if name not in TEMPLATES:
        allowed = ", ".join(TEMPLATES)
        raise SettingsError(
            f"There is no template `{name}`.{did_you_mean(name, TEMPLATES)} Choose one of {allowed}."
        )
    text = (importlib.resources.files("cluster.file") / "templates" / f"{name}.yaml").read_text(
        encoding="utf-8"
    )
    values = {
        "ray_version": importlib.metadata.version("ray"),
        "python_tag": f"py{sys.version_info.major}{sys.version_info.minor}",
    }
    for key, value in values.items():
        text = text.replace(f"{{{{{key}}}}}", value)
    return text

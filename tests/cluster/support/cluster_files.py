"""Cluster files for tests: a sound one of provider local, and templates with their places filled in."""

import re
from pathlib import Path

from cluster.file.template_files import render_template

SOUND = """\
cluster_name: small
provider:
    type: local
    head_ip: 10.0.0.1
    worker_ips: [10.0.0.2, 10.0.0.3]
auth:
    ssh_user: ada
    ssh_private_key: ~/.ssh/key
file_mounts:
    "~/.ray/auth_token": "~/.ray/auth_token"
setup_commands:
    - pip install "ray[default]=={version}"
head_start_ray_commands:
    - ray stop
    - >-
        RAY_AUTH_MODE=token RAY_enable_autoscaler_v2=0 ray start --head --port=6379 --disable-usage-stats
        --autoscaling-config=~/ray_bootstrap_config.yaml
worker_start_ray_commands:
    - ray stop
    - RAY_AUTH_MODE=token ray start --address=$RAY_HEAD_IP:6379
"""

FILLED = {
    "HEAD_IP": "10.0.0.1",
    "WORKER_IP": "10.0.0.2",
    "SSH_USER": "ada",
    "SSH_KEY": "~/.ssh/key",
    "DGAD_SOURCE": "~/source",
    "KEY_NAME": "key",
    "AMI_ID": "ami-0",
    "PROJECT_ID": "project",
    "SOURCE_IMAGE": "projects/p/global/images/family/f",
    "NAME": "my_surfaces",
    "DATA_URI": "s3://bucket/data",
    "RUNS_URI": "s3://bucket/runs",
    "IMAGE": "images.example/dgad:1",
    "BUNDLE": "/opt/dgad/bundle",
    "STORE_URI": "s3://bucket/references",
}
"""What a user puts in for each placeholder."""


def furnish_home(home: Path) -> None:
    """The files that the cluster files here name below a home folder."""
    for name in (".ssh/key", ".ray/auth_token"):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
        path.chmod(0o600)
    (home / "source").mkdir()


def write(path: Path, text: str) -> Path:
    """The text in a file."""
    path.write_text(text)
    return path


def filled_template(name: str) -> str:
    """A template with everything put in that its comments ask for."""
    lines = []
    for line in render_template(name).splitlines():
        comment = line.lstrip().startswith("#")
        lines.append(line if comment else re.sub(r"<([A-Z_]+)>", lambda m: FILLED[m[1]], line))
    return "\n".join(lines) + "\n"

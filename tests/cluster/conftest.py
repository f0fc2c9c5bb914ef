"""One Ray of two nodes for all tests of this folder."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.support.older_install import interpreter_with_older_dgad
from tests.cluster.support.ray_nodes import RayNodes, ray_nodes


@pytest.fixture(scope="package")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    """A running head and one worker, of two CPUs each, with an older dgad installed on both.

    They are gone after the last test of this folder.
    """
    folder = tmp_path_factory.mktemp("ray")
    python = interpreter_with_older_dgad(folder / "venv")
    with ray_nodes(folder, 2, python=python, environment={"PYTHONPATH": ""}) as running:
        yield running


@pytest.fixture
def driver_environment(two_nodes: RayNodes) -> dict[str, str]:
    """Of a process that has this checkout's code and connects to those nodes."""
    return {**two_nodes.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

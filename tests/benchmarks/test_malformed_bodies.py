"""benchmarks/malformed_bodies.py with a few requests, against a real bundle, store and scorer."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "malformed_bodies.py"


@pytest.mark.slow
def test_a_few_of_each_kind() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--count", "17", "--seed", "3", "--examples", "0", "--bombs", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "17 malformed requests (seed 3): 0 answers of 5xx, 0 wrong." in done.stdout
    assert "\nA good photograph afterwards: 200.\n" in done.stdout
    assert "\nMost memory: " in done.stdout
    assert "\nAnother's " in done.stdout

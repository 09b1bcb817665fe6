"""Nothing stays on the CPU that belongs on a GPU; checked without one, see `tests/another_device`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).parents[1] / "another_device" / "checks.py"


def run_checks(device: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)]
    environment = {**os.environ, "LEAKFRONT_TEST_DEVICE": device}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=CHECKS.parents[2], env=environment, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


def test_steps_samplers_and_signals_compute_on_the_device_that_they_are_given() -> None:
    run_checks("pretended")


@pytest.mark.gpu
def test_they_do_so_on_a_gpu() -> None:
    run_checks("cuda")

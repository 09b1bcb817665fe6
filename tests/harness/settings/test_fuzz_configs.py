"""Any config is planned or refused in one sentence: no traceback, no hang, no exhausted memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.containment import LONGEST, contained, fault, warm_up
from tests.hostile_configs import FILES, Case, hostile_files, hostile_overrides, hostile_settings

fixed = settings(  # stress/fuzz_configs.py tries 2,000 cases
    max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warm_up()
    return tmp_path_factory.mktemp("configs")


@fixed
@given(case=hostile_settings())
def test_absurd_settings_are_planned_or_named(place: Path, case: Case) -> None:
    assert not case.complaint(place)


@fixed
@given(case=hostile_files())
def test_files_that_are_no_config_are_named(place: Path, case: Case) -> None:
    assert not case.complaint(place)


@fixed
@given(case=hostile_overrides())
def test_overrides_are_applied_or_named(place: Path, case: Case) -> None:
    assert not case.complaint(place)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("splits=1000000000", "splits = 1000000000"),
        ("sampling.images=1000000000000000", "sampling.images = 1000000000000000 takes at least"),
        ("sampling.steps=1001", "must not exceed the model's timesteps, 1000"),
        ("training.batch_size=1000000000000", "training.batch_size = 1000000000000 takes at least"),
        ("data.pool=1000000000000", "pool = 1000000000000"),
        ("data.duplicates.copies=1000000", "at most 1,000,000 are planted"),
        ("data.duplicates.copies=[1, 1000000]", "copies = [1, 1000000], which is 4,000,004 images; at most 1,000,000"),
        ("model.channels=[8000000]", "this process may use"),
        ("model.layers_per_block=1000000", "2000000 blocks"),
        ("model.timesteps=1000000000", "model.timesteps is 1000000000"),
        ("model.norm_groups=0", "model.norm_groups is 0"),
        ("attacks.loss.draws=1000000000", "attacks.loss: it asks the model more than"),
        ("attacks.pfami.crops=1000000000000", "attacks.pfami.crops is 1000000000000"),
        ("execution.threads=1000000", "execution.threads is 1000000"),
        ("execution.device=cuda:99", "torch finds"),
        ("seed=true", "seed = True"),
        ('training.steps="5"', "training.steps = '5'"),
        ("seed=1" + "0" * 19, "'seed' in the config is an integer beyond 64 bits"),
        ("title=1" + "0" * 5000, "--set title"),
        ("model.attention=" + "[" * 30 + "]" * 30, "'model' in the config is nested deeper"),
        ("data.dataset=folder:a\0b", "null character"),
        ("data.dataset=folder:" + "a" * 5000, "cannot be resolved"),
        ("data.dataset=npz:" + "a" * 5000, "cannot be resolved"),
        ("data.params.root=" + "a" * 5000, "cannot be resolved"),
        ("metrics={features = 'dinov2', features_params = {folder = '" + "a" * 5000 + "'}}", "'dinov2' cannot be"),
        ("data.dataset=folder:~nobody-of-that-name", "cannot be resolved"),
        ("defenses=[{name = 'dp_sgd', epsilon = [" + "1," * 40 + "], steps = [" + "1," * 40 + "]}]", "over 1600"),
        ("defenses=[{name = 'none', label = '" + "a" * 300 + "'}]", "too long for a folder's name"),
    ],
)  # fmt: skip
def test_absurd_sizes_are_refused_before_anything_is_allocated(place: Path, argument: str, says: str) -> None:
    from click.testing import CliRunner

    from leakfront.cli import main

    with contained():
        dataset = ("--set", "data.dataset=mnist") if argument.startswith("data.params.root") else ()
        result = CliRunner().invoke(main, ["run", "digits", "--smoke", "--dry-run", "--set", argument, *dataset])
    assert not fault(result)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("steps", [10**9, 10**18])
def test_a_budget_that_never_ends_is_planned_all_the_same(place: Path, steps: int) -> None:
    assert not Case(FILES[3], ("--smoke", "--set", f"training.steps={steps}")).complaint(place)  # FILES[3]: with a BOM


@pytest.mark.parametrize(
    "arguments",
    [
        ["{}"], ["."], ["a\nb"], ["digits", "--set", "x"], ["digits", "--out", "a" * 5000],
        ["digits", "--set", "a=" + "[" * 5000],
    ],
)  # fmt: skip
def test_the_process_exits_with_2_and_one_line(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "leakfront.cli", "run", *arguments, "--smoke", "--dry-run"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert len(ended.stderr) < LONGEST + 20
    assert not list(tmp_path.iterdir())


def test_the_smoke_size_hides_no_wrong_type(place: Path) -> None:
    case = Case(FILES[3].replace(b"pool = 640", b'pool = "many"'), ("--smoke",), ("data.pool = 'many'",))
    assert not case.complaint(place)
    from tests.containment import attempt

    _, result = attempt(["run", str(place / "c.toml"), "--dry-run", "--smoke"])
    assert result is not None
    assert result.exit_code == 2

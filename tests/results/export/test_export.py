"""A run in a tracker: every number under its own tag, settings without secrets and paths, one library asked."""

from __future__ import annotations

import ast
import inspect
import json
import math
import runpy
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace, TracebackType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.harness import export as export_command
from leakfront.results.export.numbers import exported
from leakfront.results.export.settings import without_paths, without_secrets_and_paths
from leakfront.results.run.data import RunData
from leakfront.results.run.rows import frame
from tests.synthetic_run import Strength, synthetic_run

STAND_INS = Path(__file__).parents[2] / "stand_ins"
LIBRARIES = ("tensorboard", "wandb", "trackio")
STRENGTHS = (Strength("none", copied=5, leak=1.0), Strength("dp_sgd", "epsilon=10", fid=90, epsilon=10.0))
CONFIG = {
    "name": "synthetic",
    "privacy_seed": 7,
    "data": {"dataset": "folder:/home/ann/faces of 2025", "params": {"root": "~ann/data", "reference": "C:\\ann\\out"}},
    "model": {"name": "pipeline", "path": "/srv/ann/model", "hub_token": "hf_1", "tokens": 77},
    "defenses": [{"name": "dp_sgd", "label": "as in /home/ann/notes.txt", "epsilon": [10.0]}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on data of somebody."""
    place = tmp_path_factory.mktemp("run")
    synthetic_run(place, STRENGTHS, splits=2, pool=64, samples=80, attacks=("extraction", "loss"))
    (place / "config.toml").write_text("")
    info = json.loads((place / "run.json").read_text())
    (place / "run.json").write_text(json.dumps({**info, "config": CONFIG, "versions": {"leakfront": "0.1"}}))
    return place


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stand-ins in place of the libraries, none of them imported yet."""
    monkeypatch.syspath_prepend(STAND_INS)
    held = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in LIBRARIES}
    yield
    for name in [*sys.modules]:
        if name.partition(".")[0] in LIBRARIES:
            del sys.modules[name]
    sys.modules.update(held)


def test_each_number_of_each_row_has_a_tag_with_its_cell_split_and_metric(folder: Path) -> None:
    run = RunData(folder)
    found = exported(run)
    expected: dict[str, float] = {}
    for row in run.rows.itertuples():
        level = "" if math.isnan(row.level) else f"@{row.level:g}"
        cell = f"{row.defense}_({row.params})" if row.params else row.defense.replace(" ", "_")
        split = row.split if row.split == "all" else f"split{row.split}"
        tag = f"{row.kind}/{row.source}/{row.metric}{level}/{cell}/{split}"
        if math.isfinite(row.value):
            ends = {tag: row.value, f"{tag}/low": row.ci_low, f"{tag}/high": row.ci_high}
            expected |= {key: number for key, number in ends.items() if math.isfinite(number)}
    assert found.numbers == expected
    assert {"privacy/loss/tpr_at_fpr@0.01/dp_sgd_(epsilon=10)/split0", "privacy/loss/auc/none/all/high"} <= set(
        expected
    )
    assert found.left_out == sum(not math.isfinite(value) for value in run.rows["value"])


def test_no_secret_and_no_absolute_path_is_in_the_settings(folder: Path) -> None:
    config = exported(RunData(folder)).settings["config"]
    assert config["data"] == {"dataset": "folder:faces of 2025", "params": {"root": "data", "reference": "out"}}
    assert config["model"] == {"name": "pipeline", "path": "model", "tokens": 77}
    assert config["defenses"] == [{"name": "dp_sgd", "label": "as in notes.txt", "epsilon": [10.0]}]
    assert "privacy_seed" not in config


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("digits", "digits"), ("folder:images/small", "folder:images/small"), ("1/3", "1/3"), ("cuda:0", "cuda:0"),
        ("and/or a / b", "and/or a / b"), ("https://example.org/a", "https://example.org/a"), ("/data", "data"),
        ("/data/x/", "x"), ("npz:/a/b.npz", "npz:b.npz"), ("file:///home/ann/a", "file:a"), ("\\\\host\\ann", "ann"),
        ("see (/home/ann/a), ~/b", "see (a), b"), ("~/x y/z", "z"), ("npz:D:\\ann\\b.npz", "npz:b.npz"),
    ],
)  # fmt: skip
def test_of_an_absolute_path_the_last_name_is_left(text: str, left: str) -> None:
    assert without_paths(text) == left
    assert without_secrets_and_paths({text: [text, 1, None]}) == {left: [left, 1, None]}


def test_a_path_in_the_strength_of_a_defense_is_in_no_tag(folder: Path, tmp_path: Path) -> None:
    strengths = (Strength("none"), Strength("public", "folder=/home/ann/faces"))
    run = synthetic_run(tmp_path, strengths, splits=1, pool=64, samples=80, attacks=("extraction",))
    assert any("/public_(folder=faces)/split0" in tag for tag in exported(run).numbers)
    assert not any("ann" in tag for tag in exported(run).numbers)


def test_two_rows_under_one_tag_are_refused(folder: Path, tmp_path: Path) -> None:
    from leakfront.results.run.rows import Row

    row = Row(run="r", cell="c", dataset="d", model="unet", defense="none", params="", split="0", kind="cost",
              source="train", metric="seconds", value=1.0)  # fmt: skip
    frame([row, row]).to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    with pytest.raises(InputError, match="has two numbers for cost/train/seconds/none/split0"):
        exported(RunData(tmp_path))


def test_wandb_gets_one_run_and_records_nothing_of_its_own(folder: Path, tmp_path: Path, libraries: None) -> None:
    place = tmp_path / "files"
    result = invoke(folder, "--to", "wandb", "--project", "mine", "--out", place)
    assert result.exit_code == 0, result.stderr
    export = exported(RunData(folder))
    assert f"{len(export.numbers)} numbers" in result.stdout
    assert f"({export.left_out} rows without a finite number are left out)" in result.stdout
    import wandb

    (_, init), *rest = wandb.calls
    assert rest == [("log", export.numbers), ("finish", None)]
    own = init.pop("settings")
    assert init == {"project": "mine", "dir": str(place), "name": "synthetic", "config": export.settings}
    assert place.is_dir()
    assert all(vars(own)[key] for key in vars(own) if "disable" in key)
    assert (own.console, own.save_code, own.x_save_requirements) == ("off", False, False)
    assert not {"trackio", "tensorboard"} & set(sys.modules)


def test_a_run_that_wandb_does_not_start_is_one_sentence(folder: Path, libraries: None) -> None:
    result = invoke(folder, "--to", "wandb", "--project", "nobody")
    assert result.exit_code == 2
    assert "wandb starts no run (api_key not configured (no-tty)); log in with: wandb login" in result.stderr


def test_trackio_gets_one_run(folder: Path, libraries: None) -> None:
    result = invoke(folder, "--to", "trackio")
    assert result.exit_code == 0, result.stderr
    import trackio

    export = exported(RunData(folder))
    made = {"project": "leakfront", "name": "synthetic", "config": export.settings, "own": (False, False, False)}
    assert trackio.calls == [("init", made), ("log", export.numbers), ("finish", None)]
    assert not {"wandb", "tensorboard"} & set(sys.modules)


class Writer:
    """In place of torch's SummaryWriter: the arguments of the calls, by method."""

    made: list[dict[str, Any]]

    def __init__(self, log_dir: str) -> None:
        Path(log_dir).mkdir(parents=True)
        self.made.append({"log_dir": log_dir, "scalars": {}, "texts": {}, "closed": False})

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.made[-1]["closed"] = True

    def add_scalar(
        self, tag: str, scalar_value: float, global_step: int, new_style: bool, double_precision: bool
    ) -> None:
        assert (global_step, new_style, double_precision) == (0, True, True)
        self.made[-1]["scalars"][tag] = scalar_value

    def add_text(self, tag: str, text_string: str, global_step: int) -> None:
        self.made[-1]["texts"][tag] = text_string


@pytest.fixture
def writer(libraries: None, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The record of all writers made in a test."""
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Writer, "made", [], raising=False)
    return Writer.made


def test_tensorboard_gets_a_scalar_for_each_number_and_the_settings(
    folder: Path, tmp_path: Path, writer: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(folder, "--to", "tensorboard")
    assert result.exit_code == 0, result.stderr
    export = exported(RunData(folder))
    (made,) = writer
    assert (made["log_dir"], made["scalars"], made["closed"]) == ("tensorboard/synthetic", export.numbers, True)
    assert json.loads(made["texts"]["settings"]) == export.settings
    assert "show it with: tensorboard --logdir tensorboard/synthetic" in result.stdout
    (tmp_path / "tensorboard" / "synthetic" / "events").write_text("")
    again = invoke(folder, "--to", "tensorboard")
    assert (again.exit_code, len(writer)) == (2, 1)
    assert "tensorboard/synthetic is not an empty folder" in again.stderr


def test_the_name_of_a_received_run_leads_to_no_other_folder(
    folder: Path, tmp_path: Path, writer: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    received = shutil.copytree(folder, tmp_path / "received")
    info = json.loads((received / "run.json").read_text())
    (received / "run.json").write_text(json.dumps({**info, "name": "../elsewhere"}))
    result = invoke(received, "--to", "tensorboard")
    assert (result.exit_code, writer) == (2, [])
    assert "calls its run '../elsewhere', which names no folder; give one with --out" in result.stderr


def test_the_stand_in_has_the_arguments_of_the_writer_of_torch() -> None:
    import torch

    source = Path(torch.__file__).parent / "utils" / "tensorboard" / "writer.py"
    (real,) = (node for node in ast.walk(ast.parse(source.read_text())) if getattr(node, "name", "") == "SummaryWriter")
    for method in ("__init__", "add_scalar", "add_text"):
        (found,) = (node for node in ast.walk(real) if getattr(node, "name", "") == method)
        assert isinstance(found, ast.FunctionDef)
        taken = [argument.arg for argument in found.args.args]
        assert set(inspect.signature(getattr(Writer, method)).parameters) <= set(taken)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_not_there_is_named_with_how_to_get_it(
    library: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_command, "find_spec", lambda _: None)
    result = invoke(folder, "--to", library)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line == f'error: --to {library} needs the package {library}, an extra: pip install "leakfront[{library}]"'


def test_a_folder_of_a_librarys_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files_of_a_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not export_command._is_installed("files_of_a_tracker")
    assert export_command._is_installed("pytest")


def test_options_that_a_tracker_has_no_use_for_and_unfinished_runs_are_refused(folder: Path, tmp_path: Path) -> None:
    assert "--out has no effect on trackio; set TRACKIO_DIR" in invoke(folder, "--to", "trackio", "--out", "a").stderr
    assert "--project has no effect on tensorboard" in invoke(folder, "--to", "tensorboard", "--project", "a").stderr
    (tmp_path / "config.toml").write_text("")
    assert "holds no results yet" in invoke(tmp_path, "--to", "wandb").stderr
    assert invoke(folder, "--to", "mlflow").exit_code == 2


def test_the_real_tensorboard_reads_what_was_written(folder: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    assert invoke(folder, "--to", "tensorboard", "--out", tmp_path / "events").exit_code == 0
    read = EventAccumulator(str(tmp_path / "events"))
    read.Reload()
    numbers = exported(RunData(folder)).numbers
    assert {tag: float(make_ndarray(read.Tensors(tag)[0].tensor_proto)) for tag in numbers} == numbers


def logged(file: Path) -> bytes:
    """The records in a file of wandb, one after the other: LevelDB's log, in blocks of 32 KiB, behind 7 bytes."""
    held, records, at = file.read_bytes(), b"", 7
    while at + 7 <= len(held):
        if (left := -at % 32768) and left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", held, at + 4)
        if kind == 0:
            break
        records += held[at + 7 : at + 7 + length]
        at += 7 + length
    return records


def test_the_real_wandb_writes_a_run_offline(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("WANDB_MODE", "offline")
    result = invoke(folder, "--to", "wandb", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    import wandb

    wandb.teardown()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    records = logged(file)
    assert all(tag.encode() in records for tag in exported(RunData(folder)).numbers)
    assert b"faces of 2025" in records
    assert b"/home/ann" not in records
    assert b"hf_1" not in records


def test_the_stand_in_has_the_arguments_of_wandb() -> None:
    import wandb

    stand_in = SimpleNamespace(**runpy.run_path(str(STAND_INS / "wandb" / "__init__.py"), run_name="stand_in"))
    for ours, theirs in ((stand_in.init, wandb.init), (stand_in.Run.log, wandb.Run.log),
                         (stand_in.Run.finish, wandb.Run.finish)):  # fmt: skip
        assert set(inspect.signature(ours).parameters) <= set(inspect.signature(theirs).parameters)
    assert set(vars(stand_in.Settings())) <= set(wandb.Settings.model_fields)
    assert issubclass(wandb.Error, Exception)


# What trackio 0.43.0 takes. It is not installed with the tests: it needs pillow below 13, and they have 13.
TRACKIO = {
    "init": {"project", "name", "group", "space_id", "server_url", "dataset_id", "bucket_id", "config", "resume",
             "settings", "private", "embed", "auto_log_gpu", "gpu_log_interval", "auto_log_cpu", "cpu_log_interval",
             "webhook_url", "webhook_min_level"},
    "log": {"metrics", "step"},
    "finish": set(),
}  # fmt: skip
NO_TAGS = {"project", "run", "timestamp", "step", "time", "metrics"}  # reserved, as is what begins with "__"


def test_the_stand_in_has_the_arguments_of_trackio(folder: Path, libraries: None) -> None:
    import trackio

    for name, taken in TRACKIO.items():
        assert set(inspect.signature(getattr(trackio, name)).parameters) <= taken
    assert not NO_TAGS & set(exported(RunData(folder)).numbers)
    assert not any(tag.startswith("__") for tag in exported(RunData(folder)).numbers)

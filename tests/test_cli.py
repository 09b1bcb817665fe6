"""Bad input from the command line: one clear sentence, exit code 2, and nothing half-written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.registry import Registry
from tests.small_config import small, write_toml


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def images(folder: Path, count: int = 4, size: int = 8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def corrupt(folder: Path) -> Path:
    images(folder)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    return folder


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training__stepz": 1}, "unknown key 'training.stepz'"),
        ({"data__pool": 1700}, "data: pool = 1700 and reference = 200"),
        ({"data__pool": 2000, "data__reference": 0}, "data.reference = 0"),
        ({"data__dataset": "folder:nowhere"}, "nowhere"),
        ({"data__dataset": "mnist"}, "MNIST"),
        ({"data__pool": 8, "data__duplicates__groups": 0, "statistics__audit_guesses": 4}, "pool of at least 11"),
        (
            {"data__pool": 5, "data__duplicates__groups": 0, "statistics__audit_guesses": 2, "data__coin": 0.4},
            "data.pool is 5, which leaves split",
        ),
        ({"sampling__images": 30}, "needs at least 65 images, but sampling.images gives 30"),
        ({"defenses": [{"name": "dp_sgd", "batch_size": 90}]}, "batch_size is 90; under dp_sgd it must not exceed"),
        ({"defenses": [{"name": "dp_sgd", "delta": 0.1}]}, "dp_sgd.delta is 0.1; it must be below 1"),
        ({"data__reference": 30}, "but data.reference gives 30"),
        ({"data__duplicates__groups": 97}, "data.duplicates.groups is 97, more than the pool's 96"),
        ({"model__channels": [8, 8, 8, 8, 8]}, "multiple of 16"),
    ],
)
def test_input_that_cannot_work_is_refused_before_anything_is_written(
    changes: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_toml(tmp_path / "c.toml", small(**changes))
    assert says in refused(invoke("run", config, "--out", "run"))
    assert [p.name for p in tmp_path.iterdir()] == ["c.toml"]


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    config = write_toml(tmp_path / "c.toml", small(data__dataset=f"folder:{corrupt(tmp_path / 'images')}"))
    assert "2.png" in refused(invoke("run", config, "--out", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    config = write_toml(tmp_path / "c.toml", small())
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    assert "is not empty and holds no run" in refused(invoke("run", config, "--out", tmp_path / "thesis"))
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    assert "is a file" in refused(invoke("run", config, "--out", config))


def test_a_folder_that_holds_a_different_run_is_left_alone(tmp_path: Path) -> None:
    import tomli_w

    from leakfront.harness.settings.sections import parse_config
    from leakfront.harness.store.run_folder import resolved

    held = resolved(parse_config(small(training__steps=99)))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(tomli_w.dumps(held))
    config = write_toml(tmp_path / "c.toml", small())
    said = refused(invoke("run", config, "--out", tmp_path / "run"))
    assert "holds a different run (training.steps is 99 there and 12 here)" in said
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.toml"]


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    from leakfront.harness.store.layout import Layout
    from leakfront.harness.store.run_folder import locked

    config = write_toml(tmp_path / "c.toml", small())
    with locked(Layout(tmp_path / "run")):
        said = refused(invoke("run", config, "--out", tmp_path / "run"))
        assert f"is in use by process {os.getpid()} on {socket.gethostname()};" in said
        (tmp_path / "run/.lock").write_text("17")  # as earlier versions write it
        assert "is in use by process 17;" in refused(invoke("run", config, "--out", tmp_path / "run"))


def test_a_lock_that_nobody_holds_is_taken_over(tmp_path: Path) -> None:
    from leakfront.harness.store.layout import Layout
    from leakfront.harness.store.run_folder import locked

    for stale in (b"1", b"\xff\x00", b"999999999"):
        (tmp_path / ".lock").write_bytes(stale)
        with locked(Layout(tmp_path)):
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()} {socket.gethostname()}"


def test_a_run_killed_before_it_wrote_its_config_leaves_its_folder_free(tmp_path: Path) -> None:
    from leakfront.harness.settings.sections import parse_config
    from leakfront.harness.store.layout import Layout
    from leakfront.harness.store.run_folder import check_compatible

    for name in (".lock", ".config.toml.1.tmp"):
        (tmp_path / name).write_text("")
    check_compatible(Layout(tmp_path), parse_config(small()))
    (tmp_path / "chapter.tex").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        check_compatible(Layout(tmp_path), parse_config(small()))


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    config = write_toml(tmp_path / "c.toml", small())
    said = refused(invoke("run", config, "--out", f"{config}/run"))
    assert f"{config}/run cannot be written to (Not a directory" in said


def test_an_error_of_the_system_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "results.csv").write_text("")
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "file").write_text("")
    result = invoke("report", tmp_path, "--out", tmp_path / "file" / "report")
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: Not a directory: ")


@pytest.mark.parametrize("name", ["results.csv", "run.json", "manifest.json"])
def test_changed_results_are_not_drawn(name: str, tmp_path: Path) -> None:
    from leakfront.harness.store.integrity import seal
    from leakfront.harness.store.layout import Layout

    for file in ("config.toml", "results.csv", "run.json"):
        (tmp_path / file).write_text("{}")
    seal(Layout(tmp_path), [], [])
    (tmp_path / name).write_text("[]")
    for command in ("show", "report"):
        assert f"{name} has changed since it was written" in refused(invoke(command, tmp_path))


def test_a_destroyed_config_is_named(tmp_path: Path) -> None:
    config = write_toml(tmp_path / "c.toml", small())
    (tmp_path / "run").mkdir()
    for content in (b"name = ", b"\xff\xfe"):
        (tmp_path / "run" / "config.toml").write_bytes(content)
        said = refused(invoke("run", config, "--out", tmp_path / "run"))
        assert "config.toml is not valid TOML" in said
        assert "delete it if the run there is this one" in said


def test_a_report_replaces_only_a_report(tmp_path: Path) -> None:
    from leakfront.harness.store.integrity import seal
    from leakfront.harness.store.layout import Layout

    for file in ("config.toml", "results.csv", "run.json"):
        (tmp_path / file).write_text("{}")
    seal(Layout(tmp_path), [], [])
    assert "holds no report" in refused(invoke("report", tmp_path, "--out", tmp_path))


@pytest.mark.parametrize("command", ["report", "show", "verify"])
def test_a_folder_without_a_run_is_named(command: str, tmp_path: Path) -> None:
    assert "holds no run" in refused(invoke(command, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["report", "show"])
def test_a_run_without_results_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    assert "holds no results yet" in refused(invoke(command, tmp_path))


def test_the_plan_is_printed_and_nothing_is_done(tmp_path: Path) -> None:
    config = write_toml(tmp_path / "c.toml", small(defenses=[{"name": "dp_sgd", "epsilon": [1, 10]}]))
    result = invoke("run", config, "--out", tmp_path / "run", "--dry-run")
    assert result.exit_code == 0
    for part in ("none", "dp_sgd (epsilon=1)", "dp_sgd (epsilon=10)", "estimate:", "with 2 workers"):
        assert part in result.output.replace("with 1 workers", "with 2 workers")
    assert not (tmp_path / "run").exists()


def test_everything_registered_is_listed() -> None:
    from leakfront.harness.rooms import ROOMS

    output = invoke("list").output
    registry: Registry
    for registry in ROOMS.values():
        assert registry.names()
        for name in registry.names():
            assert name in output
    assert "epsilon = 10.0" in invoke("list", "defenses").output
    assert invoke("list", "planets").exit_code == 2


def test_unknown_commands_and_options_exit_with_2() -> None:
    assert invoke("runn").exit_code == 2
    assert invoke("run", "--wrokers", "2").exit_code == 2
    assert invoke("run", "--workers", "0").exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from leakfront.cli import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'numpy', 'pandas', 'pydantic', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

"""No file of a run but one holds a path or the user's name; the run goes on all the same, wherever its folder is."""

from __future__ import annotations

import json
import shutil
import stat
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from leakfront.documents import load_toml
from leakfront.errors import InputError
from leakfront.harness.execution.tasks import run_task
from leakfront.harness.execution.workers import Outcome, WorkerTraceback
from leakfront.harness.held import config_and_folder, held_config
from leakfront.harness.settings import places
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.private_paths import FILE, write_paths
from leakfront.harness.store.run_folder import check_compatible, resolved, write_config
from leakfront.results.run.data import RunData
from tests.in_process import Here, run_here
from tests.small_config import small, write_toml
from tests.test_cli import invoke, refused

USER = "mariaplanted"
PROJECT = "clinicplanted"


def pictures(folder: Path, count: int) -> Path:
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True)
    for number, pixels in enumerate(load_digits().images[:count]):
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"{number:03d}.png")
    return folder


def config(data: Path, **changes: Any) -> dict[str, Any]:
    quick = {"defenses": [], "attacks": {"loss": {"timesteps": [50], "draws": 1}}, "splits": 2,
             "metrics": {"features": "pixels", "names": []}}  # fmt: skip
    return small(**quick, data__dataset=f"folder:{data}", data__reference=20, **changes)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "user_names", lambda: frozenset({USER}))


def failing(root: Path, data: Path) -> Any:
    """Stands for `Here.outcomes`: one task fails as it would in a worker, with paths in its error and its traceback."""

    def outcomes(here: Here) -> Iterator[Outcome]:
        while here._tasks:
            task = here._tasks.pop(0)
            if task.stage != "measure" or not task.cell.endswith("1"):
                run_task(task)
                yield Outcome(task)
                continue
            try:
                raise RuntimeError(f"{root}/secret/notes.txt of {USER} cannot be used; '{data}/007.png'")
            except RuntimeError as error:
                error.__cause__ = WorkerTraceback(f'File "{root}/code/plugin.py", line 3\n{traceback.format_exc()}')
                yield Outcome(task, error=error)

    return outcomes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in the home of a user, with a run on pictures, one of whose cells failed."""
    root = tmp_path_factory.mktemp("root") / USER
    data = pictures(root / PROJECT / "scans", 130)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "user_names", lambda: frozenset({USER}))
        patch.setattr(Here, "outcomes", failing(root, data))
        patch.setattr("leakfront.results.report._names", lambda _: [])  # no figures, which take long
        outcome, printed = run_here(config(data), root / "runs" / "small")
    assert str(root) in printed  # the user's own terminal
    assert list(outcome.failed) == ["none-split1"]
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """The project moved: its former place is gone."""
    moved = Path(shutil.copytree(made, tmp_path / "moved"))
    held = json.loads((moved / "runs/small" / FILE).read_text())
    gone = {key: path.replace(str(made), str(tmp_path / "gone")) for key, path in held.items()}
    (moved / "runs/small" / FILE).write_text(json.dumps(gone))
    return moved


def found_in(folder: Path, *secrets: str) -> list[str]:
    return [
        f"{path.relative_to(folder)}: {secret}"
        for path in sorted(folder.rglob("*"))
        for secret in secrets
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


def test_only_one_file_holds_paths_and_only_its_owner_can_read_it(made: Path) -> None:
    run = made / "runs" / "small"
    private = run / FILE
    assert json.loads(private.read_text()) == {"data.dataset": str(made / PROJECT / "scans")}
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    secrets = (str(made), USER, PROJECT, str(made.parent))
    assert found_in(run, *secrets) == [f"{FILE}: {secret}" for secret in secrets]


def test_a_data_set_is_named_by_its_folder_and_errors_keep_what_went_wrong(made: Path) -> None:
    run = made / "runs" / "small"
    info, log = json.loads((run / "run.json").read_text()), (run / "log.jsonl").read_text()
    assert info["dataset"]["name"] == info["config"]["data"]["dataset"] == "folder:scans"
    assert load_toml(run / "config.toml")["data"]["dataset"] == "folder:scans"
    assert FILE in (run / "config.toml").read_text().splitlines()[0]
    assert set(RunData(run).rows["dataset"]) == {"folder:scans"}
    assert info["failed"] == {"none-split1": "RuntimeError: notes.txt of USER cannot be used; 'scans/007.png'"}
    assert "notes.txt of USER cannot be used; 'scans/007.png'" in (run / "report/index.html").read_text().replace(
        "&#39;", "'"
    )
    assert 'File \\"plugin.py\\", line 3' in log
    assert "the report is small/report/index.html" in log


def test_the_same_command_goes_on_and_so_does_the_folder_alone(project: Path, user: None) -> None:
    run, data = project / "runs" / "small", project / PROJECT / "scans"
    before = (run / "cells/none-split0/sample/samples.safetensors").stat().st_mtime_ns
    outcome, _ = run_here(config(data), run, report=False)  # the data has moved, too
    assert outcome.failed == {}
    assert (run / "cells/none-split0/sample/samples.safetensors").stat().st_mtime_ns == before
    settings, layout = config_and_folder(str(run), None)
    assert layout.root == run
    assert settings.data.dataset == f"folder:{data}"
    assert resolved(settings) == resolved(parse_config(config(data)))


def test_other_data_of_the_same_name_is_another_run(project: Path, user: None) -> None:
    run, data = Layout(project / "runs" / "small"), project / PROJECT / "scans"
    other = pictures(project / "other" / "scans", 2)
    write_config(run, parse_config(config(data)), {})
    check_compatible(run, parse_config(config(data)))
    (project / "link").symlink_to(project / PROJECT)
    check_compatible(run, parse_config(config(project / "link" / "scans")))
    with pytest.raises(
        InputError, match=r"a different run \(data.dataset is '.*planted/scans' there and '.*other/scans'"
    ):
        check_compatible(run, parse_config(config(other)))
    with pytest.raises(InputError, match=r"a different run \(data.dataset is 'folder:scans' there and 'folder:other'"):
        check_compatible(run, parse_config(config(project / "other")))
    (run.root / FILE).unlink()
    check_compatible(run, parse_config(config(other)))


def test_a_folder_of_an_earlier_version_states_whole_paths_and_goes_on(project: Path, user: None) -> None:
    run, data = Layout(project / "runs" / "small"), project / PROJECT / "scans"
    text = run.config.read_text().replace("folder:scans", f"folder:{data}")
    run.config.write_text(text)
    (run.root / FILE).unlink()
    check_compatible(run, parse_config(config(data)))
    assert held_config(run).data.dataset == f"folder:{data}"
    with pytest.raises(InputError, match="a different run"):
        check_compatible(run, parse_config(config(pictures(project / "other" / "scans", 2))))


def test_a_received_folder_says_which_path_is_missing_and_how_to_give_it(project: Path, user: None) -> None:
    run, data = project / "runs" / "small", project / PROJECT / "scans"
    said = refused(invoke("run", run))
    assert f"gone/{PROJECT}/scans, which is data.dataset of the run in {run}, is not there" in said
    (run / FILE).unlink()
    for command in ("run", "clean"):
        said = refused(invoke(command, run))
        assert f"{run} does not say where 'scans' is (data.dataset), since there is no {FILE} in it" in said
        assert f"leakfront run {run} --set data.dataset=folder:PATH" in said
    assert invoke("run", run, "--dry-run", "--set", f"data.dataset=folder:{data}").exit_code == 0
    assert "goes on in it; leave out --out" in refused(invoke("run", run, "--out", project / "else"))
    for command in ("show", "verify"):
        assert invoke(command, run).exit_code == 0


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', "[" * 10**5])
def test_a_broken_file_is_one_sentence(content: str, project: Path, user: None) -> None:
    (project / "runs/small" / FILE).write_text(content)
    with pytest.raises(InputError, match=r"private-paths\.json cannot be read"):
        held_config(Layout(project / "runs/small"))


def test_a_path_in_a_list_is_given_in_the_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_toml(layout.config, {**small(), "defenses": [{"name": "dedup", "public": "/there/images"}]})
    with pytest.raises(InputError, match=r"/there/images, which is defenses.0.public .* write its path into .*: \{"):
        held_config(layout)


def test_a_start_that_was_killed_before_it_wrote_the_config_is_taken_up(tmp_path: Path) -> None:
    write_paths(Layout(tmp_path), {"data.dataset": "x"})
    for ending in ("lock", "tmp"):
        (tmp_path / f".{FILE}.{'0' * 16}.{ending}").touch()
    check_compatible(Layout(tmp_path), parse_config(small()))


def test_a_run_without_paths_has_no_such_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    (tmp_path / FILE).write_text("{}")
    write_config(layout, parse_config(small()), {})
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]
    assert not layout.config.read_text().startswith("#")

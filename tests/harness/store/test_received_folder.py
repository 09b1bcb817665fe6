"""Nothing that a received run folder holds makes a command read, change or delete what lies outside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from click.testing import CliRunner, Result

from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.harness.execution.progress import RunProgress
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.artifacts import MANIFEST, read_manifest, stored_key, write_manifest, writing
from leakfront.harness.store.inside import check_no_links, remove
from leakfront.harness.store.integrity import remove_damaged, verify
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import check_compatible, find_run, locked, resolved
from leakfront.harness.store.temporaries import clear_temporaries
from leakfront.labels import is_plain
from tests.small_config import small, write_toml

CELL = "none-split0"


@pytest.fixture
def received(tmp_path: Path) -> Layout:
    """The beginnings of a run as it may come from somebody else."""
    layout = Layout(tmp_path / "received")
    for folder in (layout.pool, layout.stage(CELL, "prepare"), layout.stage(CELL, "attack/loss")):
        with writing(folder, "key") as place:
            (place / "file.txt").write_text("content")
    layout.config.write_text(tomli_w.dumps(resolved(parse_config(small()))))
    for name in ("results.csv", "run.json", "log.jsonl"):
        (layout.root / name).write_text("{}\n")
    return layout


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder outside, with files of the receiver in the form of a damaged artifact."""
    for name in ("thesis.tex", "loss/data.csv", "prepare/manifest.json", ".thesis.host-1-00000000.tmp"):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"my {name}, without a line's end")
        os.utime(path, (0, 0))
    return tmp_path / "mine"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def link(place: str, target: str) -> Callable[[Layout, Path], None]:
    def plant(layout: Layout, mine: Path) -> None:
        path = layout.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)
        path.symlink_to(mine / target)

    return plant


LINKS = {
    "cells/x": "", "cells/x/attack": "", f"cells/{CELL}/prepare": "prepare", f"cells/{CELL}/attack/loss": "loss",
    "cells": "", "models": "", "pool": "", "report": "", ".lock": "thesis.tex", "log.jsonl": "thesis.tex",
    "config.toml": "thesis.tex", "results.csv": "thesis.tex", "privacy-secret.json": "none", "manifest.json": "none",
    "pool/file.txt": "thesis.tex", "deep/er/inside": "thesis.tex",
}  # fmt: skip


@pytest.mark.parametrize("place", LINKS)
def test_a_folder_with_a_link_is_refused_by_every_command(place: str, received: Layout, mine: Path) -> None:
    link(place, LINKS[place])(received, mine)
    config = write_toml(mine.parent / "c.toml", small())
    before, own = contents(mine), contents(received.root)
    for command in (("run", config, "--out"), ("run", config, "--dry-run", "--out"), ("report",), ("show",),
                    ("verify",), ("clean",)):  # fmt: skip
        result = invoke(*command, received.root)
        assert result.exit_code == 2, (command, result.output)
        assert result.stderr.startswith(f"error: {received.root / place} is a symbolic link"), command
        assert result.stderr.count("\n") == 1
    assert (contents(mine), contents(received.root)) == (before, own)


def test_the_first_link_is_named_and_pipes_are_refused_too(received: Layout) -> None:
    check_no_links(received.root)
    os.mkfifo(received.pool / "pipe")
    with pytest.raises(InputError, match=r"pool/pipe is neither a file nor a folder"):
        find_run(str(received.root))
    for name in ("zz", "cells/b", "cells/a\x1b[31m"):
        (received.root / name).symlink_to("/etc")
    with pytest.raises(InputError, match=r"received/cells/a\\x1b\[31m is a symbolic link"):
        check_no_links(received.root)


def test_a_lock_that_is_a_link_is_refused_before_there_is_a_config(tmp_path: Path, mine: Path) -> None:
    layout = Layout(tmp_path / "new")
    layout.root.mkdir()
    (layout.root / ".lock").symlink_to(mine / "thesis.tex")
    with pytest.raises(InputError, match="lock is a symbolic link"):
        check_compatible(layout, parse_config(small()))


def test_the_run_s_own_folder_may_be_a_link(received: Layout, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(received.root)
    assert find_run(str(tmp_path / "runs")).root == tmp_path / "runs"
    remove(Layout(tmp_path / "runs").pool, tmp_path / "runs")
    assert not received.pool.exists()


def test_lock_and_log_do_not_follow_a_link_that_appears_after_the_check(received: Layout, mine: Path) -> None:
    from rich.console import Console

    before = contents(mine)
    for place in (".lock", "log.jsonl"):
        link(place, "thesis.tex")(received, mine)
    with pytest.raises(InputError, match=r"symbolic links: .*lock"), locked(received):
        pass
    progress = RunProgress({}, received.log, Console(quiet=True))
    with pytest.raises(OSError, match="symbolic links"), progress:
        pass
    with pytest.raises(OSError, match="symbolic links"):
        progress.say("a line")
    assert contents(mine) == before


def test_a_manifest_cannot_name_files_elsewhere(received: Layout, mine: Path) -> None:
    """With a valid checksum of its own: whoever sends the folder can make one."""
    before = contents(mine)
    elsewhere = ["../mine/prepare/manifest.json", str(mine / "prepare" / "manifest.json"), "pool/../../mine/thesis.tex"]
    for name in elsewhere:
        write_manifest(received.root, "run", [name])
        assert read_manifest(received.root) is None
        assert [fault.artifact for fault in verify(received, [CELL], [])[1]] == ["."]
        said = remove_damaged(received, [CELL], [])
        assert said == ["manifest.json has changed since it was written; it is written again"]
    write_manifest(received.pool, "key", ["../../mine/thesis.tex"])
    assert stored_key(received.pool) is None
    assert contents(mine) == before


def test_what_a_manifest_names_beside_the_artifacts_of_a_run_is_kept(received: Layout) -> None:
    kept = ["cells/manifest.json", "my notes/manifest.json", "cells/my notes/prepare/manifest.json", "extra/file.txt"]
    for name in kept:
        (received.root / name).parent.mkdir(parents=True, exist_ok=True)
        (received.root / name).write_text("{}")
    write_manifest(received.root, "run", kept)
    for name in kept:
        (received.root / name).write_text("changed")
    before = contents(received.root)
    said = remove_damaged(received, received.cells, received.models)
    assert "cells: manifest.json has changed since it was written (and 1 more); it is left as it is" in said
    assert contents(received.root) == {name: text for name, text in before.items() if name != MANIFEST}


def test_no_name_in_a_manifest_reaches_the_terminal_as_a_command(received: Layout) -> None:
    name = "\x1b[2Jgone"
    (received.pool / name).write_text("")
    write_manifest(received.pool, "key", ["file.txt", name])
    (received.pool / name).unlink()
    result = invoke("verify", received.root)
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "pool: manifest.json has changed since it was written" in result.stderr


@pytest.mark.parametrize("name", ["\x1b[31mx", "a b", "=1+1,x", "a\nb", "é", "x;y"])
def test_folders_with_names_that_no_run_gives_are_no_cells_stages_or_models(name: str, received: Layout) -> None:
    before = (received.cells, received.models, received.artifacts(received.cells, []))
    for place in ("cells", "models", f"cells/{CELL}", f"cells/{CELL}/attack"):
        (received.root / place / name).mkdir(parents=True)
    assert (received.cells, received.models, received.artifacts(received.cells, [])) == before
    assert remove_damaged(received, received.cells, received.models) == []
    assert (received.stage(CELL, "attack") / name).is_dir()


def test_names_of_folders_are_those_that_a_plan_gives() -> None:
    from leakfront.harness.plan.make import make_plan

    odd = [{"name": "early_stop", "steps": 2, "label": label} for label in ("..", "(+1)", "é", "a/b: <c>", ".x")]
    plan = make_plan(parse_config(small(defenses=odd)))
    assert all(is_plain(cell.name) for cell in plan.cells)
    assert not any(map(is_plain, ("", ".", "..", "a/b", "a\n", "a\x1b", "a b")))


def test_only_temporary_names_are_cleared_and_no_link_is_followed(received: Layout, mine: Path) -> None:
    before = contents(mine)
    kept = ["..old", "....old", "....a.old", ".notes.old", ".draft.tmp", f".x.h-{9**30}-00000000.tmp"]
    for name in kept:
        (received.root / name).write_text("")
    (received.root / "cells" / "x").symlink_to(mine)
    clear_temporaries(received.root)
    assert contents(mine) == before
    assert all((received.root / name).exists() for name in kept)


def test_nothing_is_removed_over_a_link_or_upwards(received: Layout, mine: Path) -> None:
    (received.root / "cells" / "x").symlink_to(mine)
    for folder in ("cells/x", "cells/x/prepare", "../mine", "pool/../../mine", ".", "pool/.."):
        with pytest.raises(InputError, match="nothing there is removed"):
            remove(received.root / folder, received.root)
    assert (mine / "prepare").is_dir()

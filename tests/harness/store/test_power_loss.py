"""The power may fail at every moment: what was finished is there afterwards, and nothing is there by half."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from leakfront.defenses.none import NoDefense
from leakfront.errors import InputError
from leakfront.harness.stages.aggregate import write_results
from leakfront.harness.store import artifacts
from leakfront.harness.store.artifacts import discard, stored_key, write_atomically, writing
from leakfront.harness.store.integrity import check_folder, is_sealed, remove_damaged, seal
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.secret import make_secret, read_secret
from leakfront.harness.store.temporaries import clear_temporaries
from leakfront.harness.training import state
from leakfront.harness.training.checkpoint import load_checkpoint, save_checkpoint
from leakfront.results.run.data import RunData
from leakfront.results.run.rows import Row
from tests.harness.training import test_training as training
from tests.power_loss import Choice, Disk, keep_any, keep_least, keep_most, keep_names, write

KEY = "0123456789abcdef and more"
Check = Callable[[Path], None]
RANDOM = 2  # ways at each moment, beside those that keep the least and the most


class Losses:
    """Lets the power fail at every moment, in several ways, and checks what is left, equal states once.

    done: what was finished so far, which a check may depend on.
    """

    def __init__(self, place: Path, check: Check, done: Sequence[object]) -> None:
        self._place, self._check, self._done = place, check, done
        self._seen: set[object] = set()

    def __call__(self, disk: Disk) -> None:
        ways: list[Choice] = [keep_least, keep_names, keep_most]
        for way in [*ways, *(keep_any((len(disk.calls), number)) for number in range(RANDOM))]:
            contents = disk.after_power_loss(way)
            if (state := (frozenset(contents.items()), len(self._done))) in self._seen:
                continue
            self._seen.add(state)
            left = self._place / f"left-{len(self._seen)}"
            write(contents, left)
            clear_temporaries(left)  # as the next run does first
            assert not list(left.rglob(".*.*"))
            self._check(left)
            shutil.rmtree(left, ignore_errors=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def put(folder: Path, key: str) -> None:
    with writing(folder, key) as place:
        (place / "deep").mkdir()
        (place / "deep" / "file.txt").write_text(f"content of {key}")


def through_power_losses(root: Path, work: Callable[[], None], check: Check, done: Sequence[object] = ()) -> Disk:
    """Do some work in `root`; `check` gets what is left at every moment of it. done: see `Losses`."""
    (root.parent / "losses").mkdir(exist_ok=True)
    with Disk(root, Losses(root.parent / "losses", check, done)).recording() as disk:
        work()
    return disk


def test_the_simulated_disk_loses_what_was_not_synced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the other tests would show nothing."""
    held: set[str] = set()

    def work() -> None:
        (root / "a").write_text("new")
        (root / "a").rename(root / "b")

    def look(left: Path) -> None:
        held.add(",".join(f"{path.name}={path.read_text()}" for path in sorted(left.iterdir())))

    (root / "b").write_text("old")
    monkeypatch.setattr(sys.modules[__name__], "RANDOM", 20)
    through_power_losses(root, work, look)
    assert held == {"b=old", "a=,b=old", "a=new,b=old", "b=", "b=new"}


@pytest.mark.parametrize("before", [None, "one"])
def test_an_artifact_is_the_old_or_the_new_one_and_the_new_one_once_it_was_finished(
    before: str | None, root: Path
) -> None:
    folder, finished = Path("cells/cell/prepare"), []

    def work() -> None:
        put(root / folder, "two")
        finished.append("two")

    def check(left: Path) -> None:
        found = stored_key(left / folder)
        assert found in (finished or [before, "two"])
        assert found is None or check_folder(left / folder) == (1, [])

    if before:
        put(root / folder, before)
    disk = through_power_losses(root, work, check, finished)
    assert len(disk.calls) > 10


@pytest.mark.parametrize("left_out", ["sync", "sync_tree"])
def test_without_a_sync_the_power_would_lose_something(
    left_out: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, left_out, lambda _: None)
    with pytest.raises(AssertionError):
        test_an_artifact_is_the_old_or_the_new_one_and_the_new_one_once_it_was_finished("one", root)


def test_a_file_is_the_old_or_the_new_one(root: Path) -> None:
    finished: list[str] = []

    def work() -> None:
        write_atomically(root / "file", "new")
        finished.append("new")

    def check(left: Path) -> None:
        assert (left / "file").read_text() in (finished or ["old", "new"])

    write_atomically(root / "file", "old")
    through_power_losses(root, work, check, finished)


def test_a_training_goes_on_from_its_last_checkpoint_or_the_one_that_was_being_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, lost = [0], []
    save = state.save_checkpoint

    def noted(folder: Path, key: str, content: dict[str, object], made: dict[str, object]) -> None:
        save(folder, key, content, made)
        saved.append(int(str(content["done"])))

    def check(left: Path) -> None:
        found = load_checkpoint(left / "models/k/train.checkpoint", "key")
        assert (found["done"] if found else 0) in (saved[-1], saved[-1] + 1)
        if found and len(lost) < 2 and found["done"] > len(lost):
            lost.append(left.rename(left.with_name(f"kept-{len(lost)}")))

    plain = (NoDefense(),)
    with monkeypatch.context() as patch:
        patch.setattr(state, "save_checkpoint", noted)
        _, weights = training.run(root.parent / "whole", plain, steps=2)
        saved[1:] = []
        through_power_losses(
            root, lambda: training.run(root / "models/k/train.checkpoint", plain, steps=2), check, saved
        )
    assert saved[-1] == 2
    assert len(lost) == 2
    for left in lost:
        _, found = training.run(left / "models/k/train.checkpoint", plain, steps=2)
        assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_checkpoint_is_there_until_its_model_is_and_goes_in_one_step(root: Path) -> None:
    layout = Layout(root)
    checkpoint = layout.model(KEY, "train.checkpoint")

    def work() -> None:
        put(layout.model(KEY), KEY)
        discard(checkpoint)

    def check(left: Path) -> None:
        there = Layout(left)
        has_model = stored_key(there.model(KEY)) == KEY
        assert has_model or load_checkpoint(there.model(KEY, "train.checkpoint"), KEY) is not None
        assert remove_damaged(there, [], there.models) == []

    save_checkpoint(checkpoint, KEY, {"tensor": torch.arange(3)})
    through_power_losses(root, work, check)
    assert not checkpoint.exists()


@pytest.fixture
def results(root: Path) -> Callable[[str], None]:
    """A function that writes the results of a state of a run."""

    def write(name: str) -> None:
        row = Row(run=name, cell="c", dataset="digits", model="unet", defense="none", params="", split="0",
                  kind="privacy", source="loss", metric="auc", value=0.5)  # fmt: skip
        write_results(Layout(root), [row], {"name": name, "suite": "quick", "cells": []})

    return write


@pytest.mark.parametrize("before", [None, "old"])
def test_rows_and_facts_are_of_one_state_or_are_refused(
    before: str | None, root: Path, results: Callable[[str], None]
) -> None:
    finished, refused = [], []

    def work() -> None:
        results("new")
        finished.append("new")

    def check(left: Path) -> None:
        if before is None and not (left / "run.json").exists():
            return
        run, said = RunData(left), remove_damaged(Layout(left), [], [])
        if "results.csv does not belong to run.json; it is written again" in said:
            with pytest.raises(InputError, match=r"results\.csv does not belong to the run\.json beside it"):
                _ = run.rows
            refused.append(left)
        else:
            assert list(run.rows["run"]) == [run.info["name"]]
            assert run.info["name"] in (finished or [before, "new"])

    if before:
        results(before)
    through_power_losses(root, work, check, finished)
    assert bool(refused) == (before is not None)


def test_a_table_of_another_state_is_a_fault_and_a_torn_run_json_too(
    root: Path, results: Callable[[str], None]
) -> None:
    results("new")
    assert remove_damaged(Layout(root), [], []) == []
    whole = (root / "run.json").read_text()
    unfit = (whole[:-1], "[]", whole.replace("results.csv", "x"), whole.replace('"tables_', '"tables_sha256": 3, "'))
    for torn in unfit:
        (root / "run.json").write_text(torn)
        (said,) = remove_damaged(Layout(root), [], [])
        assert said.startswith("run.json cannot be read (")
        with pytest.raises(InputError, match="cannot be read"):
            _ = RunData(root).rows
    (root / "run.json").write_text(whole)
    (root / "results.parquet").write_bytes(b"")
    assert remove_damaged(Layout(root), [], []) == ["results.parquet does not belong to run.json; it is written again"]
    earlier = {key: value for key, value in json.loads(whole).items() if key != "tables_sha256"}
    (root / "run.json").write_text(json.dumps(earlier))
    assert remove_damaged(Layout(root), [], []) == []
    assert list(RunData(root).rows["run"]) == ["new"]


def test_what_a_run_changes_after_a_sealed_one_is_never_taken_for_damage(
    root: Path, results: Callable[[str], None]
) -> None:
    layout, ended = Layout(root), []

    def a_run(key: str) -> None:
        remove_damaged(layout, [], [])
        put(layout.pool, key)
        with layout.log.open("a") as log:
            log.write(f"{key}\n")
        results(key)
        seal(layout, [], [])
        ended.append(key)

    def check(left: Path) -> None:
        there = Layout(left)
        sealed, said = is_sealed(there), remove_damaged(there, [], [])
        assert stored_key(there.pool) in ("one", "two")
        assert [sentence for sentence in said if "does not belong to run.json" not in sentence] == []
        assert not (sealed and said)
        assert len(ended) == 1 or sealed

    layout.config.write_text("")
    a_run("one")
    through_power_losses(root, lambda: a_run("two"), check, ended)


def test_a_secret_is_there_or_not(root: Path) -> None:
    finished: list[bool] = []

    def work() -> None:
        make_secret(Layout(root), 3)
        finished.append(True)

    def check(left: Path) -> None:
        if finished or (left / "privacy-secret.json").exists():
            assert read_secret(Layout(left)).origin == "privacy_seed"

    through_power_losses(root, work, check, finished)

"""What of a run's folder is not what was written is found by checksum, named, and taken away to be made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.integrity import Fault, examine, seal, set_right
from leakfront.harness.store.layout import Layout

STAGES = ("prepare", "train", "attack/loss", "attack/side", "measure")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A finished run of one cell, sealed."""
    layout = Layout(tmp_path)
    for folder in (layout.pool, layout.reference, layout.report, *(layout.stage("cell", stage) for stage in STAGES)):
        with writing(folder, f"key of {folder.name}") as place:
            (place / "file.txt").write_text("content")
    for name in ("config.toml", "results.csv", "log.jsonl"):
        (tmp_path / name).write_text(name)
    seal(layout, ["cell"])
    return layout


def test_a_run_that_nothing_happened_to_has_no_fault(layout: Layout) -> None:
    checked, faults = examine(layout, layout.cells)
    assert faults == []
    assert checked == 8 + 3 + 7  # a file an artifact, those at the top, and all manifests but the report's
    assert set_right(layout, ["cell"]) == []
    assert stored_key(layout.pool) == "key of pool"


def test_every_fault_is_named_and_nothing_else_is_touched(layout: Layout) -> None:
    cell = layout.cell("cell")
    (layout.pool / "file.txt").write_text("CONTENT")
    (cell / "train" / "file.txt").unlink()
    (cell / "prepare" / "manifest.json").write_text("[]")
    (cell / "attack" / "loss" / "manifest.json").unlink()
    (layout.root / "results.csv").write_text("results,csv")
    assert examine(layout, ["cell"])[1] == [
        Fault("pool", "file.txt has changed since it was written"),
        Fault("cells/cell/attack/loss", "manifest.json is missing"),
        Fault("cells/cell/prepare", "manifest.json has changed since it was written"),
        Fault("cells/cell/train", "file.txt is missing"),
        Fault(".", "results.csv has changed since it was written"),
    ]
    assert set_right(layout, ["cell"]) == [
        "pool: file.txt has changed since it was written; it is made again",
        "cells/cell/attack/loss: manifest.json is missing; it is made again",
        "cells/cell/prepare: manifest.json has changed since it was written; it is made again",
        "cells/cell/train: file.txt is missing; it is made again",
        "results.csv has changed since it was written; it is written again",
    ]
    left = [str(folder.relative_to(layout.root)) for folder in layout.artifacts(["cell"])]
    assert left == ["reference", "report", "cells/cell/attack/side", "cells/cell/measure"]
    assert (layout.root / "results.csv").is_file()


def test_an_artifact_that_is_gone_or_another_one_is_noticed_by_the_seal(layout: Layout) -> None:
    shutil.rmtree(layout.stage("cell", "measure"))
    shutil.rmtree(layout.stage("cell", "train"))
    with writing(layout.stage("cell", "train"), "another key") as place:
        (place / "file.txt").write_text("whole, and not what this run made")
    assert set(examine(layout, ["cell"])[1]) == {
        Fault("cells/cell/measure", "the folder is missing"),
        Fault("cells/cell/train", "manifest.json has changed since it was written"),
    }


def test_the_seal_is_broken_while_a_run_is_under_way(layout: Layout) -> None:
    """So that what a run changes is not taken for damage when it was killed."""
    set_right(layout, ["cell"])
    (layout.root / "results.csv").write_text("new results")
    with writing(layout.stage("cell", "measure"), "another key") as place:
        (place / "file.txt").write_text("new")
    assert examine(layout, ["cell"])[1] == []


def test_a_damaged_checkpoint_costs_the_training_since_its_start(layout: Layout) -> None:
    folder = layout.stage("cell", "train.checkpoint")
    with writing(folder, "k") as place:
        (place / "tensors.safetensors").write_bytes(b"0123456789")
    (folder / "tensors.safetensors").write_bytes(b"0123556789")
    assert set_right(layout, ["cell"]) == [
        "cells/cell/train.checkpoint: tensors.safetensors has changed since it was written; training starts anew"
    ]
    assert not folder.exists()


def test_the_log_is_kept_and_said_to_have_changed(layout: Layout) -> None:
    layout.log.write_text("log")
    assert set_right(layout, ["cell"]) == [
        "log.jsonl has changed since it was written; the log is kept as it is, and goes on"
    ]
    assert layout.log.read_text() == "log"


def test_cells_that_a_run_does_not_use_are_not_read(layout: Layout) -> None:
    (layout.stage("cell", "train") / "file.txt").write_text("changed")
    assert examine(layout, [])[1] == []

"""Damaged artifacts are detected by checksum, reported, and removed so that they are rebuilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.integrity import Fault, remove_damaged, seal, verify
from leakfront.harness.store.layout import Layout

STAGES = ("prepare", "attack/loss", "attack/side", "measure")
KEY = "0123456789abcdef and more"
MODEL = KEY[:16]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A finished run of one cell, sealed."""
    layout = Layout(tmp_path)
    folders = [layout.pool, layout.reference, layout.report, *(layout.stage("cell", stage) for stage in STAGES)]
    for folder in [*folders, layout.model(KEY)]:
        with writing(folder, f"key of {folder.name}") as place:
            (place / "file.txt").write_text("content")
    for name in ("config.toml", "results.csv", "log.jsonl"):
        (tmp_path / name).write_text(name)
    seal(layout, ["cell"], [MODEL])
    return layout


def test_an_intact_run_has_no_fault(layout: Layout) -> None:
    checked, faults = verify(layout, layout.cells, layout.models)
    assert faults == []
    assert checked == 8 + 3 + 7  # one file per artifact, those at the top, and all manifests except the report's
    assert remove_damaged(layout, ["cell"], [MODEL]) == []
    assert stored_key(layout.pool) == "key of pool"


def test_every_fault_is_named_and_nothing_else_is_touched(layout: Layout) -> None:
    cell = layout.cell("cell")
    (layout.pool / "file.txt").write_text("CONTENT")
    (layout.model(KEY) / "file.txt").unlink()
    (cell / "prepare" / "manifest.json").write_text("[]")
    (cell / "attack" / "loss" / "manifest.json").unlink()
    (layout.root / "results.csv").write_text("results,csv")
    assert verify(layout, ["cell"], [MODEL])[1] == [
        Fault("pool", "file.txt has changed since it was written"),
        Fault(f"models/{MODEL}/train", "file.txt is missing"),
        Fault("cells/cell/attack/loss", "manifest.json is missing"),
        Fault("cells/cell/prepare", "manifest.json has changed since it was written"),
        Fault(".", "results.csv has changed since it was written"),
    ]
    assert remove_damaged(layout, ["cell"], [MODEL]) == [
        "pool: file.txt has changed since it was written; it is rebuilt",
        f"models/{MODEL}/train: file.txt is missing; it is rebuilt",
        "cells/cell/attack/loss: manifest.json is missing; it is rebuilt",
        "cells/cell/prepare: manifest.json has changed since it was written; it is rebuilt",
        "results.csv has changed since it was written; it is written again",
    ]
    left = [str(folder.relative_to(layout.root)) for folder in layout.artifacts(["cell"], [MODEL])]
    assert left == ["reference", "report", "cells/cell/attack/side", "cells/cell/measure"]
    assert (layout.root / "results.csv").is_file()


def test_the_seal_detects_a_missing_or_replaced_artifact(layout: Layout) -> None:
    shutil.rmtree(layout.stage("cell", "measure"))
    shutil.rmtree(layout.model(KEY))
    with writing(layout.model(KEY), "another key") as place:
        (place / "file.txt").write_text("whole, and not what this run made")
    assert set(verify(layout, ["cell"], [MODEL])[1]) == {
        Fault("cells/cell/measure", "the folder is missing"),
        Fault(f"models/{MODEL}/train", "manifest.json has changed since it was written"),
    }


def test_the_seal_is_removed_while_a_run_works(layout: Layout) -> None:
    """So that the changes of a killed run are not mistaken for damage."""
    remove_damaged(layout, ["cell"], [MODEL])
    (layout.root / "results.csv").write_text("new results")
    with writing(layout.stage("cell", "measure"), "another key") as place:
        (place / "file.txt").write_text("new")
    assert verify(layout, ["cell"], [MODEL])[1] == []


def test_a_damaged_checkpoint_costs_the_training_since_its_start(layout: Layout) -> None:
    folder = layout.model(KEY, "train.checkpoint")
    with writing(folder, "k") as place:
        (place / "tensors.safetensors").write_bytes(b"0123456789")
    (folder / "tensors.safetensors").write_bytes(b"0123556789")
    assert remove_damaged(layout, ["cell"], [MODEL]) == [
        f"models/{MODEL}/train.checkpoint: tensors.safetensors has changed since it was written; training starts again"
    ]
    assert not folder.exists()


def test_a_changed_log_is_reported_and_kept(layout: Layout) -> None:
    layout.log.write_text("log")
    assert remove_damaged(layout, ["cell"], [MODEL]) == [
        "log.jsonl has changed since it was written; the log is kept and continued"
    ]
    assert layout.log.read_text() == "log"


def test_cells_that_a_run_does_not_use_are_not_read(layout: Layout) -> None:
    (layout.model(KEY) / "file.txt").write_text("changed")
    assert verify(layout, [], [])[1] == []

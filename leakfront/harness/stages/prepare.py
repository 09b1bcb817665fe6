"""The coins and the training set of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from leakfront.defenses import Defense, TrainingSet
from leakfront.errors import InputError
from leakfront.harness.plan.plan import CellPlan
from leakfront.harness.pool.pool import Pool, training_set
from leakfront.harness.stages.pool import member_share, members_of
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.stages.stored_json import read_facts
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.mapped import mapped
from leakfront.harness.store.texts import as_array, as_texts
from leakfront.registry import parameters


def _settings(subject: Subject) -> list[Any]:
    config = subject.plan.config
    layers = [[layer.name, parameters(layer)] for layer in subject.cell.point.stack if layer.overrides("prepare")]
    told = [] if config.data.labels == "class" else [config.data.labels]
    return [layers, config.data.coin, subject.cell.split, config.seed, *told]


def _code(subject: Subject) -> list[str]:
    told = [] if subject.plan.config.data.labels == "class" else ["leakfront.harness.pool.told_labels"]
    preparing = [layer for layer in subject.cell.point.stack if layer.overrides("prepare")]
    return [*told, *(name for layer in preparing for name in plugin_code(layer))]


def _run(work: Work) -> Files:
    """Flip the coins (or use the known membership), select the members, and let the defenses prepare them.

    The expected size of the training set is public: the size of the whole pool after the same preparation, times the
    coin's probability. The real size depends on the coins.
    """
    members = members_of(work.plan, work.layout, work.pool, work.cell.split)
    preparing = [layer for layer in work.cell.point.stack if layer.overrides("prepare")]
    dataset = _prepared(preparing, work.pool, members)
    total = len(_prepared(preparing, work.pool, np.ones_like(members))) if preparing else int(work.pool.copies.sum())
    arrays = {"images": dataset.images, "labels": dataset.labels, "pool_index": dataset.pool_index}
    if dataset.captions is not None:
        arrays["captions"] = as_array(dataset.captions)
    if dataset.subject_of is not None:
        arrays["subject_of"] = dataset.subject_of
    return {
        "coins.safetensors": {"members": members},
        "training_set.safetensors": {name: np.ascontiguousarray(values) for name, values in arrays.items()},
        "prepare.json": {"expected_size": total * member_share(work.plan, members), "notes": dataset.notes},
    }


def _prepared(layers: Sequence[Defense], pool: Pool, members: np.ndarray) -> TrainingSet:
    """The training set of `members`, bool [P], after the preparation by `layers`."""
    dataset = training_set(pool, members)
    for defense in layers:
        dataset = prepared(defense, dataset)
    return dataset


def prepared(defense: Defense, dataset: TrainingSet) -> TrainingSet:
    """The training set as a defense prepares it; `InputError` if captions got lost, which would train without them."""
    after = defense.prepare(dataset)
    lost = (after.captions is None) != (dataset.captions is None)
    if lost or (after.captions is not None and len(after.captions) != len(after)):
        raise InputError(
            f"{defense.name} does not keep a caption with each image; its `prepare` must, as `TrainingSet.select` does"
        )
    if (after.subject_of is None) != (dataset.subject_of is None):
        raise InputError(
            f"{defense.name} does not keep the subjects of the images; its `prepare` must, as `TrainingSet.select` does"
        )
    return after


PREPARE = Stage("prepare", "cell", inputs=("pool",), settings=_settings, code=_code, run=_run)


def load_prepared(cell: CellPlan, layout: Layout) -> tuple[TrainingSet, float]:
    """The prepared training set of a cell, mapped (see `store.mapped`), and its expected size."""
    folder = layout.stage(cell.name, PREPARE.name)
    arrays: dict[str, Any] = mapped(folder / "training_set.safetensors")
    captions = as_texts(arrays.pop("captions")) if "captions" in arrays else None
    facts = read_facts(folder / "prepare.json", notes=dict, expected_size=(int, float))
    return TrainingSet(**arrays, notes=facts["notes"], captions=captions), facts["expected_size"]


def load_notes(cell: CellPlan, layout: Layout) -> dict[str, float]:
    """The numbers that defenses reported about their work on the training set."""
    notes: dict[str, float] = read_facts(layout.stage(cell.name, PREPARE.name) / "prepare.json", notes=dict)["notes"]
    return notes


def load_members(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The coins of a cell, bool [P]; true for members."""
    return load_file(layout.stage(cell.name, PREPARE.name) / "coins.safetensors")["members"].astype(bool)

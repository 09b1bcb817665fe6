"""Coins and training set of a cell."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import load_file, save_file

from leakfront.defenses import TrainingSet
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool, training_set
from leakfront.harness.stages.pool import member_share, members_of
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout


def prepare(plan: Plan, cell: CellPlan, layout: Layout, pool: Pool) -> None:
    """Flip the coins (or take membership as it is given), take the members, and let the defenses prepare them.

    The expected size of the training set, which is public, is that of the whole pool prepared in the same way, times
    the coin's probability; the real size depends on the coins.
    """
    folder = layout.stage(cell.name, "prepare")
    if stored_key(folder) == cell.keys["prepare"]:
        return
    members = members_of(plan, layout, pool, cell.split)
    dataset, everything = training_set(pool, members), training_set(pool, np.ones_like(members))
    for defense in cell.point.stack:
        dataset, everything = defense.prepare(dataset), defense.prepare(everything)
    with writing(folder, cell.keys["prepare"]) as place:
        save_file({"members": members}, place / "coins.safetensors")
        arrays = {"images": dataset.images, "labels": dataset.labels, "pool_index": dataset.pool_index}
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, place / "training_set.safetensors")
        facts = {"expected_size": len(everything) * member_share(plan, members), "notes": dataset.notes}
        (place / "prepare.json").write_text(json.dumps(facts, indent=1))


def load_prepared(cell: CellPlan, layout: Layout) -> tuple[TrainingSet, float]:
    """The training set and its expected size."""
    folder = layout.stage(cell.name, "prepare")
    arrays = load_file(folder / "training_set.safetensors")
    facts = json.loads((folder / "prepare.json").read_text())
    return TrainingSet(**arrays, notes=facts["notes"]), facts["expected_size"]


def load_members(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The coins, bool [P]."""
    return load_file(layout.stage(cell.name, "prepare") / "coins.safetensors")["members"].astype(bool)

"""What a run's private models guarantee: each defense alone, and all models together if all of them are released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from leakfront.errors import InputError
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.train import CHECKPOINT, TRAIN, load_facts
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.secret import read_secret


def facts_of_privacy(plan: Plan, measured: Sequence[CellPlan], layout: Layout, pool: Pool) -> dict[str, Any]:
    """The guarantees by defense, their composition, and where the secret draws came from, for run.json.

    With subjects, each is stated for all images of one together, or left out if that is not known.
    """
    stated = partial(_of_subject, most=0 if pool.subjects is None else int(np.bincount(pool.subjects).max()))
    by_model: dict[str, dict[str, Any]] = {}
    by_label: dict[str, dict[str, Any] | None] = {point.label: None for point in plan.points}
    for cell in measured:
        found = _guarantee(cell, layout)
        if found is None:
            continue
        by_model[cell.keys[TRAIN.name]] = found  # cells with the same weights release one model
        largest = by_label[cell.point.label]
        if largest is None or found["epsilon"] > largest["epsilon"]:
            by_label[cell.point.label] = found
    by_label = {label: found and stated(found) for label, found in by_label.items()}
    facts: dict[str, Any] = {"guarantees": by_label}
    if by_model:
        together = [stated(found) for found in composed(list(by_model.values()))]
        facts["composed_guarantees"] = [found for found in together if found is not None]
        secret = read_secret(layout)
        facts |= {"private_draws": secret.origin, "private_draws_before": secret.before}
    return facts


def is_begun(cell: CellPlan, layout: Layout) -> bool:
    """Whether the folder holds the cell's model, or the state of its unfinished training."""
    key = cell.keys[TRAIN.name]
    return layout.model(key).is_dir() or layout.model(key, CHECKPOINT).is_dir()


def _guarantee(cell: CellPlan, layout: Layout) -> dict[str, Any] | None:
    """The guarantee of a cell's model. Raises `InputError` for one of another form than training writes."""
    found: dict[str, Any] | None = load_facts(cell, layout).get("guarantee")
    if found is None:
        return None
    kinds: dict[str, Any] = {"epsilon": (int, float), "delta": (int, float), "unit": str, "group": int, "history": list}
    good = isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in kinds.items())
    if not good or not all(isinstance(part, list) and len(part) == 3 for part in found["history"]):
        folder = layout.model(cell.keys[TRAIN.name])
        raise InputError(f"{folder / 'train.json'} has a guarantee of another form; delete {folder} to train again")
    return found


def _of_subject(found: dict[str, Any], most: int) -> dict[str, Any] | None:
    """The guarantee for a whole subject of at most `most` pool images (0: there are no subjects).

    None for one of single images only, such as one without a history of its noise.
    """
    if most == 0:
        return found
    group = int(found.get("group", 1))
    alone = most == 1 or (group == 1 and found.get("history"))  # DP-SGD has counted the images of subjects
    epsilon = found["epsilon"] if alone else found.get("group_epsilon")
    if epsilon is None:
        return None
    rest = {key: value for key, value in found.items() if key not in ("group", "group_epsilon")}
    return {**rest, "epsilon": epsilon, "unit": f"subject with at most {group} training images"}


def composed(guarantees: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One guarantee for all of these models together, for each unit that they protect.

    Guarantees with a history of DP-SGD compose by Renyi divergences (Mironov 2017, arXiv 1702.07476, proposition 1), at
    the smallest of their deltas. If one has no history, epsilons and deltas are added up (basic composition). The
    draws of the models must be independent.
    """
    units: dict[str, list[Mapping[str, Any]]] = {}
    for guarantee in guarantees:
        units.setdefault(guarantee["unit"], []).append(guarantee)
    return [{"unit": unit, "models": len(same), **_together(same)} for unit, same in units.items()]


def _together(guarantees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    from leakfront.defenses.training.accounting import group_epsilon

    if not all(guarantee["history"] for guarantee in guarantees):
        epsilon, delta = (sum(guarantee[key] for guarantee in guarantees) for key in ("epsilon", "delta"))
        return {"epsilon": epsilon, "delta": delta, "accountant": "basic composition"}
    steps: Counter[tuple[float, float]] = Counter()
    for guarantee in guarantees:
        for sigma, rate, count in guarantee["history"]:
            steps[sigma, rate] += int(count)
    history = tuple((sigma, rate, count) for (sigma, rate), count in steps.items())
    delta, group = min(g["delta"] for g in guarantees), max(g["group"] for g in guarantees)
    together = {"epsilon": group_epsilon(history, delta, 1), "delta": delta, "accountant": "rdp"}
    if group > 1:
        together |= {"group": group, "group_epsilon": group_epsilon(history, delta, group)}
    return together

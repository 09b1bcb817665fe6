"""What a run's private models guarantee: each defense alone, and all models together if all of them are released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leakfront.defenses import ONE_COPY
from leakfront.errors import InputError
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.train import CHECKPOINT, TRAIN, load_facts
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.secret import read_secret


def facts_of_privacy(plan: Plan, measured: Sequence[CellPlan], layout: Layout, pool: Pool) -> dict[str, Any]:
    """The guarantees by defense, their composition, and where the secret draws came from, for run.json.

    That of a defense holds for its models of all splits. Groups are those of the pool, which is public, and not those
    that the coins of a split make members. With subjects, each guarantee is stated for all images of one together, or
    left out if that is not known.
    """
    by_model: dict[str, dict[str, Any] | None] = {}
    by_label: dict[str, list[dict[str, Any]]] = {point.label: [] for point in plan.points}
    for cell in measured:
        found = _guarantee(cell, layout)
        if found is None:
            continue
        stated = _of_pool(found, cell, pool)
        by_model[cell.keys[TRAIN.name]] = stated  # cells with the same weights release one model
        by_label[cell.point.label] += [stated] if stated is not None else []
    facts: dict[str, Any] = {"guarantees": {label: _of_all_splits(found) for label, found in by_label.items()}}
    if by_model:
        known = [stated for stated in by_model.values() if stated is not None]
        together = [composed(known)] if len(known) == len(by_model) else []
        facts["composed_guarantees"] = [one if pool.subjects is None else _whole(one) for one in together]
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


def _of_pool(found: dict[str, Any], cell: CellPlan, pool: Pool) -> dict[str, Any] | None:
    """The guarantee of a model for the groups of the pool: the copies of an image, or the images of a subject.

    None with subjects if it is one of single images only: without a history of its noise, or behind a defense that
    changes the unit, such as deduplication, where the images of one subject decide which of others are kept.
    """
    changed = any(layer.overrides("unit") for layer in cell.point.stack)
    if pool.subjects is not None:
        return None if changed else _of_subject(found, int(np.bincount(pool.subjects).max()))
    copies = int(pool.copies.max())
    if found["group"] == 1 and (copies == 1 or changed):
        return found  # no image has copies, or they were removed
    unit, *remark = found["unit"].partition("; ")
    one = "" if unit.endswith(ONE_COPY) else ONE_COPY  # missing where no image with copies was made a member
    return {**_of_group(found, max(found["group"], copies)), "unit": "".join((unit, one, *remark))}


def _of_group(found: dict[str, Any], group: int) -> dict[str, Any]:
    """The guarantee with another size of its groups; without a history, the epsilon that is stated for its own."""
    if not found["history"]:
        return found
    from leakfront.defenses.training.accounting import group_epsilon

    history = tuple((sigma, rate, int(count)) for sigma, rate, count in found["history"])
    return {**found, "group": group, "group_epsilon": group_epsilon(history, found["delta"], group)}


def _of_subject(found: dict[str, Any], most: int) -> dict[str, Any] | None:
    """The guarantee for a whole subject of at most `most` pool images; None for one of single images only."""
    if most > 1 and not found["history"]:
        return None
    epsilon = found["epsilon"] if most == 1 else _of_group(found, most)["group_epsilon"]
    remark = found["unit"].partition("; ")[1:]
    unit = "".join((f"subject with at most {most} training image{'s' * (most > 1)}", *remark))
    rest = {key: value for key, value in found.items() if key != "group_epsilon"}
    accountant = {"accountant": "rdp"} if most > 1 else {}  # that of `group_epsilon`
    return {**rest, **accountant, "epsilon": epsilon, "group": most, "unit": unit}


def _whole(together: dict[str, Any]) -> dict[str, Any]:
    """A composed guarantee for whole subjects: its epsilon is that of the group."""
    rest = {key: value for key, value in together.items() if key not in ("group", "group_epsilon")}
    return {**rest, "epsilon": together.get("group_epsilon", together["epsilon"])}


def _of_all_splits(found: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What holds for the models of all splits: the largest epsilons; None without a guarantee."""
    if not found:
        return None
    largest = max(found, key=lambda one: (one.get("group_epsilon") or one["epsilon"], one["epsilon"]))
    return {**largest, "epsilon": max(one["epsilon"] for one in found)}


def composed(guarantees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One guarantee for all of these models together, for one unit of each.

    Guarantees with a history of DP-SGD compose by Renyi divergences (Mironov 2017, arXiv 1702.07476, proposition 1), at
    the smallest of their deltas. If one has no history, epsilons and deltas are added up (basic composition). The
    draws of the models must be independent. A unit that is protected with all its copies is protected as one copy; so
    units whose names differ compose, and all are named.
    """
    units = dict.fromkeys(str(guarantee["unit"]) for guarantee in guarantees)
    return {"unit": " / ".join(units), "models": len(guarantees), **_together(guarantees)}


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

"""What a run states for its private models: for all splits, for whole subjects, and for all models together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leakfront.defenses.training.accounting import group_epsilon
from leakfront.harness.stages import guarantees
from leakfront.harness.stages.guarantees import composed, facts_of_privacy
from leakfront.harness.store.layout import Layout

HISTORY = ((4.0, 0.1, 20),)
IMAGE, COPY = "training image", "training image (one copy of it)"
PUBLIC = "private training image; the public images are not protected"


def stated(**changes: Any) -> dict[str, Any]:
    """A guarantee as a training writes it."""
    history = [list(part) for part in changes.pop("history", HISTORY)]
    made = {"epsilon": 1.0, "delta": 1e-5, "accountant": "prv", "unit": IMAGE, "group": 1, "group_epsilon": None}
    return {**made, "history": history, **changes}


def facts(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, list[dict[str, Any]]], changes_unit: bool = False, **pool: Any
) -> dict[str, Any]:
    """What is stated for models by defense, one for each split, on a pool with these `copies` and `subjects`."""
    layer = SimpleNamespace(overrides=lambda *hooks: changes_unit and "unit" in hooks)
    held, cells = {}, []
    for label, splits in models.items():
        for split, guarantee in enumerate(splits):
            name = f"{label}-split{split}"
            held[name] = {"guarantee": guarantee}
            point = SimpleNamespace(label=label, stack=[layer])
            cells.append(SimpleNamespace(name=name, point=point, keys={"train": name}))
    monkeypatch.setattr(guarantees, "load_facts", lambda cell, layout: held[cell.name])
    monkeypatch.setattr(guarantees, "read_secret", lambda layout: SimpleNamespace(origin="privacy_seed", before=False))
    plan: Any = SimpleNamespace(points=[SimpleNamespace(label=label) for label in models])
    made: Any = SimpleNamespace(**{"subjects": None, "copies": np.ones(4, np.int64), **pool})
    return facts_of_privacy(plan, cells, Layout(Path("nowhere")), made)  # type: ignore[arg-type]


def test_a_guarantee_holds_for_the_models_of_all_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image with copies is a member in the first split, one with eight in the second."""
    second = stated(unit=COPY, group=8, group_epsilon=group_epsilon(HISTORY, 1e-5, 8))
    found = facts(monkeypatch, {"dp": [stated(), second]}, copies=np.array([1, 1, 8]))
    for held in (found["guarantees"]["dp"], *found["composed_guarantees"]):
        assert (held["group"], held["unit"]) == (8, COPY)
    assert found["guarantees"]["dp"]["group_epsilon"] == second["group_epsilon"]
    coins_of_none = facts(monkeypatch, {"dp": [stated(), stated()]}, copies=np.array([1, 1, 8]))
    assert coins_of_none["guarantees"] == found["guarantees"]  # which says nothing of the coins


def test_copies_that_are_removed_are_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = "training image with all its exact copies"
    found = facts(monkeypatch, {"dp": [stated(unit=unit)]}, changes_unit=True, copies=np.array([1, 8]))
    assert found["guarantees"]["dp"] == stated(unit=unit)


def test_with_subjects_it_is_that_of_the_largest_in_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the largest is a decoy: the audit guesses about it, too."""
    subjects = np.array([0, 1, 1, 2, 2, 2])
    models = {"dp": [stated(), stated(group=2, group_epsilon=1.9)], "tuned": [stated(unit=PUBLIC)]}
    found = facts(monkeypatch, models, subjects=subjects)
    held = found["guarantees"]["dp"]
    assert held["unit"] == "subject with at most 3 training images"
    assert held["epsilon"] == group_epsilon(HISTORY, 1e-5, 3)
    assert held["accountant"] == "rdp"
    (together,) = found["composed_guarantees"]
    assert together["epsilon"] == pytest.approx(group_epsilon(((4.0, 0.1, 60),), 1e-5, 3))
    assert together["epsilon"] > held["epsilon"]
    assert "group" not in together
    tuned = found["guarantees"]["tuned"]["unit"]
    assert tuned == "subject with at most 3 training images; the public images are not protected"
    alone = facts(monkeypatch, {"dp": [stated(history=())]}, subjects=np.arange(4))
    assert alone["guarantees"]["dp"]["epsilon"] == 1.0
    assert alone["guarantees"]["dp"]["unit"] == "subject with at most 1 training image"


def test_with_subjects_one_of_single_images_is_not_stated_alone_or_in_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = np.array([0, 0, 1, 1])
    for models, changes in (({"a": [stated()], "b": [stated(history=())]}, False), ({"b": [stated()]}, True)):
        found = facts(monkeypatch, models, changes_unit=changes, subjects=subjects)
        assert found["guarantees"]["b"] is None
        assert found["composed_guarantees"] == []


def test_all_models_compose_whatever_their_units_are_called() -> None:
    together = composed([stated(), stated(unit=PUBLIC), stated(unit=COPY, group=8)])
    assert together["models"] == 3
    assert together["epsilon"] == pytest.approx(group_epsilon(((4.0, 0.1, 60),), 1e-5, 1))
    assert together["group_epsilon"] == pytest.approx(group_epsilon(((4.0, 0.1, 60),), 1e-5, 8))
    assert together["unit"] == f"{IMAGE} / {PUBLIC} / {COPY}"
    basic = composed([stated(), stated(history=(), epsilon=2.5, delta=1e-6)])
    assert (basic["epsilon"], basic["delta"]) == (3.5, pytest.approx(1.1e-5))

"""What another run has finished is copied by its key, and only once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.prepare import load_members
from leakfront.harness.store.layout import Layout
from leakfront.harness.take_over import take_over
from tests.in_process import train_here
from tests.small_config import small


def test_what_has_the_same_key_is_taken_and_only_once(tmp_path: Path) -> None:
    settings = small(model={"name": "gaussian"}, splits=1)
    one, two = Layout(tmp_path / "one"), Layout(tmp_path / "two")
    train_here(settings, one.root)
    plan = make_plan(parse_config(settings))
    assert take_over(plan, two, [one]) == 2  # members and model; nothing else is made yet
    (cell,) = plan.cells
    np.testing.assert_array_equal(load_members(cell, two), load_members(cell, one))
    assert take_over(plan, two, [one]) == 0
    assert take_over(make_plan(parse_config({**settings, "seed": 1})), Layout(tmp_path / "three"), [one, two]) == 0

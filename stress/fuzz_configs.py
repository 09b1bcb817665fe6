"""Absurd configs, files that are no configs, and values of --set: each is planned, or refused in one sentence."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stress.counts import Counts
from stress.hypotheses import failures

SETTINGS, FILES, OVERRIDES = 1200, 400, 400


def run(seed: int, budget: float = 1.0) -> Counts:
    """Plan each of them within 20 s of CPU time and 1 GiB of memory."""
    from tests.containment import warm_up
    from tests.hostile_configs import hostile_files, hostile_overrides, hostile_settings

    warm_up()
    tried: dict[str, int] = {}
    wrong: list[str] = []
    kinds = {
        "configs with absurd settings": (hostile_settings(), SETTINGS),
        "files that are no config": (hostile_files(), FILES),
        "overrides": (hostile_overrides(), OVERRIDES),
    }
    with tempfile.TemporaryDirectory() as folder:
        for what, (strategy, full) in kinds.items():
            tried[what] = max(1, round(full * budget))
            wrong += failures(strategy, lambda case: case.complaint(Path(folder)), tried[what], seed)
    return Counts(tried, wrong)

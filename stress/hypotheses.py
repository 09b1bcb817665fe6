"""Cases from Hypothesis, all of which are tried, whatever the outcome of earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BLOCK = 100  # cases that share a seed


def failures(strategy: Any, complaint: Callable[[Any], str], cases: int, seed: int) -> list[str]:
    """Try `cases` cases of a strategy; a sentence for each that went wrong.

    Block b of the cases depends on (seed, b) alone.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from leakfront.seeds import derive_seed

    found: list[str] = []
    for block in range(-(-cases // BLOCK)):

        @seeded(derive_seed("stress", seed, block))
        @settings(
            max_examples=min(BLOCK, cases - block * BLOCK),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def one(case: Any) -> None:
            if said := complaint(case):
                found.append(f"{said} | {case!r:.2000}")

        one()
    return found

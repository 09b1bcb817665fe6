"""What captions give away, as a part of a sentence on several models."""

from __future__ import annotations

from collections.abc import Sequence

from leakfront.results.page.span import plain, span
from leakfront.results.run.copies import ATTACK
from leakfront.results.run.point import Point
from leakfront.results.run.rows import WITH_WEIGHTS
from leakfront.results.run.summary import Summary


def by_caption(summary: Summary, points: Sequence[Point], bases: Sequence[Point] = ()) -> list[str]:
    """ "captions give their own image for 7.33 [5.9, 8.77] members and 0 decoys, against 11.7 members undefended": a
    part for each attack that asks by captions; none without such an attack.

    bases: the undefended models.
    """
    labels = [label for label in summary.attacks if summary.facts.get(label, {}).get("attack") == ATTACK]
    return [part for label in labels if (part := _of_attack(summary, label, points, bases))]


def _of_attack(summary: Summary, label: str, points: Sequence[Point], bases: Sequence[Point]) -> str:
    def count(whose: str, past: str = "") -> str:
        return span(points, lambda point: summary.value(point, label, f"{whose}_extracted{past}"), of=f" {whose}")

    if not (found := count("members")):
        return ""
    undefended = plain(bases, lambda point: summary.value(point, label, "members_extracted"))
    past = count("members", WITH_WEIGHTS)
    return (
        f"captions give their own image for {found} and {count('decoys')}"
        + (f", with the weights for {past}" if past else "")
        + (f", against {undefended} members undefended" if undefended else "")
    )

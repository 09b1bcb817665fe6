"""Which attacks tell members from decoys on which models: one test for each, corrected for the number of all."""

from __future__ import annotations

from collections.abc import Sequence

from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.statistics.guessing import guessing_p_value
from leakfront.results.statistics.splits import holm


class AgainstGuessing:
    """Tests of every AUC of a run against 0.5 (controls excluded), two-sided, corrected for their number (Holm).

    An AUC below 0.5 counts as much as one above: the attack finds members, and takes them for decoys.
    """

    def __init__(self, summary: Summary, points: Sequence[Point], level: float) -> None:
        attacks = [attack for attack in summary.attacks if attack not in summary.controls]
        tested: dict[tuple[Point, str], tuple[float, float]] = {}
        for point in points:
            for attack in attacks:
                found = _test(summary, point, attack)
                if found is not None:
                    tested[point, attack] = found
        adjusted = holm([p for p, _ in tested.values()]) if tested else ()
        self._signs = {
            pair: 0 if p >= level else 1 if mean > 0.5 else -1
            for (pair, (_, mean)), p in zip(tested.items(), adjusted, strict=True)
        }

    @property
    def count(self) -> int:
        """The number of tests."""
        return len(self._signs)

    def sign(self, point: Point, attack: str) -> int:
        """1 if the AUC is shown to be above 0.5, -1 if below, 0 if neither is shown or nothing was tested."""
        return self._signs.get((point, attack), 0)

    def tested(self, point: Point) -> list[str]:
        """The attacks tested on a model."""
        return [attack for of, attack in self._signs if of == point]

    def above(self, point: Point) -> list[str]:
        """The attacks whose AUC on a model is shown to be above 0.5."""
        return [attack for attack in self.tested(point) if self.sign(point, attack) > 0]

    def below(self, point: Point) -> list[str]:
        """Those whose AUC is shown to be below 0.5."""
        return [attack for attack in self.tested(point) if self.sign(point, attack) < 0]


def _test(summary: Summary, point: Point, attack: str) -> tuple[float, float] | None:
    """The p-value and the mean AUC over splits; None without AUCs, or if the number of members is not known."""
    aucs = {split: value for split, value in summary.per_split(point, attack, "auc").items() if value.known}
    members = {split: summary.members_of(point, attack, split) for split in aucs}
    counts = [(aucs[split].value, m, aucs[split].n - m) for split, m in members.items() if m and aucs[split].n > m]
    if not counts:
        return None
    values, inside, outside = (list(column) for column in zip(*counts, strict=True))
    return guessing_p_value(values, inside, outside, summary.shares_coins(attack)), sum(values) / len(values)

"""Every defense against the undefended model of its run: which differences the splits show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from leakfront.results.page.guessing import AgainstGuessing
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

FEWEST_SPLITS = 3  # for a claim that two defenses differ
LEVEL = 0.05
Quantity = Literal["extracted", "auc", "fid"]
_Pair = tuple[Mapping[str, Value], Mapping[str, Value]]  # of a defense and of the undefended model, by split
_Pairs = Sequence[_Pair]  # mostly one; of the FID one for each fit of the features


@dataclass(frozen=True)
class Outcome:
    """How a defense compares with the undefended model.

    sign: -1 or 1 where the number is shown to be lower or higher, 0 where no difference is shown. shown_by: "p = 0.01"
    or "intervals apart"; empty where no difference is shown. apart: whether the intervals over splits do not overlap,
    which is no proof among many strengths.
    """

    sign: Literal[-1, 0, 1]
    shown_by: str
    apart: bool

    def said(self, less: str, more: str) -> str:
        """`less` or `more` with its evidence, or that no difference is shown."""
        if self.sign:
            return f"{less if self.sign < 0 else more}, {self.shown_by}"
        return f"no difference shown{', though the intervals lie apart' if self.apart else ''}"


class Comparisons:
    """Tests of every defense against the undefended model (images extracted, AUC, FID), and of AUCs against guessing.

    A paired t test over at least 3 splits shows a difference, corrected for the number of strengths compared (Holm).
    Where one of the two has the same value in all splits, intervals that lie apart show it, too. The AUC is that of the
    attack in front, which was named before the run. Runs of earlier versions have none; there it is the highest over
    the attacks that judged both models in a split (controls excluded), so that the choice of an attack favours neither.
    If the features were fitted several times, FIDs differ if they do, in the same direction, with each fit: the largest
    p counts.
    """

    def __init__(self, summary: Summary, points: Sequence[Point]) -> None:
        self._summary = summary
        self._points = points
        self.guessing = AgainstGuessing(summary, points, LEVEL)
        self._outcomes: dict[Quantity, dict[Point, Outcome]] = {
            "extracted": self._compare(summary.extracted, self._extracted),
            "auc": self._compare(self._leading, self._aucs),
            "fid": self._compare(summary.fid, self._fids),
        }

    def outcome(self, quantity: Quantity, point: Point) -> Outcome | None:
        """The comparison of a point; None where none could be made."""
        return self._outcomes[quantity].get(point)

    @property
    def most(self) -> int:
        """The largest number of strengths for which a measure is corrected."""
        return max(map(len, self._outcomes.values()))

    def _compare(
        self, mean: Callable[[Point], Value | None], of_splits: Callable[[Point, Point], _Pairs]
    ) -> dict[Point, Outcome]:
        """Test every defense that has enough splits. mean: over splits. of_splits: of a defense and its baseline."""
        from leakfront.results.statistics.splits import holm

        tested: dict[Point, tuple[float, float, bool, bool]] = {}  # p, mean difference, proof by intervals, apart
        for point in self._points:
            baseline = self._summary.baseline_of(point)
            if baseline is None or baseline == point:
                continue
            ours, theirs = mean(point), mean(baseline)
            if ours is None or theirs is None:
                continue
            found = [test for pair in of_splits(point, baseline) if (test := _test(pair, ours, theirs)) is not None]
            if found:
                p, difference, proof, apart = max(found)
                one_way = len({other > 0 for _, other, *_ in found}) == 1
                tested[point] = p if one_way else 1.0, difference, proof, apart
        adjusted = holm([p for p, *_ in tested.values()]) if tested else ()
        outcomes = {}
        for (point, (_, difference, proof, apart)), p in zip(tested.items(), adjusted, strict=True):
            shown_by = f"p = {p:.2g}" if p < LEVEL else "intervals apart" if proof else ""
            outcomes[point] = Outcome(0 if not shown_by else -1 if difference < 0 else 1, shown_by, apart)
        return outcomes

    def _extracted(self, point: Point, baseline: Point) -> _Pairs:
        mine, other = (
            {s: value for s in self._summary.splits(p) if (value := self._summary.extracted(p, s)) is not None}
            for p in (point, baseline)
        )
        return [(mine, other)]

    def _fids(self, point: Point, baseline: Point) -> _Pairs:
        pairs = []
        for metric, level in self._summary.fids_of_fits(point):
            mine, other = (self._summary.per_split(p, "fid", metric, level) for p in (point, baseline))
            pairs.append((mine, other))
        return pairs

    def _leading(self, point: Point) -> Value | None:
        found = self._summary.leading(point)
        return found[1] if found is not None else None

    def _aucs(self, point: Point, baseline: Point) -> _Pairs:
        attack = self._summary.in_front
        if attack is None:
            return self._highest(point, baseline)
        mine, other = (self._summary.per_split(p, attack, "auc") for p in (point, baseline))
        return [(mine, other)]

    def _highest(self, point: Point, baseline: Point) -> _Pairs:
        """In each split the highest AUC over the attacks that judged both models."""
        mine: dict[str, Value] = {}
        other: dict[str, Value] = {}
        for attack in self._summary.attacks:
            if attack in self._summary.controls:
                continue
            both = [self._summary.per_split(p, attack, "auc") for p in (point, baseline)]
            for split in both[0]:
                if split in both[1] and both[0][split].known and both[1][split].known:
                    for highest, values in zip((mine, other), both, strict=True):
                        if split not in highest or values[split].value > highest[split].value:
                            highest[split] = values[split]
        return [(mine, other)]


def _test(pair: _Pair, ours: Value, theirs: Value) -> tuple[float, float, bool, bool] | None:
    """p, mean difference, proof by intervals, and whether these lie apart; None for too few splits.

    ours, theirs: over all splits.
    """
    from leakfront.results.statistics.splits import apart_without_variance, paired_test

    mine, other = pair
    shared = [s for s in mine if s in other and mine[s].known and other[s].known]
    if len(shared) < FEWEST_SPLITS:
        return None
    values = [[of[split] for split in shared] for of in pair]
    a, b = ([v.value for v in one] for one in values)
    ends = [([v.low for v in one], [v.high for v in one]) for one in values]
    proof = apart_without_variance(a, b, (ours.low, ours.high), (theirs.low, theirs.high))
    return *paired_test(a, b, *ends), proof, ours.below(theirs) or ours.above(theirs)

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
        self, mean: Callable[[Point], Value | None], of_splits: Callable[[Point, Point], _Pair]
    ) -> dict[Point, Outcome]:
        """Test every defense that has enough splits. mean: over splits. of_splits: of a defense and its baseline."""
        from leakfront.results.statistics.splits import apart_without_variance, holm, paired_test

        tested: dict[Point, tuple[float, float, bool, bool]] = {}  # p, mean difference, proof by intervals, apart
        for point in self._points:
            baseline = self._summary.baseline_of(point)
            if baseline is None or baseline == point:
                continue
            mine, other = of_splits(point, baseline)
            shared = [s for s in mine if s in other and mine[s].known and other[s].known]
            ours, theirs = mean(point), mean(baseline)
            if len(shared) < FEWEST_SPLITS or ours is None or theirs is None:
                continue
            pairs = [[values[split] for split in shared] for values in (mine, other)]
            a, b = ([v.value for v in values] for values in pairs)
            ends = [([v.low for v in values], [v.high for v in values]) for values in pairs]
            proof = apart_without_variance(a, b, (ours.low, ours.high), (theirs.low, theirs.high))
            tested[point] = (*paired_test(a, b, *ends), proof, ours.below(theirs) or ours.above(theirs))
        adjusted = holm([p for p, *_ in tested.values()]) if tested else ()
        outcomes = {}
        for (point, (_, difference, proof, apart)), p in zip(tested.items(), adjusted, strict=True):
            shown_by = f"p = {p:.2g}" if p < LEVEL else "intervals apart" if proof else ""
            outcomes[point] = Outcome(0 if not shown_by else -1 if difference < 0 else 1, shown_by, apart)
        return outcomes

    def _extracted(self, point: Point, baseline: Point) -> _Pair:
        mine, other = (
            {s: value for s in self._summary.splits(p) if (value := self._summary.extracted(p, s)) is not None}
            for p in (point, baseline)
        )
        return mine, other

    def _fids(self, point: Point, baseline: Point) -> _Pair:
        mine, other = (self._summary.per_split(p, "fid", self._summary.fid_metric) for p in (point, baseline))
        return mine, other

    def _leading(self, point: Point) -> Value | None:
        found = self._summary.leading(point)
        return found[1] if found is not None else None

    def _aucs(self, point: Point, baseline: Point) -> _Pair:
        attack = self._summary.in_front
        if attack is None:
            return self._highest(point, baseline)
        mine, other = (self._summary.per_split(p, attack, "auc") for p in (point, baseline))
        return mine, other

    def _highest(self, point: Point, baseline: Point) -> _Pair:
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
        return mine, other

"""The rows of a run, found by point: a defense at a strength is one row of a table and one point of a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from leakfront.results.run.families import CONTROL, FAMILIES, family
from leakfront.results.run.point import Point
from leakfront.results.run.rows import ALL, AT_SAMPLES, HELD_OUT, NO_MODEL, NOISE, OF_FIT, WITH_WEIGHTS
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    import pandas as pd

EXTRACTION = "extraction"  # the attack whose count is the privacy axis
_EXTRACTED = "extracted_at_fdr"
_TIMES = ("training_seconds", "sampling_seconds", "probe_seconds", "scoring_seconds")
_READ = ("run", "defense", "params", "split", "source", "metric", "level", "value", "ci_low", "ci_high", "n",
         "ci_method")  # fmt: skip


class Summary:
    """The rows of a run by point, source, metric, level and split; points in the order of the rows.

    attacks: those with an AUC somewhere; suite: these and those that were left out everywhere; both in the order of the
    run. facts: run.json's facts about each attack. rate: the false-discovery rate of the extracted count.
    fid_metric, kid_metric: the names of both in rows.
    """

    def __init__(self, rows: pd.DataFrame, info: Mapping[str, Any]) -> None:
        """rows: with the columns of `rows.Row`. info: run.json."""
        self._values: dict[tuple[Point, str, str, float | None], dict[str, Value]] = {}  # by split
        self._splits: dict[Point, dict[str, None]] = {}
        self._run_of: dict[str, str] = {}
        order: dict[Point, None] = {}
        attacks: dict[str, None] = {}
        names: dict[str, str] = {}  # of the first metric of each source
        self.rate = 0.05
        for run, defense, params, split, source, metric, number, value, low, high, n, method in zip(
            *(rows[column].tolist() for column in _READ), strict=True
        ):
            point, level = Point(defense, params), None if math.isnan(number) else float(number)
            by_split = self._values.setdefault((point, source, metric, level), {})
            by_split[split] = Value(value, low, high, int(n), method)
            if defense not in (HELD_OUT, NOISE):
                order[point] = None
                self._run_of.setdefault(defense, run)
            if split != ALL and metric not in NO_MODEL:
                self._splits.setdefault(point, {})[split] = None
            if metric == "auc":
                attacks[source] = None
            names.setdefault(source, metric)
            if (source, metric) == (EXTRACTION, _EXTRACTED) and level is not None:
                self.rate = level
        self.points: list[Point] = _by_defense(order)
        self.suite = list(dict.fromkeys((*info.get("attacks", ()), *attacks)))
        self.attacks = [attack for attack in self.suite if attack in attacks]
        self.facts: dict[str, dict[str, Any]] = info.get("attack_facts", {})
        self._in_front: list[str] = list(info.get("in_front", ()))
        self.fid_metric, self.kid_metric = names.get("fid", "fid"), names.get("kid", "kid")
        self.features = str(info.get("features", "")) if "fid" in names else ""

    @property
    def fdr(self) -> str:
        """The false-discovery rate of the extracted count, as text: "5%"."""
        return f"{100 * self.rate:g}%"

    @property
    def seconds(self) -> str:
        """The unit of times: "CPU s" if they are CPU time, else "s"."""
        times = (by_split for (_, _, metric, _), by_split in self._values.items() if metric in _TIMES)
        kinds = {value.method for by_split in times for split, value in by_split.items() if split != ALL}
        return "CPU s" if kinds == {"CPU time"} else "s"

    @property
    def defenses(self) -> list[str]:
        """The lines of the plots."""
        return list(dict.fromkeys(point.defense for point in self.points))

    @property
    def controls(self) -> list[str]:
        """Attacks that never query the model. Their success is chance or a fault; it never counts as an attack's."""
        return self.families().get(CONTROL, [])

    def families(self) -> dict[str, list[str]]:
        """The attacks of the suite by family, in the order of `FAMILIES`, without empty families."""
        of = {attack: family(self.facts.get(attack, {})) for attack in self.suite}
        groups = {name: [attack for attack in self.suite if of[attack] == name] for name in FAMILIES}
        return {name: group for name, group in groups.items() if group}

    def attacks_on(self, point: Point, split: str) -> list[str]:
        """The attacks made on one model; an attack that lacked shadow models for it is not among them."""
        return [attack for attack in self.attacks if self.value(point, attack, "auc", split) is not None]

    @property
    def undefended(self) -> Point:
        """The undefended model (of the first run), else the first point."""
        return (self.baselines or self.points)[0]

    @property
    def subject(self) -> str:
        """The name of the model of `undefended` in a heading; an external model may have been defended."""
        if self.baselines or not self.points:
            return "the undefended model"
        return "the model" if len(self.points) == 1 else self.undefended.label

    @property
    def baselines(self) -> list[Point]:
        """The undefended models: one, or one for each of several runs drawn together."""
        return [point for point in self.points if self._is_baseline(point)]

    def baseline_of(self, point: Point) -> Point | None:
        """The undefended model of the point's run."""
        run = self._run_of.get(point.defense)
        return next((b for b in self.baselines if self._run_of.get(b.defense) == run), None)

    def value(
        self, point: Point, source: str, metric: str, split: str = ALL, level: float | None = None
    ) -> Value | None:
        """The row's value; for a point with a single split, that split's row stands in for a missing row over all.

        level: of the metric, for one that has levels.
        """
        found = self._values.get((point, source, metric, level), {})
        if split == ALL and ALL not in found:
            return next(iter(found.values())) if len(found) == 1 else None
        return found.get(split)

    def levels(self, point: Point, source: str, metric: str) -> list[float]:
        """The levels at which a metric was measured, lowest first."""
        return sorted(n for p, s, m, n in self._values if (p, s, m) == (point, source, metric) and n is not None)

    def per_split(self, point: Point, source: str, metric: str, level: float | None = None) -> dict[str, Value]:
        """The values of each split, in the order of the splits."""
        found = self._values.get((point, source, metric, level), {})
        return {split: found[split] for split in sorted(found, key=_by_number) if split != ALL}

    def reason(self, point: Point, source: str, metric: str, level: float | None = None) -> str:
        """Why there is no number, from the row of the first split that has none; empty if there is one."""
        unknown = [value for value in self.per_split(point, source, metric, level).values() if not value.known]
        value = unknown[0] if unknown else self.value(point, source, metric, level=level)
        return value.method if value is not None and not value.known else ""

    def fid(self, point: Point) -> Value | None:
        """The FID, over all splits."""
        return self.value(point, "fid", self.fid_metric)

    def fids_of_fits(self, point: Point) -> list[tuple[str, float | None]]:
        """Metric and level of the FID with each fit of the features; that of `fid` alone if they were fitted once."""
        of_fit = f"{self.fid_metric}{OF_FIT}"
        return [(of_fit, level) for level in self.levels(point, "fid", of_fit)] or [(self.fid_metric, None)]

    def against_noise(self, point: Point) -> int | None:
        """-1 if the FID is shown to be lower than that of noise, 1 if higher, 0 if neither; None without an interval.

        With several fits of the features it is shown if it is with each of them: FIDs compare within a fit.
        """
        found = set()
        for metric, level in self.fids_of_fits(point):
            fid, noise = (self.value(p, "fid", metric, level=level) for p in (point, Point(NOISE, "")))
            if fid is None or noise is None or not fid.has_interval or not noise.known:
                return None
            found.add(-1 if fid.below(noise.value) else 1 if fid.above(noise.value) else 0)
        return found.pop() if len(found) == 1 else 0

    def kid(self, point: Point) -> Value | None:
        """The KID, over all splits."""
        return self.value(point, "kid", self.kid_metric)

    def extracted(self, point: Point, split: str = ALL) -> Value | None:
        """The number of unique images extracted at the false-discovery rate."""
        return self.value(point, EXTRACTION, _EXTRACTED, split, self.rate)

    def extracted_per_split(self, point: Point) -> dict[str, Value]:
        """The same for each split."""
        return self.per_split(point, EXTRACTION, _EXTRACTED, self.rate)

    def extracted_with_weights(self, point: Point) -> Value | None:
        """The same for an attacker who holds the weights; None where nothing guards the sampler."""
        return self.value(point, EXTRACTION, f"{_EXTRACTED}{WITH_WEIGHTS}", level=self.rate)

    def planted(self, point: Point) -> Value | None:
        """How many of the extracted images were planted more than once; None where no member was."""
        found = self.value(point, EXTRACTION, f"planted_{_EXTRACTED}", level=self.rate)
        return found if found is not None and found.n else None

    def threshold(self, point: Point, split: str) -> float:
        """The lowest score that counts as extracted; inf if none does."""
        found = self.value(point, EXTRACTION, "threshold_at_fdr", split, self.rate)
        return found.value if found is not None and found.known else math.inf

    def leakiest(self, defense: str) -> Point:
        """The strength of a defense with the most extracted images, by the controlled count, then the fixed rule."""

        def leak(point: Point) -> tuple[float, float]:
            counts = (self.extracted(point), self.value(point, EXTRACTION, "members_adaptive"))
            return tuple(c.value if c is not None and c.known else -1.0 for c in counts)  # type: ignore[return-value]

        return max((point for point in self.points if point.defense == defense), key=leak)

    def scale_end(self, end: str) -> Value | None:
        """The FID of `HELD_OUT` or of `NOISE`."""
        return self.value(Point(end, ""), "fid", self.fid_metric)

    @property
    def held_out_at_samples(self) -> Value | None:
        """The FID that held-out images would have if there were as many of them as samples of a model."""
        return self.value(Point(HELD_OUT, ""), "fid", f"{self.fid_metric}{AT_SAMPLES}")

    def strongest(self, point: Point, metric: str, level: float | None = None) -> tuple[str, Value] | None:
        """The attack with the highest value of a metric, and that value; the first of equals, and never a control."""
        controls = self.controls
        attacks = [attack for attack in self.attacks if attack not in controls]
        found = [(attack, self.value(point, attack, metric, level=level)) for attack in attacks]
        known = [(attack, value) for attack, value in found if value is not None and value.known]
        return max(known, key=lambda pair: pair[1].value) if known else None

    def members_of(self, point: Point, attack: str, split: str) -> int | None:
        """The number of members of one split, from a row of the attack's TPR; None if it has none."""
        found = [self.value(point, attack, "tpr_at_fpr", split, n) for n in self.levels(point, attack, "tpr_at_fpr")]
        return next((value.n for value in found if value is not None), None)

    def shares_coins(self, attack: str) -> bool:
        """Whether an attack uses the models of the other splits as shadow models, and so their coins."""
        return bool(self.facts.get(attack, {}).get("shadows", "none") != "none")

    @property
    def in_front(self) -> str | None:
        """The attack that was named before the run as the one whose AUC stands in front.

        None in runs of earlier versions, and where no such attack has an AUC.
        """
        return next((attack for attack in self._in_front if attack in self.attacks), None)

    def leading(self, point: Point) -> tuple[str, Value] | None:
        """The attack whose AUC stands in front, and that AUC; without one, the attack with the highest AUC."""
        attack = self.in_front
        found = self.value(point, attack, "auc") if attack else None
        return (attack, found) if attack and found is not None and found.known else self.strongest(point, "auc")

    @property
    def why_leading(self) -> str:
        """Why this attack stands in front on the undefended model, after its name: "was named ..." or "has the ..."."""
        return (
            "was named as the attack in front before the run"
            if self.in_front
            else f"has the highest AUC on {self.subject}"
        )

    def diverged(self, point: Point) -> dict[str, int]:
        """The splits whose training diverged, with the step at which it did."""
        return {split: int(v.value) for split, v in self.per_split(point, "train", "diverged").items()}

    def failed(self, point: Point) -> list[str]:
        """The splits that could not be finished."""
        return list(self.per_split(point, "run", "failed"))

    def splits(self, point: Point) -> list[str]:
        """The splits that were measured."""
        return sorted(self._splits.get(point, ()), key=_by_number)

    def _is_baseline(self, point: Point) -> bool:
        return point.defense in ("none", f"{self._run_of.get(point.defense)}: none")


def _by_number(split: str) -> tuple[int, str]:
    return len(split), split


def _by_defense(points: Iterable[Point]) -> list[Point]:
    """The points of one defense together, otherwise in the order given."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.defense, []).append(point)
    return [point for group in groups.values() for point in group]

"""The numbers of a run that tables, figures and sentences name: quality, extraction, the attack in front."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leakfront.results.run.families import CONTROL, FAMILIES, family
from leakfront.results.run.numbers import Numbers
from leakfront.results.run.point import Point
from leakfront.results.run.rows import ALL, AT_SAMPLES, HELD_OUT, NOISE, OF_FIT, WITH_WEIGHTS
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    import pandas as pd

EXTRACTION = "extraction"  # the attack whose count is the privacy axis
_EXTRACTED = "extracted_at_fdr"
_READ = ("source", "metric", "level")


class Summary(Numbers):
    """The numbers of a run by name: quality, extraction, and the attacks with what is known of them.

    attacks: those with an AUC somewhere; suite: these and those that were left out everywhere; both in the order of the
    run. facts: run.json's facts about each attack. rate: the false-discovery rate of the extracted count.
    fid_metric, kid_metric: the names of both in rows.
    """

    def __init__(self, rows: pd.DataFrame, info: Mapping[str, Any]) -> None:
        """rows: with the columns of `rows.Row`. info: run.json."""
        super().__init__(rows)
        attacks: dict[str, None] = {}
        names: dict[str, str] = {}  # of the first metric of each source
        self.rate = 0.05
        for source, metric, level in zip(*(rows[column].tolist() for column in _READ), strict=True):
            if metric == "auc":
                attacks[source] = None
            names.setdefault(source, metric)
            if (source, metric) == (EXTRACTION, _EXTRACTED) and not math.isnan(level):
                self.rate = float(level)
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

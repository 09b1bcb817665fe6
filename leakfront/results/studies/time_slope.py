"""How the time until something happens in training grows with the training set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import MinLen

from leakfront.results.statistics.crossing import first_crossing
from leakfront.results.studies import CannotJudge, Curve, Effect, Measured, Selector, Shown, register
from leakfront.results.studies.judging.data import StudyData, check_selector, metric_label

STEPS, IMAGES = "training_steps", "training_images"


@register("time_slope")
@dataclass(frozen=True)
class TimeSlope(Effect):
    """The exponent a of tau proportional to n^a, by least squares of log tau on log n in each split.

    tau is the number of training steps at which a number is first at least `reaches` (goes "up") or at most (goes
    "down"), between checkpoints by interpolation (`statistics.crossing`); n is the number of training images. measure:
    the columns of the number. arms: a run for each size, whose models are the checkpoints of one training. If any tau
    lies before the first or after the last checkpoint, nothing is judged: without it, the slope would be biased.
    """

    summary = "the slope of the time until a number reaches a level on the number of training images"

    measure: dict[str, Any]
    reaches: float
    arms: Annotated[tuple[str, ...], MinLen(3)]
    goes: Literal["up", "down"] = "up"

    def validate(self) -> None:
        check_selector(self.measure, f"{self.where()}.measure")

    def selectors(self) -> list[Selector]:
        return [{**self.measure, "run": arm} for arm in self.arms]

    def evaluate(self, data: StudyData) -> Measured:
        times, images = zip(*(self._of_arm(data, arm) for arm in self.arms), strict=True)
        splits = [split for split in times[0] if all(split in arm for arm in times)]
        if len(splits) < 2:
            raise CannotJudge(f"{len(splits)} of the at least 2 splits that are needed have all sizes")
        tau, n = (np.array([[arm[split] for arm in arms] for split in splits]) for arms in (times, images))
        x = np.log(n) - np.log(n).mean(axis=1, keepdims=True)
        slopes = (np.log(tau) * x).sum(axis=1) / np.square(x).sum(axis=1)
        label = f"steps until {metric_label(self.measure)} is {self.reaches:g}"
        shown = Shown("training images", label, (Curve("", n, tau),), logarithmic=True, logarithmic_y=True)
        return Measured(shown, len(splits), dict(zip(splits, slopes.tolist(), strict=True)))

    def _of_arm(self, data: StudyData, arm: str) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """tau and n of each split of an arm."""
        rows = data.rows
        curves: dict[str, dict[float, float]] = {}
        images: dict[str, float] = {}
        points = rows.loc[rows["run"] == arm, ["defense", "params"]].drop_duplicates()
        for defense, params in points.itertuples(index=False):
            cell = {"run": arm, "defense": defense, "params": params}
            steps, n = (data.values({**cell, "source": "train", "metric": metric}) for metric in (STEPS, IMAGES))
            for split, value in data.values({**self.measure, **cell}).items():
                curves.setdefault(split, {})[steps[split]] = value
                images[split] = n[split]
        if not curves:
            raise CannotJudge(f"the run {arm!r} has no models")
        return {split: self._tau(curve, f"{arm}, split {split}") for split, curve in curves.items()}, images

    def _tau(self, curve: Mapping[float, float], which: str) -> float:
        steps = np.array(sorted(curve))
        found = first_crossing(steps, np.array([curve[step] for step in steps]), self.reaches, self.goes == "up")
        if found.censored:
            seen = "already at the first" if found.censored == "before" else "not even at the last"
            raise CannotJudge(f"{self.reaches:g} is reached {seen} checkpoint, {found.steps:g} steps, in {which}")
        return found.steps

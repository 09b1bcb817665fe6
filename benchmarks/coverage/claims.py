"""How often claims are wrong: differences between defenses, and probabilities of being on the front."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.coverage import AT_MOST, Measured, Simulation, erring, seed_from
from benchmarks.coverage.scores import extracted
from benchmarks.coverage.splits import SPLITS
from leakfront.results.statistics.front import front_probability
from leakfront.results.statistics.splits import apart_without_variance, holm, over_splits, paired_test

Defense = Callable[[np.random.Generator], np.ndarray]  # value, low and high [3] of each split, as [3, S]


def normal_splits(between: float) -> Defense:
    """Models differ by `between` times the measurement error of each."""

    def defense(rng: np.random.Generator) -> np.ndarray:
        values = between * rng.standard_normal(SPLITS) + rng.standard_normal(SPLITS)
        return np.stack([values, values - 1.96, values + 1.96])

    return defense


def counts(leaks: float, between: float) -> Defense:
    """Images extracted at 5% FDR, from models that leak `leaks` members on average, `between` more or fewer."""

    def defense(rng: np.random.Generator) -> np.ndarray:
        models = np.maximum(leaks + between * rng.standard_normal(SPLITS), 0)
        return np.array([extracted(float(model), 50.0, rng) for model in models]).T

    return defense


def found_different(defense: Defense, number: int) -> Callable[[np.random.Generator], bool]:
    """Whether any of `number` defenses is called different from a baseline that equals it in truth."""

    def errs(rng: np.random.Generator) -> bool:
        base, *others = (defense(rng) for _ in range(number + 1))
        p = [paired_test(it[0], base[0], (it[1], it[2]), (base[1], base[2]))[0] for it in others]
        ends = [over_splits(*it)[1:3] for it in (base, *others)]
        apart = [apart_without_variance(it[0], base[0], of, ends[0]) for it, of in zip(others, ends[1:], strict=True)]
        return bool(np.nanmin(holm(p)) < 0.05 or any(apart))

    return errs


def front(rng: np.random.Generator, apart: np.ndarray) -> float:
    """The probability that the second of two defenses is on the front.

    apart: how much higher its value is on each of the two axes [2], in standard deviations between models.
    """
    truth = 20 + np.array([[0.0, 0.0], apart])
    values = truth[..., None] + rng.standard_normal((2, 2, SPLITS))  # by defense, axis and split
    x, y = (np.array([over_splits(v, v, v)[:3] for v in values[:, axis]]).T for axis in (0, 1))
    found = front_probability(x[0], x[1], x[2], y[0], y[1], y[2], seed=seed_from(rng), draws=200)
    return float(found[1])


def misjudged(low: float, high: float, on: bool, runs: int = 12_000) -> Callable[[], Measured]:
    """The share of defenses that are (`on`) or are not on the front in truth, of those whose probability is in a range.

    The true differences are uniform, up to 4 standard deviations between models in either direction on each axis.
    """

    def measure() -> Measured:
        rng = np.random.default_rng(0)
        apart = rng.uniform(-4, 4, (runs, 2))
        probability = np.array([front(rng, pair) for pair in apart])
        mine = (low <= probability) & (probability <= high)
        beaten = np.asarray((apart > 0).all(axis=1))
        return Measured(float((beaten[mine] != on).mean()), int(mine.sum()), np.nan)

    return measure


_TEST = "`paired_test`, `holm`, `apart_without_variance`, leakfront/results/statistics/splits.py"
_ERROR = "the error of each measurement"
_FRONT = "`front_probability`, leakfront/results/statistics/front.py"
SIMULATIONS = [
    *(
        Simulation("any false claim of a difference", f"{number} defenses, {what}, {SPLITS} splits", _TEST, AT_MOST,
                   erring(found_different(defense, number)))
        for number, what, defense in (
            (34, f"normal numbers, models differ three times as much as {_ERROR}", normal_splits(3.0)),
            (8, "normal numbers, models do not differ", normal_splits(0.0)),
            (8, "counts at 5% FDR, 40 ± 5 members leak", counts(40, 5)),
            (8, "counts at 5% FDR, 18 ± 3 leak, and fewer than 20 count as 0", counts(18, 3)),
        )
    ),
    Simulation("a defense nobody beats has a probability below 5%", "of being on the front, when it equals another",
               _FRONT, AT_MOST, erring(lambda rng: front(rng, np.zeros(2)) < 0.05)),
    Simulation("on the front in truth", "of all with a probability below 5%", _FRONT, AT_MOST,
               misjudged(0.0, 0.05, on=True)),
    Simulation("not on the front in truth", "of all with a probability above 95%", _FRONT, AT_MOST,
               misjudged(0.95, 1.0, on=False)),
]  # fmt: skip

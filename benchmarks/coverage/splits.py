"""Intervals over the splits of a benchmark: means, ratios of costs, leakage at equal FID."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from benchmarks.coverage import AT_LEAST, NOMINAL, Draw, Promise, Simulation, limit, seed_from, simulated
from benchmarks.coverage.scores import MEMBERS, N, extracted
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.fits import mean_over_fits, over_fits, widened
from leakfront.results.statistics.matched import at_fid, matched
from leakfront.results.statistics.ratio import ratio_over_splits
from leakfront.results.statistics.roc import auc_interval, tpr_interval
from leakfront.results.statistics.splits import over_splits

SPLITS = 3
FITS = 3
DRAWS = 100  # of the bootstrap of each model's own interval
PLACE = "leakfront/results/statistics"


def normal_values(between: float) -> Draw:
    """Models differ by `between` times the measurement error of each."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        values = between * rng.standard_normal(SPLITS) + rng.standard_normal(SPLITS)
        return over_splits(values, values - 1.96, values + 1.96)

    return draw


def of_fits(between: float, splits: int) -> Draw:
    """Means over fits of the features that differ by `between` times the error of one measurement, over all splits.

    Half of that error's variance is shared by the fits, which see the same images. Models do not differ.
    """

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        images = (rng.standard_normal((splits, 1)) + rng.standard_normal((splits, FITS))) / np.sqrt(2)
        values = between * rng.standard_normal(FITS) + images
        of_splits = [[Estimate(v, v - 1.96, v + 1.96, "") for v in fits] for fits in values]
        if splits == 1:
            return over_fits(of_splits[0])
        value, low, high, _ = zip(*map(mean_over_fits, of_splits), strict=True)
        return widened(over_splits(value, low, high), values.mean(axis=0).tolist())

    return draw


def fids(variation: float) -> Draw:
    """Log-normal FIDs with mean 1 that vary by a share of `variation` between models; each is measured to 3%."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        models = np.exp(variation * rng.standard_normal(SPLITS) - variation**2 / 2)
        values = models * (1 + 0.03 * rng.standard_normal(SPLITS))
        return over_splits(values, values * (1 - 0.06), values * (1 + 0.06), 0)

    return draw


def aucs(separation: float, between: float) -> Draw:
    """AUCs of scores whose separation differs between models."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        models = separation + between * rng.standard_normal(SPLITS)
        scores = rng.standard_normal((SPLITS, 2 * N)) + models[:, None] * MEMBERS
        value, low, high = zip(*(auc_interval(s, MEMBERS, seed_from(rng), DRAWS)[:3] for s in scores), strict=True)
        return over_splits(value, low, high, 0, 1)

    return draw


def fitted_aucs(leak: float, between: float) -> Draw:
    """AUCs of a linear classifier fitted on the coins of the other splits, whose images are as difficult everywhere.

    leak: how far members' features lie from those of decoys on average; it varies by `between` from model to model.
    """

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        coins = rng.random((SPLITS, 2 * N)) < 0.5
        difficulty = rng.standard_normal((2 * N, 8))
        leaks = leak + between * rng.standard_normal(SPLITS)
        features = difficulty + rng.standard_normal((SPLITS, 2 * N, 8)) + (leaks[:, None] * coins)[:, :, None]
        found = []
        for target in range(SPLITS):
            others = [i for i in range(SPLITS) if i != target]
            known, labels = np.concatenate(features[others]), np.concatenate(coins[others])
            scores = features[target] @ (known[labels].mean(0) - known[~labels].mean(0))
            found.append(auc_interval(scores, coins[target], seed_from(rng), DRAWS)[:3])
        value, low, high = zip(*found, strict=True)
        return over_splits(value, low, high, 0, 1, shared_coins=True)

    return draw


def tprs(separation: float, between: float) -> Draw:
    """TPRs at 10% FPR of scores whose separation differs between models."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        models = separation + between * rng.standard_normal(SPLITS)
        scores = rng.standard_normal((SPLITS, 2 * N)) + models[:, None] * MEMBERS
        value, low, high = zip(*(tpr_interval(s, MEMBERS, 0.1, seed_from(rng), DRAWS)[:3] for s in scores), strict=True)
        return over_splits(value, low, high, 0, 1)

    return draw


def counts(leaks: float, between: float) -> Draw:
    """Images extracted at 5% FDR, from models that leak `leaks` members on average, `between` more or fewer."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        models = np.maximum(leaks + between * rng.standard_normal(SPLITS), 0)
        value, low, high = zip(*(extracted(float(m), 50.0, rng) for m in models), strict=True)
        return over_splits(value, low, high, 0)

    return draw


def ratios(spread: float, tails: float) -> Draw:
    """Twice the cost, on very different machines, times exp(spread * Student's t with `tails` degrees of freedom)."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        base = np.exp(rng.standard_normal(SPLITS))
        return ratio_over_splits(2 * base * np.exp(spread * rng.standard_t(tails, SPLITS)), base)

    return draw


CURVE = np.array([3.0, 5.5, 10.0]), np.array([0.95, 0.8, 0.6])  # FIDs and AUCs of three strengths


def curves(target: float, fid_spread: float, spread: float) -> Draw:
    """Every model has its own curve: FIDs vary by a share of `fid_spread`, AUCs by `spread`, each measured to 0.025."""

    def draw(rng: np.random.Generator) -> tuple[object, ...]:
        shape = SPLITS, len(CURVE[0])
        fid = CURVE[0] * np.exp(fid_spread * rng.standard_normal(shape))
        auc = CURVE[1] + spread * rng.standard_normal(shape) + 0.025 * rng.standard_normal(shape)
        return matched(list(fid), list(auc), list(auc - 0.05), list(auc + 0.05), target, 0, 1)

    return draw


def _over(what: str, conditions: str, promise: Promise, draw: Draw, truth: float | None, wide: float) -> Simulation:
    where = f"`over_splits`, {PLACE}/splits.py"
    return Simulation(
        f"{what} over splits", f"{conditions}, {SPLITS} splits", where, promise, simulated(draw, truth), wide
    )


def _matched(target: float, fid_spread: float, promise: Promise, note: str) -> Simulation:
    conditions = f"FIDs of a strength vary by {100 * fid_spread:g}% between {SPLITS} models{note}"
    measure = simulated(curves(target, fid_spread, 0.05), at_fid(*CURVE, target))
    return Simulation("AUC at a FID", conditions, f"`matched`, {PLACE}/matched.py", promise, measure, 4.0)


SIMULATIONS = [
    _over("mean", "models do not differ, normal errors", AT_LEAST, normal_values(0.0), 0.0, 2.5),
    _over("mean", "models differ as much as the error of each measurement", AT_LEAST, normal_values(1.0), 0.0, 2.2),
    _over("mean", "models differ five times as much", NOMINAL, normal_values(5.0), 0.0, 2.2),
    *(
        Simulation("mean over fits", f"{FITS} fits of the features that {differ}, {of}", f"`{name}`, {PLACE}/fits.py",
                   AT_LEAST, simulated(of_fits(between, splits), 0.0), 2.5)
        for splits, of, name in ((1, "1 split", "over_fits"), (SPLITS, f"{SPLITS} splits", "widened"))
        for between, differ in (
            (0.0, "do not differ"),
            (1.0, "differ as much as the error of each measurement"),
            (5.0, "differ five times as much"),
        )
    ),
    *(
        _over("FID", f"it varies by {100 * v:g}% between models (log-normal)", p, fids(v), 1.0, 2.2)
        for v, p in ((0.1, NOMINAL), (0.2, NOMINAL), (0.5, limit(0.9, 0.935)))
    ),
    _over("AUC", "mean 0.98", AT_LEAST, aucs(3.0, 0.5), float(norm.cdf(3 / np.sqrt(2 + 0.5**2))), 2.5),
    _over("AUC of a fitted attack", "nothing leaks; splits share coins", AT_LEAST, fitted_aucs(0.0, 0.0), 0.5, 3.5),
    *(
        _over("AUC of a fitted attack", f"members' features lie 0.2 ± {b} off; splits share coins", promise,
              fitted_aucs(0.2, b), None, 3.5)
        for b, promise in ((0.05, AT_LEAST), (0.1, limit(0.9, 0.95)))
    ),
    _over("TPR at 10% FPR", "mean 0.94", AT_LEAST, tprs(3.0, 0.5),
          float(norm.cdf((3 + norm.ppf(0.1)) / np.sqrt(1 + 0.5**2))), 2.5),
    _over("extracted at 5% FDR", "40 ± 5 members leak", AT_LEAST, counts(40, 5), None, 2.2),
    _over("extracted at 5% FDR", "20 ± 3 leak, fewer count as 0", limit(0.75, 0.93), counts(20, 3), None, 3.0),
    *(
        Simulation("ratio of costs", f"its logarithm varies by 5% between {SPLITS} splits, {tails}",
                   f"`ratio_over_splits`, {PLACE}/ratio.py", promise, simulated(ratios(0.05, t), 2.0), 2.2)
        for tails, t, promise in (("normally", 1e9, NOMINAL), ("with heavy tails (t, 3 degrees)", 3.0, AT_LEAST))
    ),
    _matched(4.5, 0.05, AT_LEAST, ""),
    _matched(4.5, 0.2, AT_LEAST, ""),
    _matched(9.5, 0.2, limit(0.92, 0.95), ", and not all curves reach it"),
]  # fmt: skip

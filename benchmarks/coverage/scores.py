"""Intervals of one model, from scores and coins: AUC, TPR and counts."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from scipy.stats import binom, norm

from benchmarks.coverage import AT_LEAST, EXACT, NOMINAL, Draw, Measured, Simulation, seed_from, simulated
from leakfront.results.statistics.agreement import agreement
from leakfront.results.statistics.counts import clopper_pearson, excess_interval, extracted_at_fdr, extracted_interval
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.mean_gap import mean_gap
from leakfront.results.statistics.roc import auc_interval, tpr_interval

N = 160  # members, and decoys
DRAWS = 300  # of the bootstrap, for speed; a run has 1,000
MEMBERS = np.repeat([True, False], N)
ROC, COUNTS = "leakfront/results/statistics/roc.py", "leakfront/results/statistics/counts.py"

Scores = Callable[[np.random.Generator], np.ndarray]


def normal(separation: float, levels: float | None = None) -> Scores:
    """Normal scores, higher by `separation` for members; with `levels` rounded to steps of 1 / `levels`, with ties."""

    def scores(rng: np.random.Generator) -> np.ndarray:
        drawn = rng.standard_normal(2 * N) + separation * MEMBERS
        return drawn if levels is None else np.round(drawn * levels)

    return scores


def outdone(mass: float) -> Scores:
    """A share `mass` of the decoys outscores every member: of all distributions the hardest to tell from AUC 1."""
    return lambda rng: rng.random(2 * N) + np.where(MEMBERS, 2, 4 * (rng.random(2 * N) < mass))


def _auc(what: str, scores: Scores, truth: float, wide: float) -> Simulation:
    promise = NOMINAL if wide <= 1.1 else AT_LEAST
    measure = simulated(lambda rng: auc_interval(scores(rng), MEMBERS, seed_from(rng), DRAWS), truth)
    return Simulation("AUC", f"{what}, {N} members", f"`auc_interval`, {ROC}", promise, measure, wide)


def _tpr(fpr: float, separation: float, wide: float) -> Simulation:
    scores, truth = normal(separation), float(norm.sf(norm.isf(fpr) - separation))
    measure = simulated(lambda rng: tpr_interval(scores(rng), MEMBERS, fpr, seed_from(rng), DRAWS), truth)
    conditions = f"true TPR {truth:.2f}, {N} members, {N} decoys"
    return Simulation(f"TPR at {100 * fpr:g}% FPR", conditions, f"`tpr_interval`, {ROC}", AT_LEAST, measure, wide)


def _clopper_pearson(n: int, p: float) -> Callable[[], Measured]:
    def measure() -> Measured:
        low, high = np.array([clopper_pearson(k, n) for k in range(n + 1)]).T
        chance = binom.pmf(np.arange(n + 1), n, p)
        width = float(chance @ (high - low) / (2 * 1.96 * sqrt(p * (1 - p) / n)))
        return Measured(float(chance @ ((low <= p) & (p <= high))), 0, width)

    return measure


def _excess(n: int, p: float, d: float) -> Callable[[], Measured]:
    """p, d: the chance that a member, or a decoy, is matched. Counts of negligible chance are left out of the sum."""

    def measure() -> Measured:
        members, decoys = (np.arange(binom.ppf(1e-9, n, q), binom.isf(1e-9, n, q) + 1, dtype=int) for q in (p, d))
        chance = np.outer(binom.pmf(members, n, p), binom.pmf(decoys, n, d))
        ends = np.array([[excess_interval(int(a), n, int(b), n)[1:] for b in decoys] for a in members])
        truth = n * (p - d)
        held = (ends[..., 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[..., 1])
        width = float(
            (chance * (ends[..., 1] - ends[..., 0])).sum() / (2 * 1.96 * sqrt(n * (p * (1 - p) + d * (1 - d))))
        )
        return Measured(float(chance[held].sum()), 0, width)

    return measure


def extracted(leaks: float, separation: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Members extracted at 5% FDR from a pool of 2 N fair coins; `leaks` members on average score higher."""
    members = rng.random(2 * N) < 0.5
    scores = rng.standard_normal(2 * N) + separation * (members & (np.arange(2 * N) < 2 * leaks))
    found = extracted_at_fdr(scores, members)
    return float(found.count), *extracted_interval(found, members)


def _extracted(leaks: int) -> Draw:
    return lambda rng: extracted(leaks, 50.0, rng)


def tied_auc(separation: float) -> float:
    """The AUC of normal scores rounded to whole numbers, as a sum over these."""
    at = np.arange(-12, 13)
    decoys, members = (norm.cdf(at + 0.5, loc=m) - norm.cdf(at - 0.5, loc=m) for m in (0.0, separation))
    return float(np.tril(np.outer(members, decoys), -1).sum() + members @ decoys / 2)


def _losses(rng: np.random.Generator) -> Estimate:
    """The gap of losses of images that are hard by very different amounts; members' are 10% lower."""
    losses = rng.lognormal(0, 0.7, 2 * N) * np.where(MEMBERS, 0.9, 1.0)
    return mean_gap(losses[~MEMBERS], losses[MEMBERS])


def _halves(share: float) -> Draw:
    """The agreement of two models that share this much of what they make of a noise; 64 pixels, in two classes."""

    def draw(rng: np.random.Generator) -> Estimate:
        common, *own = (rng.lognormal(0, 0.5, (N, 1)) * rng.standard_normal((N, 64)) for _ in range(3))
        one, other = (share * common + (1 - share) * part for part in own)
        return agreement(one, other, np.arange(N) % 2)

    return draw


SIMULATIONS = [
    _auc("0.5", normal(0.0), 0.5, 1.1),
    _auc("0.76", normal(1.0), float(norm.cdf(sqrt(0.5))), 1.1),
    _auc("0.75, scores with many ties", normal(1.0, 1.0), tied_auc(1.0), 1.1),
    _auc("0.95", normal(2.326), float(norm.cdf(2.326 / sqrt(2))), 1.25),
    _auc("0.98", normal(2.904), float(norm.cdf(2.904 / sqrt(2))), 1.7),
    _auc("0.99, as 1% of the decoys outscore every member", outdone(0.01), 0.99, 1.3),
    _tpr(0.1, 0.0, 2.0),
    _tpr(0.1, 2.0, 2.0),
    _tpr(0.01, 0.0, 3.0),
    _tpr(0.01, 2.0, 3.0),
    *(
        Simulation("share of images", f"{n * p:g} of {n} expected", f"`clopper_pearson`, {COUNTS}", EXACT,
                   _clopper_pearson(n, p), 1.6)
        for n, p in ((160, 0.0125), (160, 0.2), (320, 0.003125))
    ),
    *(
        Simulation("excess of members over decoys", f"{n * p:g} and {n * d:g} of {n} expected",
                   f"`excess_interval`, {COUNTS}", EXACT, _excess(n, p, d), 2.5)
        for n, p, d in ((160, 0.00625, 0.00625), (160, 0.2, 0.0125), (320, 0.1, 0.003125))
    ),
    *(
        Simulation("extracted at 5% FDR", f"{leaks} of {N} members leak and outscore every decoy",
                   f"`extracted_interval`, {COUNTS}", AT_LEAST, simulated(_extracted(leaks), leaks), widest)
        for leaks, widest in ((5, 10.0), (15, 2.0), (40, 2.0))  # with 5, nearly all counts are 0 and hardly vary
    ),
    Simulation("gap of losses", f"log-normal losses, {N} members' 10% lower",
               "`mean_gap`, leakfront/results/statistics/mean_gap.py", NOMINAL,
               simulated(_losses, 0.1 * float(np.exp(0.7**2 / 2))), 1.1),
    *(
        Simulation("agreement of halves", f"the images of {N} noises are {share:.0%} common to both models",
                   "`agreement`, leakfront/results/statistics/agreement.py", NOMINAL, simulated(_halves(share)), 1.1)
        for share in (0.0, 0.6)
    ),
]  # fmt: skip

"""ROC statistics of scores against coins: AUC, TPR at low FPR, the ROC band, and their intervals.

In every function: scores float [P], higher for likelier members; members bool [P], True for a member, False for a
decoy. An image is called a member if its score is at or above a threshold. `ValueError` is raised for scores that are
not finite (with their number), shapes that differ, and pools without a member or without a decoy. The bootstrap draws
members and decoys separately (stratified), with replacement; the same seed gives the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import binom

from leakfront.results.statistics.counts import clopper_pearson, matched_by_threshold
from leakfront.results.statistics.estimate import Estimate

_CELLS = 1 << 22  # draws x images held in memory at once


def auc(scores: np.ndarray, members: np.ndarray) -> float:
    """The probability in [0, 1] that a member scores above a decoy, ties counting half (Mann-Whitney U / n_m n_d)."""
    _, members_matched, decoys_matched = matched_by_threshold(scores, members)
    return float(_areas(members_matched, decoys_matched))


def roc_curve(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fpr, tpr, thresholds), float64 [T + 1] each, for every distinct score from the highest down.

    Rates are in [0, 1]; the first point is (0, 0) at threshold inf, the last (1, 1). Ties are never split.
    """
    thresholds, members_matched, decoys_matched = matched_by_threshold(scores, members)
    return decoys_matched / decoys_matched[-1], members_matched / members_matched[-1], thresholds


def tpr_at_fpr(scores: np.ndarray, members: np.ndarray, fpr: float) -> tuple[float, float]:
    """(tpr, threshold) at the loosest threshold whose FPR is at most `fpr`; not at the nearest FPR. Ties are not split.

    (nan, nan) if fpr is below 1 / number of decoys, which so few decoys cannot resolve. (0, inf) if too many decoys
    share the highest score. Raises `ValueError` for fpr outside [0, 1]. Source of the measure: Carlini et al. 2022
    (LiRA, arXiv 2112.03570), §III.
    """
    thresholds, members_matched, decoys_matched = matched_by_threshold(scores, members)
    (allowed,) = _decoys_allowed(np.array([fpr]), decoys_matched[-1])
    if allowed == 0:
        return float("nan"), float("nan")
    last = int(np.searchsorted(decoys_matched, allowed, side="right")) - 1
    return float(members_matched[last] / members_matched[-1]), float(thresholds[last])


def auc_interval(
    scores: np.ndarray, members: np.ndarray, seed: int, draws: int = 1000, level: float = 0.95
) -> Estimate:
    """AUC with an interval: the bootstrap percentile interval, widened at both ends by the share that may be unseen.

    The bootstrap cannot see images that the sample lacks, and collapses to a point if the sample is perfectly
    separated. There s = ((1 - level) / 2)^(1 / n), n = min(n_m, n_d), is an exact bound: n disjoint pairs are
    independent, so for any distributions with true AUC a, all members beat all decoys with probability at most a^n, and
    this is attained if a mass of 1 - a of one side lies beyond the other side. So at AUC 1 the interval is [s, 1], the
    Clopper-Pearson interval of n successes in n trials. Elsewhere the same share 1 - s (about 3.7 / n at 95%) may be
    unseen, of the AUC downwards and of 1 - AUC upwards; it is combined with the distance to the bootstrap's end as the
    root of the sum of squares.

    Coverage measured with 160 members (docs/coverage.md) is 95% up to AUC 0.9, and 97 to 99% above it, where few images
    decide. The bootstrap alone falls to 93% at AUC 0.98, and to 80% at 0.99 if 1% of the decoys outscore all members.
    """
    _, members_matched, decoys_matched = matched_by_threshold(scores, members)
    tail = (1 - level) / 2
    areas = [_areas(m, d) for m, d in _bootstrap(members_matched, decoys_matched, draws, seed)]
    low, high = np.quantile(np.concatenate(areas), [tail, 1 - tail])
    unseen = 1 - tail ** (1 / min(members_matched[-1], decoys_matched[-1]))
    value = float(_areas(members_matched, decoys_matched))
    below, above = np.hypot(value - low, value * unseen), np.hypot(high - value, (1 - value) * unseen)
    method = f"stratified bootstrap ({draws} draws) and the exact bound at perfect separation, root of squares"
    return Estimate(value, max(float(value - below), 0.0), min(float(value + above), 1.0), method)


def tpr_interval(
    scores: np.ndarray, members: np.ndarray, fpr: float, seed: int, draws: int = 1000, level: float = 0.95
) -> Estimate:
    """TPR at an FPR with an interval: the hull of the bootstrap and the exact interval, as in `roc_band`.

    It errs on the wide side, since each of the two would do alone: coverage measured with 160 and 320 decoys is 97 to
    99% at 10% FPR and 98 to 100% at 1%, where one to three decoys set the threshold (docs/coverage.md).

    All numbers are nan, and the method says so, if fpr is below 1 / number of decoys.
    """
    value, low, high = (float(v[0]) for v in roc_band(scores, members, np.array([fpr]), seed, draws, level))
    if np.isnan(value):
        return Estimate(value, low, high, f"not attainable with {np.count_nonzero(~np.asarray(members))} decoys")
    method = f"hull of stratified bootstrap ({draws} draws) and Clopper-Pearson bounds"
    return Estimate(value, low, high, method)


def roc_band(
    scores: np.ndarray, members: np.ndarray, fpr_grid: np.ndarray, seed: int, draws: int = 1000, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(tpr, low, high), float64 [K] each: TPR at each FPR of the grid (float [K] in [0, 1]) and its pointwise interval.

    The interval is the hull of three.
    (1) The bootstrap percentile interval, in which every draw chooses its own threshold.
    (2) The Clopper-Pearson interval of the members found at the threshold chosen on the whole sample, which keeps the
    hull from collapsing at 0 and 1.
    (3) Downwards, the TPR at a stricter threshold, since few decoys set a threshold badly: (1) and (2) alone lie above
    the true TPR in up to 9% of simulations if the threshold lets 5 decoys pass, and in 27% if it lets one pass. Let a
    be the 5% quantile of N ~ Bin(n_d, fpr), the number of decoys above the true threshold. With 95%, the true TPR is at
    least the probability that a member reaches the a-th highest decoy, for which a one-sided 95% Clopper-Pearson bound
    is computed. So the low end holds with at least 90% whatever the distributions (of scores without ties), and the
    whole interval with more than 95% in simulations. Below about 3 / n_d it starts at 0: so few decoys do not suffice.

    Entries below 1 / n_d are nan. `level` lies between 0.5 and 1.
    """
    _, members_matched, decoys_matched = matched_by_threshold(scores, members)
    n_members, n_decoys, tail = int(members_matched[-1]), int(decoys_matched[-1]), (1 - level) / 2
    allowed = _decoys_allowed(np.asarray(fpr_grid, dtype=np.float64), n_decoys)
    found = members_matched[np.searchsorted(decoys_matched, allowed, side="right") - 1]
    exact = np.array([clopper_pearson(int(k), n_members, level) for k in found]).reshape(-1, 2)
    sure_decoys = binom.ppf(1 - level, n_decoys, fpr_grid)
    remaining = members_matched[np.searchsorted(decoys_matched, sure_decoys)]
    strict = np.array([clopper_pearson(int(k), n_members, 2 * level - 1)[0] for k in remaining])
    tprs = []
    for drawn_members, drawn_decoys in _bootstrap(members_matched, decoys_matched, draws, seed):
        rows = np.arange(len(drawn_decoys))[:, None]
        apart = rows * (n_decoys + 1)  # makes the concatenated rows one ascending sequence, searched in one call
        at = np.searchsorted((drawn_decoys + apart).ravel(), allowed + apart, side="right") - 1
        tprs.append(drawn_members.ravel()[at] / n_members)
    low, high = np.quantile(np.concatenate(tprs), [tail, 1 - tail], axis=0)
    low, high = np.minimum.reduce([low, exact[:, 0], strict]), np.maximum(high, exact[:, 1])
    band = np.stack([found / n_members, low, high])
    band[:, allowed == 0] = np.nan
    return band[0], band[1], band[2]


def _areas(members_matched: np.ndarray, decoys_matched: np.ndarray) -> np.ndarray:
    """Area under ROC curves given as counts int64 [..., T + 1], by trapezoids: a tie counts half."""
    pairs = members_matched[..., -1] * decoys_matched[..., -1]
    doubled = np.diff(decoys_matched) * (members_matched[..., 1:] + members_matched[..., :-1])
    area: np.ndarray = doubled.sum(axis=-1) / (2 * pairs)
    return area


def _decoys_allowed(fprs: np.ndarray, n_decoys: int) -> np.ndarray:
    """The largest k with k / n_decoys <= fpr, int64 [K]; compares rates, so that 0.1 allows 3 of 30."""
    if not np.all((fprs >= 0) & (fprs <= 1)):
        raise ValueError(f"false-positive rates must lie in [0, 1], got {fprs.tolist()}")
    return np.searchsorted(np.arange(n_decoys + 1) / n_decoys, fprs, side="right") - 1


def _bootstrap(
    members_matched: np.ndarray, decoys_matched: np.ndarray, draws: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Counts (members, decoys) matched at each threshold in resampled pools, int64 [at most draws, T + 1] at a time."""
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // int(members_matched[-1] + decoys_matched[-1]))
    for start in range(0, draws, block):
        n = min(block, draws - start)
        yield _resampled(members_matched, n, rng), _resampled(decoys_matched, n, rng)


def _resampled(matched: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Counts int64 [draws, T + 1] of images drawn with replacement from those counted by `matched` int64 [T + 1]."""
    size, steps = int(matched[-1]), len(matched)
    step_of_image = np.repeat(np.arange(1, steps), np.diff(matched))
    drawn = step_of_image[rng.integers(0, size, (draws, size))] + np.arange(draws)[:, None] * steps
    return np.bincount(drawn.ravel(), minlength=draws * steps).reshape(draws, steps).cumsum(axis=1)

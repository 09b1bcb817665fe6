"""Counts of matched images: exact intervals, the count at a controlled false-discovery rate, unique images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, xlog1py


class Extracted(NamedTuple):
    """Images extracted at a false-discovery rate.

    count: members at or above the threshold. threshold: the lowest score that counts as a match, inf if none does.
    mask: bool [P], True for the members counted. decoys_matched: decoys at or above the threshold. possible: bool [P],
    the members that would be counted if the rate were estimated without its + 1; there may be some even if none can be
    reported. before_decoys: members that score above every decoy; by chance k or more do with probability p^k, where p
    is the probability of being a member.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which has no use here
    threshold: float
    mask: np.ndarray
    decoys_matched: int
    possible: np.ndarray
    before_decoys: int


def matched_by_threshold(scores: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers of members and decoys at or above each distinct score, from the strictest threshold down.

    scores: float [P], higher for likelier members; members: bool [P], True for a member, False for a decoy.
    Returns thresholds float64 [T + 1], members matched int64 [T + 1] and decoys matched int64 [T + 1]; the first entry
    is the threshold inf, which matches nothing. Equal scores share one threshold, so ties are never split.

    Raises `ValueError` for shapes that differ, members that are not bool, a missing side or scores that are not finite.
    """
    scores, members = np.asarray(scores, dtype=np.float64), np.asarray(members)
    if scores.ndim != 1 or scores.shape != members.shape:
        raise ValueError(f"scores {scores.shape} and members {members.shape} must be of one length")
    if members.dtype != np.bool_:
        raise ValueError(f"members must be bool, True for a member, not {members.dtype}")
    unusable = int(np.count_nonzero(~np.isfinite(scores)))
    if unusable:
        raise ValueError(f"{unusable} of {len(scores)} scores are not finite")
    if members.all() or not members.any():
        raise ValueError(f"both members and decoys are needed, got {members.sum()} members of {len(members)} images")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_tie = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    members_matched = np.cumsum(members[order])[last_of_tie]
    return (
        np.concatenate([[np.inf], ranked[last_of_tie]]),
        np.concatenate([[0], members_matched]),
        np.concatenate([[0], last_of_tie + 1 - members_matched]),
    )


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval (low, high) for a probability, from k successes in n independent trials.

    It covers the true probability with at least `level`, whatever that probability is. k = 0 has an upper bound above
    0 and k = n a lower bound below 1; n = 0 gives (0, 1). The interval is two-sided: at k = 0 and 95% the upper end is
    1 - 0.025^(1/n), about 3.7 / n, which holds with 97.5%; the rule of three, 3 / n, is one-sided at 95%.
    Source: Clopper and Pearson 1934, as beta quantiles.

    Raises `ValueError` unless 0 <= k <= n and 0 < level < 1.
    """
    if not 0 <= k <= n:
        raise ValueError(f"successes must lie between 0 and the number of trials, got {k} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1 - tail))
    return low, high


def excess_interval(
    members_matched: int, n_members: int, decoys_matched: int, n_decoys: int, level: float = 0.95
) -> tuple[float, float, float]:
    """The members matched beyond those that false matches explain: (excess, low, high), in images.

    excess = M - D * n_members / n_decoys. The interval is for its expected value, n_members * (P[member is matched] -
    P[decoy is matched]). It joins two Clopper-Pearson intervals at 1 - (1 - level) / 2 each (97.5% by default), so by
    Bonferroni it covers with at least `level`, also at zero counts: 99.2 to 100% with 160 or 320 members (summed over
    all outcomes, docs/coverage.md). It may reach below 0.

    Raises `ValueError` if a side is empty or if more images are matched than there are.
    """
    if n_members < 1 or n_decoys < 1:
        raise ValueError(f"both members and decoys are needed, got {n_members} members and {n_decoys} decoys")
    each = 1 - (1 - level) / 2
    member_low, member_high = clopper_pearson(members_matched, n_members, each)
    decoy_low, decoy_high = clopper_pearson(decoys_matched, n_decoys, each)
    excess = members_matched - decoys_matched * n_members / n_decoys
    return excess, n_members * (member_low - decoy_high), n_members * (member_high - decoy_low)


def extracted_at_fdr(scores: np.ndarray, members: np.ndarray, q: float = 0.05, coin: float = 0.5) -> Extracted:
    """The largest set of members that can be reported as extracted at false-discovery rate q.

    scores: float [P], higher for likelier members; members: bool [P]; coin: the probability p, fixed beforehand, that
    an image is a member (for known membership: the share of members). An image whose score does not depend on its coin
    is a member with probability p, so D matched decoys indicate about (1 + D) * p / (1 - p) false members. The
    threshold is the loosest one with

        (1 + decoys matched) * p / (1 - p) / members matched <= q,

    and ties are never split. This is the knockoff+ procedure (Barber and Candès 2015, arXiv 1404.5609): its mean share
    of false members is at most q if the coins are independent and the scores do not depend on them. With fair coins it
    reports at least 1/q images, or none.

    Raises `ValueError` for q or coin outside (0, 1), and as `matched_by_threshold` does.
    """
    if not (0 < q < 1 and 0 < coin < 1):
        raise ValueError(f"q and coin must lie between 0 and 1, got q {q} and coin {coin}")
    scores, members = np.asarray(scores, dtype=np.float64), np.asarray(members)
    thresholds, members_matched, decoys_matched = matched_by_threshold(scores, members)
    rounding = 1 + 1e-12  # so that 1/20 <= 0.05 holds despite rounding
    allowed = q * (1 - coin) / coin * members_matched * rounding  # decoys
    fits = 1 + decoys_matched <= allowed
    loosest = int(np.flatnonzero(fits)[-1]) if fits.any() else 0  # 0 is the threshold inf, which matches nothing
    possible = int(np.flatnonzero(decoys_matched <= allowed)[-1])
    return Extracted(
        int(members_matched[loosest]),
        float(thresholds[loosest]),
        members & (scores >= thresholds[loosest]),
        int(decoys_matched[loosest]),
        members & (scores >= thresholds[possible]),
        int(members_matched[decoys_matched == 0][-1]),
    )


def q_values(scores: np.ndarray, members: np.ndarray, coin: float = 0.5) -> np.ndarray:
    """The smallest false-discovery rate at which `extracted_at_fdr` reports each member, float64 [P]; nan for decoys.

    The q-value of a member is the minimum, over all thresholds at or below its score, of
    (1 + decoys matched) * p / (1 - p) / members matched, and at most 1. So the members with a q-value of at most q are
    those reported at rate q. Arguments and errors as in `extracted_at_fdr`.
    """
    if not 0 < coin < 1:
        raise ValueError(f"coin must lie between 0 and 1, got {coin}")
    scores, members = np.asarray(scores, dtype=np.float64), np.asarray(members)
    thresholds, members_matched, decoys_matched = matched_by_threshold(scores, members)
    rates = (1 + decoys_matched) * (coin / (1 - coin)) / np.maximum(members_matched, 1)
    rates[members_matched == 0] = np.inf
    best = np.minimum.accumulate(rates[::-1])[::-1]  # at this threshold or a looser one
    place = np.searchsorted(-thresholds, -scores)
    return np.where(members, np.minimum(best[place], 1.0).round(12), np.nan)  # so that 1/20 <= 0.05 despite rounding


def extracted_interval(found: Extracted, among: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """(low, high) in images: the Clopper-Pearson interval of the number of members `among`, bool [P], extracted.

    Fewer than 1/q images cannot be reported, so a count of 0 may hide many: the upper end is that of the members
    `possible`. At any threshold t that no decoy reaches, at most these members have reached t; so the expected number
    of members that reach t is at most the upper end with probability (1 + level) / 2, whatever the distributions. The
    upper end of a plain zero would bound nothing, since no score reaches its threshold, inf.

    The interval treats the threshold as fixed; its width does not include that the threshold was chosen on the same
    scores. Within one model it covers the expected count less often where members that leak overlap with decoys, and
    where the count jumps between 0 and 1/q.
    """
    n = int(among.sum())
    counted, possible = int((found.mask & among).sum()), int((found.possible & among).sum())
    return n * clopper_pearson(counted, n, level)[0], n * clopper_pearson(possible, n, level)[1]


def unique_observed(pairs: np.ndarray, matched: np.ndarray, of: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The number of unique images matched by the first m samples, in the order in which they were drawn.

    pairs: int [G, n], pool images compared with each of the G samples; matched: bool [G, n], whether they match;
    of: bool [P], the pool images that count; at: int [K], values of m. Returns int64 [K].
    """
    first = np.full(len(of), len(pairs))  # the sample that matches an image first; G if none does
    sample, place = np.nonzero(matched)
    np.minimum.at(first, np.asarray(pairs)[sample, place], sample)
    found: np.ndarray = np.searchsorted(np.sort(first[of & (first < len(pairs))]), at, side="left")
    return found


def unique_expected(rates: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Expected number of unique images among m fresh samples, E[unique] = sum over i of 1 - (1 - p_i)^m.

    rates: float [P] in [0, 1], the probability p_i that one sample matches image i; at: int [K], values of m >= 0,
    which may exceed the number of samples behind the rates. Returns float64 [K].

    Raises `ValueError` for rates outside [0, 1] or a negative m.
    """
    rates, at = np.asarray(rates, dtype=np.float64), np.asarray(at)
    if not np.all((rates >= 0) & (rates <= 1)) or np.any(at < 0):
        raise ValueError("rates must lie in [0, 1] and numbers of samples must not be negative")
    distinct, images = np.unique(rates, return_counts=True)
    found: np.ndarray = images @ -np.expm1(xlog1py(at[None, :], -distinct[:, None]))
    return found

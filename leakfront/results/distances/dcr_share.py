"""The share of samples that are nearer to members than to decoys (distance to closest record)."""

from __future__ import annotations

import numpy as np

from leakfront.results.statistics.estimate import Estimate


def dcr_share(
    to_members: np.ndarray,
    nearest_member: np.ndarray,
    to_decoys: np.ndarray,
    nearest_decoy: np.ndarray,
    units: int,
) -> Estimate:
    """P[d(s, T) < d(s, H)] + P[d(s, T) = d(s, H)] / 2, in [0, 1]; 0.5 if members and decoys are exchangeable.

    Source: the share of mostlyai-qa and of SDMetrics' DCROverfittingProtection. to_members, to_decoys: float [G], the
    distance of each sample to its nearest member and decoy. nearest_member, nearest_decoy: int64 [G], their numbers, or
    those of their subjects if these have the coins. units: P, members and decoys together, or their subjects.

    The interval is over coins, which is what the share varies with. If no image leaks, an image or subject that is
    nearest to c_i samples moves all of them together to one side. Over all ways to make half of the P units members,
    the variance is P / (P - 1) times (the sum of c_i^2 - G^2 / P) / (2 G)^2. The binomial one, 1 / (4 G), leaves out
    that several samples have the same nearest image.
    """
    won = np.where(to_members < to_decoys, 1.0, np.where(to_members == to_decoys, 0.5, 0.0))
    count, value = len(won), float(won.mean())
    of_members, of_decoys = np.bincount(nearest_member, weights=won), np.bincount(nearest_decoy, weights=1 - won)
    squares = np.square(of_members).sum() + np.square(of_decoys).sum() - count**2 / units
    margin = 1.96 * float(np.sqrt(max(squares, 0.0) * units / (units - 1))) / (2 * count)
    return Estimate(value, max(value - margin, 0.0), min(value + margin, 1.0), "1.96 standard deviations over coins")

"""Whether samples are nearer to members than decoys are: a rank test in cells of the image space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from leakfront.results.statistics.estimate import Estimate

CELLS = 3  # of k-means
FEWEST = 20  # samples in a cell, as in the authors' code


def c_t(cells: Sequence[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """C_T, a mean over cells of a rank statistic of distances to members; below 0: samples are nearer than decoys.

    Source: Meehan et al. 2020 (arXiv 2004.05675), eq. 2 and 3. cells: for each cell of the image space the distances of
    its samples [G_c] and of its decoys [H_c] to the nearest member of the cell. Z_U of a cell is the Mann-Whitney U of
    the samples against the decoys, standardized; C_T is the mean of Z_U with weights H_c. Cells with fewer than 20
    samples or without decoys are left out; nan if none is left.

    Under no copying and the right distribution it is about standard normal. Poor images push it up (+8.5 was measured
    for a model whose membership AUC is 0.65), so a high value says nothing about leakage.
    """
    used = [(samples, decoys) for samples, decoys in cells if len(samples) >= FEWEST and len(decoys)]
    if not used:
        return Estimate(math.nan, math.nan, math.nan, f"no cell has {FEWEST} samples and a decoy")
    weights = np.array([len(decoys) for _, decoys in used], np.float64)
    values = np.array([z_u(samples, decoys) for samples, decoys in used])
    note = f"{len(used)} of {len(cells)} cells; no interval within one model"
    return Estimate(float(values @ weights / weights.sum()), math.nan, math.nan, note)


def z_u(samples: np.ndarray, decoys: np.ndarray) -> float:
    """The standardized Mann-Whitney U of samples [G] against decoys [H]: (U - G H / 2) / sqrt(G H (G + H + 1) / 12)."""
    g, h = len(samples), len(decoys)
    u = float(rankdata(np.concatenate([samples, decoys]))[:g].sum()) - g * (g + 1) / 2
    return (u - g * h / 2) / math.sqrt(g * h * (g + h + 1) / 12)


def cells_of(members: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The k-means cells of members float32 [N, d]: their centres float32 [3, d], and the cell of each member [N].

    There are fewer than 3 cells if there are fewer members.
    """
    from sklearn.cluster import KMeans

    found = KMeans(min(CELLS, len(members)), n_init=4, random_state=seed % 2**32).fit(members)
    return found.cluster_centers_.astype(np.float32), found.labels_

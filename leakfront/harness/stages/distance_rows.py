"""Rows of the distance metrics: how near samples are to members, against how near they are to decoys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from leakfront.attacks.nearest import flatten_unit, nearest_neighbours
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.pool import member_share
from leakfront.results.distances.authenticity_gap import authenticity, authenticity_gap
from leakfront.results.distances.c_t import c_t, cells_of
from leakfront.results.distances.dcr_share import dcr_share
from leakfront.results.distances.identifiability_gap import identifiability_gap
from leakfront.results.distances.memorized_share import memorized_share
from leakfront.results.distances.n_copies import n_copies
from leakfront.results.distances.nndr_ratio import nndr_ratio
from leakfront.results.run.rows import DISTANCES, Row, measured
from leakfront.results.statistics.counts import extracted_at_fdr
from leakfront.results.statistics.estimate import Estimate
from leakfront.seeds import derive_seed

_BETTER = {"nndr_ratio": True, "c_t": None}  # a higher value; of all others a lower one
_MEMORY = 1024  # MiB for a search


def distance_rows(plan: Plan, cell: CellPlan, pool: Pool, samples: np.ndarray, members: np.ndarray) -> list[Row]:
    """The distance metrics of samples uint8 [G, C, H, W] against the pool's images, of which members are bool [P].

    Of the larger side, as many images as the other has are drawn at random. There are no rows for a side of fewer than
    two images.
    """
    seed = derive_seed(plan.config.seed, DISTANCES, cell.split)
    sides = equal_sides(members, seed)
    if len(sides[0]) < 2:
        return []
    of_members, of_decoys = (pool.images[side] for side in sides)
    device = plan.config.execution.device
    subjects = None if pool.subjects is None else [np.asarray(pool.subjects)[side] for side in sides]
    found = distances_of(samples, of_members, of_decoys, device, subjects)
    found["c_t"] = c_t_of(samples, of_members, of_decoys, seed, device)
    row = partial(row_of(plan, cell), kind="privacy", source=DISTANCES, n=len(samples))
    return [
        row(metric=name, **measured(estimate), higher_is_better=_BETTER.get(name, False))
        for name, estimate in found.items()
    ]


def memorized_row(plan: Plan, cell: CellPlan, trained_on: np.ndarray, samples: np.ndarray) -> list[Row]:
    """The share of samples that are memorized, against the training images uint8 [N, C, H, W] as training had them.

    Of exact copies one is kept; altered ones count as images of their own. No row with fewer than two distinct images.
    """
    distinct = np.unique(trained_on, axis=0)
    if len(distinct) < 2:
        return []
    device, (s, t) = plan.config.execution.device, map(flatten_unit, (samples, distinct))
    to_nearest, _ = nearest_neighbours(s, t, 2, _MEMORY, device)
    row = partial(row_of(plan, cell), kind="privacy", source=DISTANCES, n=len(samples), higher_is_better=False)
    return [row(metric="memorized_share", **measured(memorized_share(to_nearest)))]


def copies_row(
    plan: Plan, cell: CellPlan, attack: str, scores: dict[str, np.ndarray], members: np.ndarray
) -> list[Row]:
    """The share of samples that are copies, for an attack that states the neighbours of each sample; else no row."""
    if "neighbours" not in scores or "neighbour_scores" not in scores:
        return []
    rate = plan.config.statistics.false_discovery_rate
    threshold = extracted_at_fdr(scores["score"], members, rate, member_share(plan, members)).threshold
    found = n_copies(scores["neighbours"], scores["neighbour_scores"], members, threshold)
    row = row_of(plan, cell)(kind="privacy", source=attack, metric="n_copies", level=rate, **measured(found),
                             n=len(scores["neighbours"]), higher_is_better=False)  # fmt: skip
    return [row]


def equal_sides(members: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of members and of decoys, int64 [n] each; some of the larger side are left out at random."""
    rng = np.random.default_rng(seed)
    sides = np.flatnonzero(members), np.flatnonzero(~members)
    n = min(map(len, sides))
    chosen = [np.sort(rng.choice(side, n, replace=False)) for side in sides]
    return chosen[0], chosen[1]


def distances_of(
    samples: np.ndarray,
    members: np.ndarray,
    decoys: np.ndarray,
    device: str = "cpu",
    subjects: Sequence[np.ndarray] | None = None,
) -> dict[str, Estimate]:
    """The distance metrics by name but C_T, from images uint8 [·, C, H, W]; of members and decoys at least two each.

    subjects: of the members' and of the decoys' images, int64 [N] each, none on both sides, if subjects have the coins.
    Then `identifiability_gap`, whose interval takes images as independent, has none.
    """
    search = partial(nearest_neighbours, memory_mib=_MEMORY, device=device)
    s, t, h = (flatten_unit(images) for images in (samples, members, decoys))
    (to_t, in_t), (to_h, in_h) = search(s, t, 2), search(s, h, 2)
    # each image is the nearest to itself
    apart_t, apart_h = search(t, t, 2)[0][:, 1], search(h, h, 2)[0][:, 1]
    auth_t, auth_h = authenticity(to_t[:, 0], in_t[:, 0], apart_t), authenticity(to_h[:, 0], in_h[:, 0], apart_h)
    near_t, near_h = search(t, s, 1)[0][:, 0], search(h, s, 1)[0][:, 0]
    identifiability = identifiability_gap(apart_t, near_t, apart_h, near_h)
    of_t, of_h = np.arange(len(t)), np.arange(len(h))
    units = len(t) + len(h)
    if subjects is not None:
        of_t, of_h = subjects
        units = len(np.unique(of_t)) + len(np.unique(of_h))
        identifiability = Estimate(identifiability.value, math.nan, math.nan, "no interval with subjects")
    return {
        "dcr_share": dcr_share(to_t[:, 0], of_t[in_t[:, 0]], to_h[:, 0], of_h[in_h[:, 0]], units),
        "nndr_ratio": nndr_ratio(to_t, to_h),
        "authenticity_gap": authenticity_gap(auth_t, auth_h),
        "identifiability_gap": identifiability,
    }


def c_t_of(samples: np.ndarray, members: np.ndarray, decoys: np.ndarray, seed: int, device: str = "cpu") -> Estimate:
    """C_T of images uint8 [·, C, H, W]; seed: of the k-means cells."""
    s, t, h = (flatten_unit(images) for images in (samples, members, decoys))
    return c_t(_cells(s, t, h, seed, device))


def _cells(
    samples: np.ndarray, members: np.ndarray, decoys: np.ndarray, seed: int, device: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The distances of samples and decoys to the members of their k-means cell, cell by cell."""
    centres, of_members = cells_of(members, seed)
    of_samples, of_decoys = (nearest_neighbours(x, centres, 1, device=device)[1][:, 0] for x in (samples, decoys))
    cells = []
    for number in range(len(centres)):
        inside = members[of_members == number]
        parts = [x[of == number] for x, of in ((samples, of_samples), (decoys, of_decoys))]
        near = [nearest_neighbours(x, inside, 1, device=device)[0][:, 0] if len(x) else np.empty(0) for x in parts]
        cells.append((near[0], near[1]))
    return cells

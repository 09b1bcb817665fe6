"""Pairs ranked by how many others show nearly the same image: the captions that a model has most likely memorized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakfront.errors import InputError

BLOCK = 8192  # queries searched at once
LISTS_BY_ROOT, PER_LIST, ITERATIONS = 4, 40, 10  # of the inverted lists: their number, and what k-means takes
SPLITTABLE = 20_000  # vectors of one component whose distances fit into memory


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Groups of near-copies among N vectors.

    group: int64 [N], the number of each vector's group. size: int64 [N], the size of that group, itself included: the
    higher, the sooner its caption should be tried. largest: the size of the largest group before any was split.
    """

    group: np.ndarray
    size: np.ndarray
    largest: int


def near_duplicates(
    vectors: np.ndarray, cosine: float = 0.9, neighbours: int = 20, probes: int = 4, split_above: int = 1000
) -> Duplicates:
    """Group vectors, float32 [N, d], that near-copies connect (Carlini et al. 2023, arXiv 2301.13188, §4.2).

    The vectors are embeddings of all images that a model may have seen, members and decoys alike, such as CLIP's. Two
    are joined if their cosine is at least `cosine` in (0, 1] and one is found among the `neighbours` nearest of the
    other. The search looks into the `probes` nearest of 4 sqrt(N) inverted lists (fewer for less than 25,600 vectors),
    so it may miss some; the cosines of those found are exact up to float32. Groups are connected components: copies of
    copies count. As chains may join what is not alike, components of more than `split_above` vectors are split by
    complete linkage, so that all pairs of a group reach `cosine`.

    Raises `InputError` for a vector of zeros or with values that are not finite, and for a component of more than
    20,000 vectors, which cannot be split.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    unit = _unit(vectors)
    pairs = [np.stack([here, there]) for here, there in _joined(unit, cosine, neighbours, probes)]
    here, there = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(here), bool), (here, there)), shape=(len(unit), len(unit)))
    count, group = connected_components(graph, directed=False)
    group, sizes = group.astype(np.int64), np.bincount(group)
    largest = int(sizes.max())
    for large in np.flatnonzero(sizes > split_above):
        rows = np.flatnonzero(group == large)
        parts = _split(unit[rows], cosine)
        group[rows] = np.where(parts == 0, large, count + parts - 1)
        count += int(parts.max())
    return Duplicates(group, np.bincount(group)[group], largest)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors at length 1, float32 [N, d]."""
    rows = np.array(vectors, dtype=np.float32, order="C")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = ~np.isfinite(length[:, 0]) | (length[:, 0] == 0)
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {len(rows)} vectors have no direction (the first is number {int(np.argmax(bad))}); "
            "leave out what is zero or not finite"
        )
    rows /= length
    return rows


def _joined(unit: np.ndarray, cosine: float, neighbours: int, probes: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The numbers of vectors and of those that they are joined with, int64 [e] each, block by block."""
    index = _indexed(unit, probes)
    for first in range(0, len(unit), BLOCK):
        block = unit[first : first + BLOCK]
        # an inner product of unit vectors is their cosine; one result is the vector itself, or an equal one
        found, there = index.search(block, min(neighbours + 1, len(unit)))
        row, column = np.nonzero((found >= cosine) & (there >= 0))
        yield first + row, there[row, column]


def _indexed(unit: np.ndarray, probes: int) -> Any:
    """A faiss index of the vectors by inverted lists."""
    import faiss

    lists = max(1, min(round(LISTS_BY_ROOT * len(unit) ** 0.5), len(unit) // PER_LIST))
    index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(unit.shape[1]), unit.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.seed, index.nprobe = ITERATIONS, 1, probes
    index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = PER_LIST, 1
    drawn = np.random.default_rng(0).permutation(len(unit))[: PER_LIST * lists]
    index.train(unit[np.sort(drawn)])
    index.add(unit)
    return index


def _split(unit: np.ndarray, cosine: float) -> np.ndarray:
    """The part of each vector, 0, 1, …, so that all pairs of a part reach `cosine`."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    if len(unit) > SPLITTABLE:
        raise InputError(
            f"{len(unit)} vectors are joined to one group, and at most {SPLITTABLE} can be split; raise cosine"
        )
    tree = linkage(pdist(unit, "cosine"), "complete")
    parts: np.ndarray = fcluster(tree, 1 - cosine, "distance") - 1
    return parts

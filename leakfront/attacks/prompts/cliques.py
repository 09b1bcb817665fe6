"""Cliques among the generations of a prompt: whether there is one of k, and from which distance on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NODES = 20_000  # of the search tree of one decision; an answer takes at most a few dozen on graphs of generations


class BudgetSpentError(Exception):
    """A decision was not reached within the budget."""


@dataclass(frozen=True)
class Clique:
    """The smallest distance at which there is a clique, and one clique there.

    rows: int64 [k], the medoid first. exact: False if some decision was left to complete linkage; the distance is then
    an upper bound.
    """

    distance: float
    rows: np.ndarray
    exact: bool


def smallest_clique(between: np.ndarray, size: int, budget: int = NODES) -> Clique:
    """The smallest d at which `size` of n items are all within d of each other, by binary search over the distances.

    between: symmetric distances [n, n], n >= size >= 2. The search ends at the distance where complete linkage has a
    cluster of the size: that is a clique, too, but a tighter one may cross its clusters. Where a decision is not
    reached within the `budget`, complete linkage decides.
    """
    distance, rows = complete_linkage(between, size)
    levels = np.unique(between[np.triu_indices(len(between), 1)])
    low, high, exact = 0, int(np.searchsorted(levels, distance)), True
    while low < high:
        middle = (low + high) // 2
        try:
            found = find_clique(between <= levels[middle], size, budget)
        except BudgetSpentError:
            found, exact = None, False
        if found is None:
            low = middle + 1
        else:
            high, rows = middle, found
    rows = np.sort(rows)
    within = between[np.ix_(rows, rows)].sum(1)
    first = int(np.argmin(within))
    return Clique(float(levels[high]), np.concatenate([rows[first : first + 1], np.delete(rows, first)]), exact)


def complete_linkage(between: np.ndarray, size: int) -> tuple[float, np.ndarray]:
    """The smallest height at which complete linkage has a cluster of at least `size`, and `size` items of it, [size].

    All pairs of a cluster are within its height, so the height is an upper bound for `smallest_clique`.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    n = len(between)
    clusters = [[item] for item in range(n)]
    for left, right, height, count in linkage(squareform(between, checks=False), "complete"):
        clusters.append(clusters[int(left)] + clusters[int(right)])
        if count >= size:
            return float(height), np.sort(np.array(clusters[-1], np.int64))[:size]
    raise ValueError(f"{n} items have no clique of {size}")


def find_clique(edges: np.ndarray, size: int, budget: int = NODES) -> np.ndarray | None:
    """The rows of a clique of `size` in a graph, int64 [size], or None if there is none.

    edges: symmetric bool [n, n]; its diagonal does not count. Only the (size - 1)-core is searched. A branch ends where
    a greedy colouring of its candidates needs too few colours. Raises `BudgetSpentError` after `budget` nodes.
    """
    core = _core(edges, size - 1)
    if len(core) < size:
        return None
    inside = edges[np.ix_(core, core)] & ~np.eye(len(core), dtype=bool)
    neighbours = [int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little") for row in inside]
    found = _Search(neighbours, budget).grow((1 << len(core)) - 1, size)
    return None if found is None else core[np.array(found, np.int64)]


def _core(edges: np.ndarray, degree: int) -> np.ndarray:
    """The rows of the largest subgraph in which every node has at least `degree` neighbours."""
    alive = np.arange(len(edges))
    while True:
        inside = edges[np.ix_(alive, alive)]
        kept = inside.sum(1) - inside.diagonal() >= degree
        if kept.all():
            return alive
        alive = alive[kept]


@dataclass
class _Search:
    """The neighbours of each node as the bits of a number, and how many nodes of the search tree are left."""

    neighbours: list[int]
    budget: int

    def grow(self, candidates: int, wanted: int) -> list[int] | None:
        """A clique of `wanted` among the candidates, or None."""
        if wanted == 0:
            return []
        self.budget -= 1
        if self.budget < 0:
            raise BudgetSpentError
        if candidates.bit_count() < wanted or not self._needs_colours(candidates, wanted):
            return None
        by_degree = sorted(_bits(candidates), key=lambda node: -(self.neighbours[node] & candidates).bit_count())
        for node in by_degree:
            if candidates.bit_count() < wanted:
                return None
            found = self.grow(candidates & self.neighbours[node], wanted - 1)
            if found is not None:
                return [node, *found]
            candidates ^= 1 << node
        return None

    def _needs_colours(self, candidates: int, wanted: int) -> bool:
        """Whether a greedy colouring takes `wanted` colours or more; a clique of that size needs as many."""
        for _ in range(wanted - 1):
            if not candidates:
                return False
            free = candidates
            while free:
                lowest = free & -free
                candidates ^= lowest
                free &= ~(self.neighbours[lowest.bit_length() - 1] | lowest)
        return candidates != 0


def _bits(number: int) -> list[int]:
    """The places of the ones of a number, from the lowest."""
    return [place for place in range(number.bit_length()) if number >> place & 1]

"""Cliques: the decision against networkx and against all subsets, and what happens where it takes too long."""

from __future__ import annotations

from itertools import combinations

import networkx
import numpy as np
import pytest

from leakfront.attacks.prompts.cliques import BudgetSpentError, complete_linkage, find_clique, smallest_clique


def graph(n: int, share: float, seed: int) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < share, 1)
    edges: np.ndarray = upper | upper.T
    return edges


def distances(n: int, seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((n, 2))
    between: np.ndarray = np.linalg.norm(points[:, None] - points, axis=2)
    return between


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_there_is_a_clique_where_networkx_finds_one(share: float) -> None:
    for seed in range(4):
        edges = graph(40, share, seed)
        largest = len(networkx.max_weight_clique(networkx.Graph(edges), weight=None)[0])
        for size in range(2, largest + 3):
            found = find_clique(edges, size)
            assert (found is None) == (size > largest)
            if found is not None:
                assert len(set(found.tolist())) == size
                assert edges[np.ix_(found, found)].sum() == size * (size - 1)


def test_the_diagonal_does_not_count() -> None:
    assert find_clique(np.eye(5, dtype=bool), 2) is None
    assert find_clique(np.ones((5, 5), bool), 5) is not None
    assert find_clique(np.ones((5, 5), bool), 6) is None


@pytest.mark.parametrize("size", [2, 3, 5])
def test_the_smallest_distance_is_that_of_all_subsets(size: int) -> None:
    for seed in range(5):
        between = distances(12, seed)
        widths = {rows: max(between[a, b] for a, b in combinations(rows, 2)) for rows in combinations(range(12), size)}
        found = smallest_clique(between, size)
        assert found.exact
        assert found.distance == min(widths.values())
        assert widths[tuple(sorted(found.rows.tolist()))] == found.distance
        within = between[np.ix_(found.rows, found.rows)].sum(1)
        assert within[0] == pytest.approx(within.min())


def test_complete_linkage_misses_a_clique_that_crosses_its_clusters() -> None:
    between = np.abs(np.subtract.outer(points := np.array([0.0, 1.0, 2.1, 3.1]), points))
    linked, rows = complete_linkage(between, 3)
    found = smallest_clique(between, 3)
    assert linked == pytest.approx(3.1)
    assert between[np.ix_(rows, rows)].max() <= linked
    assert found.distance == pytest.approx(2.1)


def test_items_that_are_equal_have_a_clique_at_0() -> None:
    between = np.ones((6, 6))
    between[:4, :4] = 0
    np.fill_diagonal(between, 0)
    assert smallest_clique(between, 4).distance == 0
    assert smallest_clique(between, 5).distance == 1


def test_past_the_budget_complete_linkage_decides_and_says_so() -> None:
    between = distances(30, 3)
    exact, bounded = smallest_clique(between, 6), smallest_clique(between, 6, budget=0)
    assert not bounded.exact
    assert bounded.distance == complete_linkage(between, 6)[0] > exact.distance
    assert between[np.ix_(bounded.rows, bounded.rows)].max() <= bounded.distance
    with pytest.raises(BudgetSpentError):
        find_clique(graph(120, 0.5, 0), 12, budget=50)


def test_an_empty_core_is_decided_without_a_search() -> None:
    assert find_clique(graph(400, 0.01, 1), 12, budget=0) is None

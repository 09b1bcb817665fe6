"""Groups of near-copies are those of the whole matrix of cosines, whatever the order of the pairs."""

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from leakfront.attacks.prompts.duplicates import Duplicates, near_duplicates
from leakfront.errors import InputError


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Vectors on a few topics, a fifth of them in groups of 2 to 30 near-copies; their lengths vary."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(20, 32))[rng.integers(20, size=count)] + rng.normal(size=(count, 32))
    first = 0
    while first < count // 5:
        size = int(rng.integers(2, 31))
        vectors[first : first + size] = vectors[first] + 0.1 * rng.normal(size=(len(vectors[first : first + size]), 32))
        first += size
    return (vectors * rng.uniform(0.5, 2, size=(count, 1))).astype(np.float32)[rng.permutation(count)]


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    return unit @ unit.T


def test_groups_are_the_components_of_all_pairs() -> None:
    vectors = clustered(3000)
    _, expected = connected_components(cosines(vectors) >= 0.9, directed=False)
    found = near_duplicates(vectors)
    assert (
        len(set(zip(found.group.tolist(), expected.tolist(), strict=True)))
        == expected.max() + 1
        == len(set(found.group))
    )
    np.testing.assert_array_equal(found.size, np.bincount(expected)[expected])
    assert found.largest == np.bincount(expected).max() > 20
    assert (found.size == 1).sum() > 2000


def test_ranks_do_not_depend_on_the_order_of_the_pairs() -> None:
    vectors = clustered(1000, seed=1)
    order = np.random.default_rng(2).permutation(1000)
    np.testing.assert_array_equal(near_duplicates(vectors[order]).size, near_duplicates(vectors).size[order])


def test_a_chain_is_one_group_and_is_split_if_it_is_long() -> None:
    angle = np.arange(60) * 0.1  # neighbours have a cosine of 0.995, the ends look opposite ways
    chain = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    apart = np.array([[-0.5, 0.8]], np.float32)
    whole = near_duplicates(chain, neighbours=5)
    assert set(whole.size) == {60}
    split: Duplicates = near_duplicates(chain, neighbours=5, split_above=59)
    assert split.largest == 60
    assert len(set(split.group)) > 5
    alike = cosines(chain)
    for group in set(split.group):
        rows = np.flatnonzero(split.group == group)
        assert alike[np.ix_(rows, rows)].min() >= 0.9
        assert set(split.size[rows]) == {len(rows)}
    assert set(near_duplicates(apart).size) == {1}


def test_vectors_without_a_direction_are_refused() -> None:
    vectors = clustered(50)
    vectors[7] = 0
    with pytest.raises(InputError, match=r"1 of 50 vectors have no direction \(the first is number 7\)"):
        near_duplicates(vectors)


def test_a_group_too_large_to_be_split_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakfront.attacks.prompts.duplicates.SPLITTABLE", 10)
    with pytest.raises(
        InputError, match="11 vectors are joined to one group, and at most 10 can be split; raise cosine"
    ):
        near_duplicates(np.ones((11, 3), np.float32), split_above=5)

"""Counts of subjects: the largest of their images' scores, among as many images where membership is stated."""

from __future__ import annotations

import numpy as np
import pytest

from leakfront.results.distances.n_copies import n_copies
from leakfront.results.statistics.counts import extracted_at_fdr
from leakfront.results.statistics.roc import auc
from leakfront.results.statistics.subjects import Subjects


def drawn(rng: np.random.Generator, subjects: int, sizes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Subjects of 1 to 6 images and their coins: of int64 [P], members bool [P]."""
    of = rng.permutation(np.repeat(np.arange(subjects), rng.integers(1, 7, subjects) if sizes is None else sizes))
    return of, (rng.random(subjects) < 0.5)[of]


def test_a_subject_has_the_largest_score_of_its_images_and_one_coin() -> None:
    rng = np.random.default_rng(0)
    of, members = drawn(rng, 40)
    score, hit = rng.normal(size=len(of)), rng.random(len(of)) < 0.1
    subjects = Subjects.judged(of, members, matched=False)
    arrays = subjects.arrays({"score": score, "matched_x": hit, "past/score": -score, "nearest_sample": of})
    assert set(arrays) == {"score", "matched_x", "past/score"}
    for one in range(40):
        assert arrays["score"][one] == max(score[of == one])
        assert arrays["past/score"][one] == max(-score[of == one])
        assert arrays["matched_x"][one] == any(hit[of == one])
        assert subjects.of_members[one] == members[of == one][0]


def test_samples_match_the_subjects_of_the_images_that_they_match() -> None:
    """Of subjects 0 (two images) and 1 to 3; as many members as decoys of one image: subject 3 is not compared."""
    of, members = np.array([0, 1, 0, 2, 3]), np.array([True, True, True, False, True])
    subjects = Subjects.judged(of, members, matched=True)
    assert subjects.compared.tolist() == [False, True, True, False]
    arrays = subjects.arrays({
        "score": np.zeros(5), "neighbours": np.array([[1, 4], [3, 0], [4, 1]]),
        "neighbour_scores": np.array([[0.1, 0.2], [0.1, 0.3], [0.1, 0.9]]),
    })  # fmt: skip
    assert arrays["neighbours"].max() < len(subjects.of_members) == 2
    found = n_copies(arrays["neighbours"], arrays["neighbour_scores"], subjects.of_members, -0.5)
    assert found.value == 1 / 3  # the first sample; the second matches a decoy, the third one that is not compared


def test_a_subject_on_both_sides_is_refused() -> None:
    with pytest.raises(ValueError, match="both sides"):
        Subjects.judged(np.array([0, 0, 1]), np.array([True, False, True]), matched=False)


def test_where_membership_is_stated_as_many_of_each_size_are_compared() -> None:
    rng = np.random.default_rng(1)
    of, members = drawn(rng, 60)
    subjects = Subjects.judged(of, members, matched=True)
    sizes = np.bincount(of)[subjects.compared]
    assert sorted(sizes[subjects.of_members]) == sorted(sizes[~subjects.of_members])
    assert 10 < subjects.compared.sum() < 60


def test_larger_members_look_like_members_unless_sizes_are_matched() -> None:
    """Without any leak, members of 6 or 2 images against decoys of 2 or 6, mostly of the first each."""
    rng = np.random.default_rng(2)
    plain, matched = [], []
    for _ in range(60):
        side = np.arange(80) < 40
        sizes = np.where(rng.random(80) < np.where(side, 0.8, 0.2), 6, 2)
        of = np.repeat(np.arange(80), sizes)
        score = rng.normal(size=len(of))
        for found, match in ((plain, False), (matched, True)):
            subjects = Subjects.judged(of, side[of], matched=match)
            found.append(auc(subjects.score(score), subjects.of_members))
    assert np.mean(plain) > 0.6
    assert abs(np.mean(matched) - 0.5) < 0.04


def test_the_rate_of_false_discoveries_holds_for_subjects() -> None:
    """Images of a subject score alike, so that images do not have coins of their own."""
    rng, shares = np.random.default_rng(3), []
    for _ in range(150):
        of, members = drawn(rng, 200)
        leaks = np.zeros(200, bool)
        leaks[:60] = True
        score = rng.normal(size=200)[of] + 0.1 * rng.normal(size=len(of)) + 4 * (leaks[of] & members)
        subjects = Subjects.judged(of, members, matched=False)
        found = extracted_at_fdr(subjects.score(score), subjects.of_members, 0.2)
        shares.append((found.mask & ~leaks).sum() / max(found.count, 1))
    assert np.mean(shares) < 0.2

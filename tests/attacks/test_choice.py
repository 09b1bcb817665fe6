"""The choice among variants of a score on shadow models: the best, or the source's default where none is clearly so."""

from __future__ import annotations

import numpy as np
import pytest

from leakfront.attacks.shadow_models.choice import best_on_shadows, shadow_auc

Candidates = list[tuple[dict[int, np.ndarray], np.ndarray]]


def shadows(gains: dict[int, float], count: int, images: int, seed: int) -> Candidates:
    """Shadow models whose scores under each key are noise, and `gain` higher for members."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        members = rng.random(images) < 0.5
        made.append(({key: rng.normal(size=images) + gain * members for key, gain in gains.items()}, members))
    return made


def wins(score: np.ndarray, members: np.ndarray) -> np.ndarray:
    inside, outside = score[members][:, None], score[~members][None]
    return np.asarray((inside > outside) + 0.5 * (inside == outside))


def test_the_auc_is_the_share_of_pairs_that_a_member_wins() -> None:
    rng = np.random.default_rng(0)
    score, members = rng.integers(0, 5, 60).astype(float), rng.random(60) < 0.4
    assert shadow_auc(score, members) == pytest.approx(wins(score, members).mean(), rel=1e-12)


def test_the_margin_counts_standard_errors_of_the_paired_difference() -> None:
    for seed in range(40):
        candidates = shadows({0: 0.3, 1: 0.7}, 2, 80, seed)
        gaps = [wins(s[1], m) - wins(s[0], m) for s, m in candidates]
        # the variance of the mean of a matrix of pairs, rows and columns drawn at random
        variances = [g.mean(1).var(ddof=1) / g.shape[0] + g.mean(0).var(ddof=1) / g.shape[1] for g in gaps]
        errors = np.mean([g.mean() for g in gaps]) / (np.sum(variances) ** 0.5 / 2)
        if errors > 0:
            assert best_on_shadows(candidates, 0, errors * 0.999)[0] == 1
            assert best_on_shadows(candidates, 0, errors * 1.001)[0] == 0


def test_its_standard_error_is_the_scatter_over_many_models() -> None:
    gaps, said = [], []
    for seed in range(400):
        ((scores, members),) = shadows({0: 0.4, 1: 0.8}, 1, 100, seed)
        gap = wins(scores[1], members) - wins(scores[0], members)
        gaps.append(gap.mean())
        said.append(gap.mean(1).var(ddof=1) / gap.shape[0] + gap.mean(0).var(ddof=1) / gap.shape[1])
    assert np.mean(said) ** 0.5 == pytest.approx(np.std(gaps), rel=0.1)


def test_chance_moves_the_best_but_seldom_the_choice_with_a_margin() -> None:
    alike = dict.fromkeys(range(5), 0.5)
    moved = [[best_on_shadows(shadows(alike, 3, 200, seed), 0, m)[0] != 0 for seed in range(60)] for m in (0, 2)]
    assert np.mean(moved[0]) > 0.6  # 4 in 5, without a margin
    assert np.mean(moved[1]) < 0.25  # at most 4 x 2.3%, with slack for 60 tries


def test_a_clear_gain_is_taken_and_said() -> None:
    candidates = shadows({0: 0.2, 1: 2.0, 2: 1.0}, 2, 200, 1)
    assert best_on_shadows(candidates, 0, 2) == (1, "best mean AUC on 2 shadow models, by more than 2 standard errors")
    kept = best_on_shadows(shadows({0: 2.0, 1: 0.2}, 1, 200, 1), 0, 2)
    assert kept == (0, "the source's default; no other is better by 2 standard errors on 1 shadow model")
    assert best_on_shadows([], 2, 2) == (2, "the source's default (no shadow model)")


def test_the_other_sign_is_taken_where_members_score_clearly_lower() -> None:
    rng = np.random.default_rng(3)
    members = rng.random(300) < 0.5
    errors = rng.normal(size=300) + members
    assert best_on_shadows([({-1: -errors, 1: errors}, members)], -1, 2)[0] == 1

"""Every registered attack passes this suite by being registered; its own formula is checked in a file of its own."""

import dataclasses
import inspect

import numpy as np
import pytest

import attacks
from attacks import Target
from results.statistics.counts import extracted_at_fdr
from results.statistics.roc import auc, auc_interval
from tests import oracle_targets as oracle

ATTACKS = attacks.registry.names()
# settings that suit a pool of 120 images
SETTINGS = {"extraction": {"neighbours": 20}, "pia": {"timesteps": (50, 100, 200)}, "loss": {"timesteps": (50, 100)}}


def build(name: str) -> attacks.Attack:
    return attacks.registry.get(name)(**SETTINGS.get(name, {}))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return oracle.digits()[: oracle.POOL]


@pytest.mark.parametrize("name", ATTACKS)
def test_states_its_source_access_and_cost(name: str) -> None:
    plugin = attacks.registry.get(name)
    assert plugin.access in ("samples", "loss", "gradients")
    assert plugin.summary
    assert dataclasses.is_dataclass(plugin)
    assert plugin.__dataclass_params__.frozen  # type: ignore[attr-defined]
    text = inspect.getdoc(plugin) or ""
    for stated in ("20", "Access:", "odel calls"):
        assert stated in text


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("with_shadows", [False, True])
def test_memorizer_gives_every_member_away(name: str, with_shadows: bool, images: np.ndarray) -> None:
    attack, members = build(name), oracle.coins(1)
    seen = oracle.target(attack, oracle.fitted("memorizer", images[members]), images)
    shadows = oracle.shadows_of(attack, "memorizer", images, [2, 3]) if with_shadows else []
    scores = attack.score(seen, shadows)
    if attack.access == "samples":
        # a member that no sample fell on cannot be found from samples
        found = np.unique(oracle.nearest_pool_image(seen.samples, images))
        reached = np.isin(np.arange(len(images)), found)
        assert reached[members].mean() > 0.5
        assert not reached[~members].any()
        assert scores.score[reached].min() > scores.score[~members].max()
    else:
        assert auc(scores.score, members) == 1.0


@pytest.mark.parametrize("name", ATTACKS)
def test_model_that_never_saw_the_pool_gives_nothing_away(name: str, images: np.ndarray) -> None:
    attack, members = build(name), oracle.coins(1)
    elsewhere = oracle.digits()[500:1100]
    seen = oracle.target(attack, oracle.fitted("gaussian", elsewhere), images)
    shadows = [oracle.shadow(attack, oracle.fitted("gaussian", elsewhere), images, oracle.coins(s)) for s in (2, 3)]
    score = attack.score(seen, shadows).score
    _, low, high, _ = auc_interval(score, members, seed=0)
    assert low <= 0.5 <= high
    assert extracted_at_fdr(score, members).count == 0


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_do_not_depend_on_the_batch_size(name: str, images: np.ndarray) -> None:
    attack = build(name)
    model = oracle.fitted("memorizer", images[oracle.coins(1)])
    small, large = (attack.score(oracle.target(attack, model, images, size), []).score for size in (7, 120))
    np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_follow_the_images_when_the_pool_is_reordered(name: str, images: np.ndarray) -> None:
    attack, order = build(name), np.random.default_rng(4).permutation(len(images))
    model = oracle.fitted("memorizer", images[oracle.coins(1)])
    moved_target = oracle.target(attack, model, images[order])  # probed in the other order, not only rearranged
    seen, shadows = oracle.target(attack, model, images), oracle.shadows_of(attack, "memorizer", images, [2])
    moved_shadows = [oracle.permuted_shadow(known, order) for known in shadows]
    here, there = attack.score(seen, shadows).score, attack.score(moved_target, moved_shadows).score
    np.testing.assert_allclose(here[order], there, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ATTACKS)
def test_swapped_coins_mirror_auc(name: str, images: np.ndarray) -> None:
    attack, members = build(name), oracle.coins(1)
    score = attack.score(oracle.target(attack, oracle.fitted("memorizer", images[members]), images), []).score
    assert auc(score, members) > 0.5
    assert auc(score, ~members) == pytest.approx(1 - auc(score, members), abs=1e-12)


def test_the_target_has_no_coins_to_look_at() -> None:
    held = {field.name for field in dataclasses.fields(Target)}
    assert held == {"pool", "samples", "signals", "seed"}
    assert {field.name for field in dataclasses.fields(attacks.PoolView)} == {
        "images", "labels", "variants", "variant_of",
    }  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_same_seed_same_scores(name: str, images: np.ndarray) -> None:
    attack = build(name)
    seen = oracle.target(attack, oracle.fitted("memorizer", images[oracle.coins(1)]), images)
    np.testing.assert_array_equal(attack.score(seen, []).score, attack.score(seen, []).score)


def test_a_score_that_is_blind_to_the_model_gives_nothing_away(images: np.ndarray) -> None:
    """The control: brightness says nothing about a fair coin."""
    score = images.mean(axis=(1, 2, 3))
    _, low, high, _ = auc_interval(score, oracle.coins(1), seed=0)
    assert low < 0.5 < high
    assert extracted_at_fdr(score, oracle.coins(1)).count == 0

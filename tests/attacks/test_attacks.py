"""Every registered attack keeps to the contract and finds exactly what it can find; formulas are tested elsewhere."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest

from leakfront import attacks
from leakfront.attacks import Shadow, Target
from leakfront.attacks.loss import NoiseErrors
from leakfront.results.statistics.counts import extracted_at_fdr
from leakfront.results.statistics.roc import auc, auc_interval
from leakfront.testing import check_attack
from tests import oracle_targets as oracle

ATTACKS = attacks.registry.names()
# settings that suit a pool of 120 images
SETTINGS: dict[str, dict[str, Any]] = {
    "extraction": {"neighbours": 20},
    "pia": {"timesteps": (50, 100, 200)},
    "loss": {"timesteps": (50, 100)},
    "generate_and_filter": {"clique": 3},
    "generate_by_prompt": {"samples_per_prompt": 6, "clique": 5},
    "outlier": {"extraction_neighbours": 20, "fraction": 0.6},
    "outlier_by_prompt": {"fraction": 0.9, "samples_per_prompt": 5, "clique": 4},
    "side": {"steps": 60, "batch_size": 32, "neighbours": 20},
    "inpainting": {"repeats": 12, "keep": 1, "steps": 10},
    "secmi_learned": {"timestep": 200},  # at 100 the errors of a few decoys are mere rounding errors
    "lira": {"timesteps": (50, 100)},
    "quantile": {"timesteps": (50, 100)},
    "pian": {"timesteps": (50, 100, 200)},
    "sima": {"timesteps": (50, 100)},
    "pfami": {"timesteps": (0, 100, 200), "crops": 4},
    "retained": {"pairs": 120, "steps": 2, "batch_size": 2, "samples": 1, "matches": 1},
    "clid": {"timesteps": (100, 450)},
    "base_ratio": {"timesteps": (50, 100), "draws": 1},
    "prompt_magnitude": {"steps": 4, "draws": 2},
    "prompt_curvature": {"timesteps": (900, 980), "draws": 1},
    "onestep": {"timesteps": (700, 900), "default_timestep": 900, "draws": 4},
    "prompt_alignment": {"default_weight": 0.1},  # in one channel, with few members, the magnitude tells more
}
FEWEST_SAMPLES: dict[str, int] = {"generate_and_filter": 3}
ONLY_SOME: set[str] = {"outlier", "outlier_by_prompt"}


def build(name: str) -> attacks.Attack:
    return attacks.registry.get(name)(**SETTINGS.get(name, {}))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return oracle.digits()[: oracle.POOL]


@cache
def given_away(name: str) -> Target:
    """What an attack sees of the memorizer of the members."""
    attack, images = build(name), oracle.digits()[: oracle.POOL]
    texts = oracle.captions() if attack.needs_captions else None
    model = oracle.fitted("memorizer", *oracle.chosen(images, texts, oracle.coins(1)))
    return oracle.target(attack, model, images, texts=texts)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_keeps_to_the_contract(name: str) -> None:
    check_attack(build(name))


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("shadow_models", [0, 2])
def test_memorizer_gives_every_member_away(name: str, shadow_models: int, images: np.ndarray) -> None:
    attack, members = build(name), oracle.coins(1)
    if shadow_models < attack.minimum_shadows:
        assert "left out" in attack.note(shadow_models)
        return
    texts = oracle.captions() if attack.needs_captions else None
    seen, seeds = given_away(name), [2, 3][:shadow_models]
    if attack.uses_shadows:
        shadows = oracle.shadows_of(attack, "memorizer", images, seeds, texts)
    else:
        shadows = [Shadow(**vars(seen), members=oracle.coins(seed)) for seed in seeds]
    scores = attack.score(seen, shadows)
    assert auc(scores.score, ~members) == pytest.approx(1 - auc(scores.score, members), abs=1e-12)
    if attack.access == "none":
        _, low, high, _ = auc_interval(scores.score, members, seed=0)
        assert low <= 0.5 <= high
    elif attack.extracts:
        assert auc(scores.score, members) > 0.5
        # an attack on samples cannot find a member that was never generated, or too seldom
        emitted = [seen.generated[g]["images"] for g in attack.generations()] or [seen.samples]
        found, times = np.unique(oracle.nearest_pool_image(np.concatenate(emitted), images), return_counts=True)
        reached = np.isin(np.arange(len(images)), found[times >= FEWEST_SAMPLES.get(name, 1)])
        if name in ONLY_SOME:  # it attacks a part of the pool
            reached &= scores.score > scores.score.min()
        assert reached[members].mean() > 0.3
        assert not reached[~members].any()
        assert scores.score[reached].min() > scores.score[~members].max()
    else:
        assert auc(scores.score, members) == 1.0


@pytest.mark.parametrize("name", ATTACKS)
def test_model_that_never_saw_the_pool_gives_nothing_away(name: str, images: np.ndarray) -> None:
    attack, members, elsewhere = build(name), oracle.coins(1), slice(500, 1100)
    texts, theirs = (oracle.captions(), oracle.captions(elsewhere)) if attack.needs_captions else (None, None)
    model = oracle.fitted("gaussian", oracle.digits()[elsewhere], theirs)
    seen = oracle.target(attack, model, images, texts=texts)
    score = attack.score(seen, [Shadow(**vars(seen), members=oracle.coins(s)) for s in (2, 3)]).score
    _, low, high, _ = auc_interval(score, members, seed=0, level=1 - 0.05 / len(ATTACKS))  # all share one draw of coins
    assert low <= 0.5 <= high
    assert extracted_at_fdr(score, members).count == 0


def test_an_attack_with_one_signal_names_it_once() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine(attacks.Attack):
        @property
        def signal(self) -> NoiseErrors:
            return NoiseErrors((100,), 1)

    blind = attacks.registry.get("blind")()
    assert blind.signal is None
    assert list(blind.signals()) == []
    assert list(Mine().signals()) == [Mine().signal]
    several = attacks.registry.get("dataset_inference")()
    assert several.signal is None
    assert len(several.signals()) == 8


def test_queries_are_among_the_public_names_and_imported_late() -> None:
    from leakfront.attacks.queries.queries import Queries

    assert attacks.Queries is Queries
    with pytest.raises(AttributeError, match="has no attribute 'Query'"):
        _ = attacks.Query


def test_the_target_has_no_coins_to_look_at() -> None:
    held = {field.name for field in dataclasses.fields(Target)}
    assert held == {"pool", "samples", "sample_labels", "signals", "generated", "outside", "seed", "extract"}
    assert {field.name for field in dataclasses.fields(attacks.PoolView)} == {
        "images", "labels", "features", "variants", "variant_of", "conditions", "copies", "captions", "decoded",
    }  # fmt: skip

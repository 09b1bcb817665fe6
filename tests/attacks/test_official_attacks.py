"""The official attacks in benchmarks/ find the members of the memorizer, and stand on their own."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import attack_strength, caption_attack_strength, official_attacks
from benchmarks.official_attacks import captions, clid, quantile, resnet, sima, trajectory
from benchmarks.official_attacks.model import Model, Shadow
from benchmarks.overfitted_models import as_official
from benchmarks.paired_auc import difference
from leakfront.attacks import Attack
from leakfront.attacks.pia import PIA
from leakfront.attacks.pian import PIAN
from leakfront.attacks.secmi import SecMI
from leakfront.attacks.sima import SimA
from leakfront.harness.training.loop import to_unit_range
from leakfront.results.statistics.roc import auc
from tests import oracle_targets as oracle

POOL = to_unit_range(oracle.digits()[: oracle.POOL])
OUTSIDE = to_unit_range(oracle.digits()[oracle.OUTSIDE])
# shadow models that all trained on an image swamp its difference; the networks have few steps
EXPECTED = {"pfami": 0.95, "lira_strong": 0.95, "lira_offline": 0.9, "secmi_learned": 0.9, "rediffuse_nns": 0.9}


def memorizer(members: np.ndarray) -> Model:
    model = oracle.fitted("memorizer", oracle.digits()[: oracle.POOL][members])
    return as_official(model, POOL, OUTSIDE, seed=0)


@pytest.fixture(scope="module")
def target() -> Model:
    return memorizer(oracle.coins(0))


@pytest.fixture(scope="module")
def shadows() -> list[Shadow]:
    return [Shadow(memorizer(oracle.coins(seed)), oracle.coins(seed)) for seed in (1, 2, 3)]


@pytest.mark.parametrize("name", attack_strength.OFFICIAL)
def test_the_memorizer_leaks_its_members(
    name: str, target: Model, shadows: list[Shadow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resnet, "STEPS", 60)
    monkeypatch.setattr(quantile, "STEPS", 60)
    monkeypatch.setattr(trajectory, "TIMESTEPS", (0, 200, 400))
    with torch.no_grad():
        scores = attack_strength.OFFICIAL[name](target, shadows)
    assert scores.shape == (oracle.POOL,)
    assert np.isfinite(scores).all()
    assert auc(scores, oracle.coins(0)) >= EXPECTED.get(name, 0.99)


@pytest.mark.parametrize(
    ("name", "ours"),
    [("pia", PIA((200,))), ("pian", PIAN((200,))), ("secmi", SecMI((90,), signed=False)), ("sima", SimA((100,)))],
)
def test_where_ours_is_the_same_formula_the_scores_agree(name: str, ours: Attack) -> None:
    gaussian = oracle.fitted("gaussian", oracle.digits()[200:500])
    official = as_official(gaussian, POOL, OUTSIDE, seed=0)
    expected = ours.score(oracle.target(ours, gaussian, oracle.digits()[: oracle.POOL]), []).score
    if name == "sima":  # the source leaves the root out, and ours chooses among other timesteps
        scores = -((-sima.by_timestep(official)[-1]) ** 0.25)
    else:
        scores = attack_strength.OFFICIAL[name](official, [])
    np.testing.assert_allclose(scores, expected, rtol=2e-2, atol=1e-9)


@pytest.mark.parametrize("name", captions.OFFICIAL)
def test_a_text_memorizer_gives_its_captions_away(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captions, "STEPS", 10)
    members = oracle.coins(0)
    model = oracle.fitted("memorizer", *oracle.chosen(oracle.digits()[: oracle.POOL], oracle.captions(), members))
    with torch.no_grad():
        scores = captions.OFFICIAL[name](caption_attack_strength.as_official(model, POOL, oracle.captions(), 0))
    assert scores.shape == (oracle.POOL,)
    assert np.isfinite(scores).all()
    if name not in ("prompt_alignment", "onestep"):  # these are made for latents of many values
        assert auc(scores, members) >= 0.99


def test_clid_learns_on_another_text_memorizer_what_gives_pairs_away() -> None:
    members = [oracle.coins(seed) for seed in range(2)]
    chosen = [oracle.chosen(oracle.digits()[: oracle.POOL], oracle.captions(), coins) for coins in members]
    models = [
        caption_attack_strength.as_official(oracle.fitted("memorizer", *one), POOL, oracle.captions(), seed)
        for seed, one in enumerate(chosen)
    ]
    with torch.no_grad():
        numbers = [clid.measured(model) for model in models]
    for judge in clid.JUDGES.values():
        for scores, coins in zip(clid.scores(numbers, members, judge), members, strict=True):
            assert auc(scores, coins) >= 0.99
    assert [clid.third("abcdefgh", part) for part in range(3)] == ["ab", "cde", "fgh"]


def test_clid_scales_the_target_as_the_shadow_model_and_takes_its_weight() -> None:
    """The gain alone tells the shadow's members, and the target's gains are ten times as spread."""
    rng = np.random.default_rng(0)
    members = np.arange(100) < 50
    shadow = np.concatenate([rng.normal(size=(100, 1)), members[:, None] + rng.normal(0, 1, (100, 4))], axis=1)
    target = shadow * [1, 10, 10, 10, 10]
    found = clid.by_threshold(target, shadow, members)
    quartiles = np.percentile(-shadow[:, 1:].mean(1), [25, 50, 75])
    expected = (target[:, 1:].mean(1) + quartiles[1]) / (quartiles[2] - quartiles[0])
    np.testing.assert_allclose(found, expected)


def test_they_are_independent_of_what_they_are_held_against() -> None:
    for path in Path(official_attacks.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "leakfront"], path.name


def test_a_form_belongs_to_the_attack_with_the_longest_name() -> None:
    labels = dict.fromkeys(
        ["pia", "pia_calibrated", "pian", "secmi", "secmi_learned", "lira_online", "lira_difference"]
    )
    assert attack_strength.forms_of("pia", labels) == ["pia", "pia_calibrated"]
    assert attack_strength.forms_of("secmi", labels) == ["secmi"]
    assert attack_strength.forms_of("lira_offline", labels) == ["lira_online", "lira_difference"]


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    members = [oracle.coins(seed) for seed in range(2)]
    weak = [coins + rng.normal(0, 1, oracle.POOL) for coins in members]
    better = [scores + 0.2 * coins for scores, coins in zip(weak, members, strict=True)]
    found = difference(better, weak, members, seed=0)
    expected = np.mean([auc(b, c) - auc(w, c) for b, w, c in zip(better, weak, members, strict=True)])
    assert found.value == pytest.approx(expected)
    assert 0 < found.low < found.value < found.high
    assert found.verdict == "stronger"
    assert difference(weak, better, members, seed=0).verdict == "weaker"
    assert difference(weak, weak, members, seed=0).verdict == "equal"

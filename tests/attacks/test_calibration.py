"""Difficulty calibration against its definition, one image at a time, and what it buys."""

from __future__ import annotations

from statistics import fmean, median

import numpy as np
import pytest

from leakfront.attacks import Attack, Shadow, registry
from leakfront.attacks.loss import Loss
from leakfront.attacks.secmi import SecMI
from leakfront.attacks.shadow_models.calibration import as_non_members, calibrated, in_calibrated_form
from leakfront.attacks.shadow_models.choice import shadow_auc
from leakfront.attacks.shadow_models.fit import fit_and_score, logistic_regression
from tests.attacks.test_loss_attacks import a_model, without_coins

CALIBRATED = ["loss", "pia", "pian", "sima", "secmi", "pfami", "rediffuse"]


def transcribed(known: list[list[float]], coins: list[list[bool]]) -> list[float]:
    """The expected score of a non-member, from scores and coins [S][P]."""
    sides = [
        {side: [v[i] for v, c in zip(known, coins, strict=True) if c[i] == side] for side in (True, False)}
        for i in range(len(known[0]))
    ]
    on_both = [fmean(s[True]) - fmean(s[False]) for s in sides if s[True] and s[False]]
    if on_both:
        shift = median(on_both)
    else:
        by_side = [[v for s in sides for v in s[side]] for side in (True, False)]
        shift = median(by_side[0]) - median(by_side[1])
    return [fmean(s[False]) if s[False] else fmean(s[True]) - shift for s in sides]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_image_is_compared_with_what_it_would_be_as_no_member(count: int) -> None:
    rng = np.random.default_rng(count)
    members = rng.random((count, 40)) < 0.5
    known = rng.normal(size=(count, 40)) + 2 * members
    truth = transcribed(known.tolist(), members.tolist())
    np.testing.assert_allclose(as_non_members(known, members), truth, rtol=1e-12)
    values = rng.normal(size=40)
    np.testing.assert_allclose(calibrated(values, list(known), members), values - truth, rtol=1e-12)
    columns = np.stack([known, -3 * known], axis=-1)
    expected = np.stack([truth, -3 * np.array(truth)], axis=-1)
    np.testing.assert_allclose(as_non_members(columns, members), expected, rtol=1e-12)


def test_shadows_that_all_hold_everything_or_nothing_are_no_error() -> None:
    known = np.arange(6.0).reshape(2, 3)
    for members in (np.zeros((2, 3), bool), np.ones((2, 3), bool)):
        np.testing.assert_allclose(as_non_members(known, members), known.mean(0))


def loss_models(attack: Attack, count: int, seed: int, shift: float = 0.5) -> list[Shadow]:
    """Models whose errors differ by image more than by membership, equal at all timesteps."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(5, 1, 400)
    made = []
    for _ in range(count):
        members = rng.random(400) < 0.5
        errors = difficulty - shift * members + 0.3 * rng.standard_normal(400)
        made.append(a_model(attack, {"errors": np.repeat(errors[:, None], len(attack.timesteps), 1)}, members))  # type: ignore[attr-defined]
    return made


def test_errors_are_compared_as_ratios() -> None:
    """An image whose error is 100 times as large scatters 100 times as much: plain differences drown in it."""
    rng = np.random.default_rng(0)
    attack = Loss(timesteps=(100,), calibrated=True)
    difficulty, models = 10 ** rng.uniform(-2, 2, 400), []
    for _ in range(4):
        members = rng.random(400) < 0.5
        errors = difficulty * np.exp(0.3 * rng.standard_normal(400) - 0.6 * members)
        models.append(a_model(attack, {"errors": errors[:, None]}, members))
    target, *known = models
    score = attack.score(without_coins(target), known).score
    logs = [-np.log(m.signals[attack.signal]["errors"][:, 0].astype(float)) for m in models]
    coins = np.stack([m.members for m in known])
    np.testing.assert_allclose(score, calibrated(logs[0], logs[1:], coins), rtol=1e-6)
    plain = calibrated(-np.exp(-logs[0]), [-np.exp(-values) for values in logs[1:]], coins)
    assert shadow_auc(score, target.members) > shadow_auc(plain, target.members) + 0.05


def test_an_error_of_nothing_is_a_rounding_error() -> None:
    found = in_calibrated_form(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), True)
    assert np.isfinite(found).all()
    assert found[0, 0] == np.log(1e-6)
    assert in_calibrated_form(np.array([0.0, 3.0]), False).tolist() == [0.0, 3.0]


@pytest.mark.parametrize("shadows", [1, 2, 6])
def test_it_helps_where_images_differ_in_difficulty(shadows: int) -> None:
    raw, corrected = Loss(timesteps=(100,)), Loss(timesteps=(100,), calibrated=True)
    aucs = []
    for seed in range(6):
        target, *known = loss_models(raw, shadows + 1, seed)
        aucs.append([shadow_auc(a.score(without_coins(target), known).score, target.members) for a in (raw, corrected)])
    plain, better = np.mean(aucs, axis=0)
    assert better > plain + 0.05


@pytest.mark.parametrize("name", CALIBRATED)
def test_every_attack_on_the_loss_can_be_calibrated_and_then_needs_a_shadow(name: str) -> None:
    plain, corrected = registry.get(name)(), registry.get(name)(calibrated=True)
    assert (plain.shadows_needed(), corrected.shadows_needed()) == (0, 1)
    assert corrected.note(0).startswith("left out: it needs 1 shadow model")
    assert "left out" not in corrected.note(1)
    assert plain.signals() == corrected.signals()


def test_the_choice_says_that_it_is_calibrated() -> None:
    attack = Loss(timesteps=(50, 100), margin=0, calibrated=True)
    target, *known = loss_models(attack, 3, 0)
    said = attack.score(without_coins(target), known).choices["chosen by"]
    assert said == "best mean AUC on 2 shadow models; calibrated on 2 shadow models"


def test_secmi_finds_the_timestep_and_the_sign_on_shadows() -> None:
    attack = SecMI(timesteps=(10, 20, 30))
    rng = np.random.default_rng(0)
    models = []
    for _ in range(3):
        members = rng.random(300) < 0.5
        errors = 5 + rng.standard_normal((300, 3)) + np.outer(members, (0, 0, 1.5))  # members err more, at t = 30
        models.append(a_model(attack, {"errors": errors}, members))
    target, *known = models
    scores = attack.score(without_coins(target), known)
    assert (scores.choices["timestep"], scores.choices["errors of members"]) == (30, "larger")
    assert shadow_auc(scores.score, target.members) > 0.75
    alone = attack.score(without_coins(target), [])
    assert (alone.choices["timestep"], alone.choices["errors of members"]) == (30, "smaller")  # 30 is nearest to 90
    fixed = SecMI(timesteps=(10, 20, 30), signed=False).score(without_coins(target), known)
    assert fixed.choices["errors of members"] == "smaller"


def test_a_fit_on_differences_sees_what_a_fit_on_raw_features_cannot() -> None:
    rng = np.random.default_rng(0)
    difficulty, models = rng.normal(0, 3, (400, 2)), []
    for _ in range(4):
        members = rng.random(400) < 0.5
        features = difficulty - members[:, None] + 0.5 * rng.standard_normal((400, 2))
        models.append((a_model(Loss(timesteps=(100,)), {"errors": features}, members), features))
    by_id = {id(model): features for model, features in models}
    (target, _), *known = models
    shadows = [shadow for shadow, _ in known]

    def auc(calibrate: bool) -> float:
        score = fit_and_score(
            logistic_regression(), lambda seen: by_id[id(seen)], target, shadows, logs=False, calibrate=calibrate
        )
        return shadow_auc(score, target.members)

    assert auc(calibrate=True) > auc(calibrate=False) + 0.2

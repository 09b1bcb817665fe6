"""Attacks that are fitted on shadow models, the control that never sees the model, and the signals that they share."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from leakfront.attacks import Shadow, Signals
from leakfront.attacks.blind import Blind
from leakfront.attacks.contract import Target
from leakfront.attacks.dataset_inference import DatasetInference
from leakfront.attacks.gsa import GSA, Gradients
from leakfront.attacks.loss import Loss
from leakfront.attacks.pfami import PFAMI
from leakfront.attacks.pia import PIA
from leakfront.attacks.queries.queries import Queries
from leakfront.attacks.secmi import SecMI
from leakfront.attacks.secmi_learned import InversionErrors, SecMILearned
from leakfront.attacks.shadow_models.fit import FLOOR, fit_and_score, in_logs, random_state, training_rows
from leakfront.attacks.trajectory import Trajectory
from leakfront.errors import InputError
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel
from leakfront.results.statistics.roc import auc, auc_interval
from leakfront.results.statistics.set_test import set_power
from tests import oracle_targets as oracle


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return oracle.digits()[: oracle.POOL]


def nothing_seen(images: np.ndarray, seed: int = 0) -> Target:
    return replace(oracle.only_samples(oracle.pool_view(images), images[:1]), seed=seed)


def with_coins(model: Target, members: np.ndarray) -> Shadow:
    return Shadow(**vars(model), members=members)


def batch_of(images: np.ndarray, model: Any) -> Queries:
    return Queries(model, to_unit_range(images), torch.zeros(len(images), dtype=torch.long), seed=3)


# the control


@pytest.mark.parametrize("shadow_models", [0, 2])
def test_fair_coins_cannot_be_told_from_the_images(shadow_models: int, images: np.ndarray) -> None:
    seen, covered, splits = nothing_seen(images), 0, 200
    for split in range(splits):
        known = [with_coins(seen, oracle.coins(10_000 + 2 * split + i)) for i in range(shadow_models)]
        members = oracle.coins(split)
        _, low, high, _ = auc_interval(Blind().score(seen, known).score, members, seed=split, draws=400)
        covered += low <= 0.5 <= high
    assert covered >= binom.ppf(1e-3, splits, 0.95)


def test_coins_that_depend_on_brightness_are_found(images: np.ndarray) -> None:
    seen, brightness = nothing_seen(images), images.mean(axis=(1, 2, 3))
    rng = np.random.default_rng(0)

    def unfair() -> np.ndarray:
        chance = np.where(brightness > np.median(brightness), 0.98, 0.02)
        return rng.random(len(images)) < chance

    scores = Blind().score(seen, [with_coins(seen, unfair()) for _ in range(2)])
    assert auc(scores.score, unfair()) > 0.9
    assert scores.choices["chosen by"] == "fitted on 2 shadow models"


def test_without_shadow_models_only_typicality_is_looked_at(images: np.ndarray) -> None:
    seen = nothing_seen(images)
    scores = Blind(neighbours=3).score(seen, [])
    flat = oracle.flat(images)
    distance = np.sqrt(((flat[:, None] - flat[None]) ** 2).sum(2))
    np.testing.assert_allclose(scores.score, -np.sort(distance, axis=1)[:, 1:4].mean(1), rtol=1e-9)
    assert "no shadow model" in scores.choices["chosen by"]
    assert "nothing is fitted" in Blind().note(0)
    assert Blind().note(1) == ""
    assert list(Blind().signals()) == []


# what the fits share


def a_feature(seen: Target) -> np.ndarray:
    return seen.pool.features[:, :5]


def rows_of(shadows: list[Shadow]) -> tuple[np.ndarray, np.ndarray]:
    return training_rows([a_feature(shadow) for shadow in shadows], shadows)


def test_rows_are_in_an_order_of_their_own(images: np.ndarray) -> None:
    seen, order = nothing_seen(images), np.random.default_rng(0).permutation(len(images))
    shadows = [with_coins(seen, oracle.coins(s)) for s in (1, 2)]
    moved = [with_coins(nothing_seen(images[order]), oracle.coins(s)[order]) for s in (2, 1)]
    for here, there in zip(rows_of(shadows), rows_of(moved), strict=True):
        np.testing.assert_array_equal(here, there)
    rows, coins = rows_of(shadows)
    assert rows.shape == (2 * oracle.POOL, 5)
    assert rows.dtype == np.float64
    assert coins.sum() == oracle.coins(1).sum() + oracle.coins(2).sum()


def test_the_score_is_the_log_odds_of_the_fit(images: np.ndarray) -> None:
    seen = nothing_seen(images)
    shadow = with_coins(seen, images.mean(axis=(1, 2, 3)) > 76)
    scores = fit_and_score(LogisticRegression(), lambda s: oracle.flat(s.pool.images), seen, [shadow], logs=False)
    by_hand = LogisticRegression(tol=1e-8).fit(oracle.flat(images), shadow.members).predict_proba(oracle.flat(images))
    np.testing.assert_allclose(scores, np.log(by_hand[:, 1] / by_hand[:, 0]), atol=1e-2)

    class Certain:  # like networks, it gives only probabilities
        def fit(self, rows: np.ndarray, coins: np.ndarray) -> None: ...

        def predict_proba(self, rows: np.ndarray) -> np.ndarray:
            odd = np.arange(len(rows)) % 2
            return np.stack([1 - odd, odd], axis=1).astype(np.float32)

    scores = fit_and_score(Certain(), a_feature, seen, [shadow])
    assert np.isfinite(scores).all()
    assert scores[0] == pytest.approx(-scores[1], rel=1e-3)


def test_logarithms_are_taken_of_what_is_never_negative_and_are_floored() -> None:
    known = np.array([[1.0, -1.0, 0.0], [3.0, 2.0, 0.0]])
    new = np.array([[np.e, -5.0, 7.0], [0.0, 5.0, 0.0], [-1.0, 0.0, 0.0]])
    expected = [[1.0, -5.0, 0.0], [np.log(2 * FLOOR), 5.0, 0.0], [np.log(2 * FLOOR), 0.0, 0.0]]
    np.testing.assert_allclose(in_logs(new, known), expected)


def test_seeds_fit_scikit_learn(images: np.ndarray) -> None:
    assert random_state(nothing_seen(images, seed=2**63 - 1)) == 2**32 - 1
    assert random_state(nothing_seen(images, seed=5)) == 5


# SecMI's map


def test_the_map_is_of_the_errors_that_secmi_sums(images: np.ndarray) -> None:
    queries = batch_of(images, oracle.fitted("gaussian", images[:60]))
    found = InversionErrors(100, 10).measure(queries)
    assert found["map"].shape == (len(images), 1, 8, 8)
    np.testing.assert_allclose(found["map"].square().sum(dim=(1, 2, 3)), found["errors"], rtol=1e-5)
    assert SecMILearned().signals() == [InversionErrors(100, 10)]
    calls = queries.calls
    np.testing.assert_array_equal(SecMI(timesteps=(100,)).signal.measure(queries)["errors"][:, 0], found["errors"])
    assert queries.calls == calls == 12  # the inversion is shared


def test_maps_of_larger_images_are_averaged_down() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 3, 32, 24), dtype=np.uint8)
    queries = batch_of(images, Constant())
    found = InversionErrors(20, 10).measure(queries)["map"]
    assert found.shape == (6, 3, 16, 16)
    assert found.dtype == torch.float32
    whole = InversionErrors(20, 10).measure(batch_of(images[:, :, :16, :16], Constant()))["map"]
    np.testing.assert_allclose(found[:, :, 0, 0], whole[:, :, :2, :2].mean(dim=(2, 3)), rtol=1e-5)


class Constant(DiffusionModel):
    """A model that predicts each pixel from that pixel alone, so a part of an image has the same part of the map."""

    alphas_cumprod = torch.linspace(0.999, 0.1, 1000)
    image_shape = (3, 32, 24)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return torch.sin(3 * x_t) + t[:, None, None, None] / 1000


# gradients


def one_by_one(
    model: Any, images: np.ndarray, draws: list[torch.Tensor], timesteps: tuple[int, ...]
) -> Mapping[str, Any]:
    """Gradient norms from one backward pass for each image and timestep: "norms" [N, T, K], "of_mean" [N, K]."""
    names, rows = list(model.parameters()), []
    for image in to_unit_range(images):
        gradients, by_input, losses = [], [], []
        for t, noise in zip(timesteps, draws, strict=True):
            values = {n: v.detach().clone().requires_grad_() for n, v in model.parameters().items()}
            x_0 = image[None].clone().requires_grad_()
            alpha_bar = model.alphas_cumprod[t]
            x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
            loss = model.predict_with(values, x_t, torch.tensor([t]), torch.zeros(1, dtype=torch.long)) - noise
            loss = loss.square().mean()
            *of_tensors, of_input = torch.autograd.grad(loss, [*values.values(), x_0])
            gradients.append(of_tensors)
            by_input.append(float(of_input.square().sum()))
            losses.append(float(loss.detach()))
        norms = np.array([[float(g.norm()) for g in per_t] for per_t in gradients])
        of_mean = [float(sum(per_t[k] for per_t in gradients).norm()) / len(timesteps) for k in range(len(names))]
        rows.append((norms, of_mean, by_input, losses))
    return {k: np.array(v) for k, v in zip(("norms", "of_mean", "input", "loss"), zip(*rows, strict=True), strict=True)}


@pytest.mark.parametrize("fresh_noise", [False, True])
def test_gradient_features_are_those_of_one_pass_at_a_time(fresh_noise: bool, images: np.ndarray) -> None:
    model, timesteps = oracle.fitted("gaussian", oracle.digits()[200:500]), (0, 100, 700)
    queries = batch_of(images[:5], model)
    found = {k: v.numpy() for k, v in Gradients(timesteps, fresh_noise).measure(queries).items()}
    noise = [queries.noise(i if fresh_noise else 0) for i in range(3)]
    truth = one_by_one(model, images[:5], noise, timesteps)
    np.testing.assert_allclose(found["of_mean"], truth["of_mean"], rtol=1e-3)
    np.testing.assert_allclose(found["mean"], truth["norms"].mean(axis=1), rtol=1e-3)
    np.testing.assert_allclose(found["of_parameters"], (truth["norms"] ** 2).sum(axis=2), rtol=1e-3)
    np.testing.assert_allclose(found["of_input"], truth["input"], rtol=1e-3)
    np.testing.assert_allclose(found["loss"], truth["loss"], rtol=1e-4)


def test_both_forms_and_the_trajectory_share_their_gradients(images: np.ndarray) -> None:
    assert GSA(form=1).signals() == GSA(form=2).signals() == Trajectory().signals()
    queries = batch_of(images[:3], oracle.fitted("gaussian", images))
    for attack in (GSA(), GSA(form=2), Trajectory()):
        attack.signal.measure(queries)
    assert queries.calls == 3 * 10


def synthetic(arrays: Mapping[str, np.ndarray], images: np.ndarray) -> Target:
    """A target with invented gradients."""
    prefix = "Gradients(fresh_noise=True,timesteps=" + str(GSA().timesteps) + ")/"
    return replace(nothing_seen(images), signals=Signals({prefix + k: v for k, v in arrays.items()}))


@pytest.mark.parametrize(
    ("attack", "telling"),
    [
        (GSA(form=1), "of_mean"),
        (GSA(form=2), "mean"),
        (Trajectory(), "loss"),
        (Trajectory(), "of_input"),
        (Trajectory(), "of_parameters"),
    ],
)
def test_each_learns_which_of_its_features_tells(attack: Any, telling: str, images: np.ndarray) -> None:
    shapes = {"of_mean": 6, "mean": 6, "loss": 10, "of_input": 10, "of_parameters": 10}

    def model(members: np.ndarray, seed: int) -> Shadow:
        rng = np.random.default_rng(seed)
        arrays = {k: rng.lognormal(0, 1, (len(images), d)).astype(np.float32) for k, d in shapes.items()}
        arrays[telling][members, 3] *= 20  # one column only; here members are *higher*
        return with_coins(synthetic(arrays, images), members)

    shadows = [model(oracle.coins(s), s) for s in (2, 3)]
    score = attack.score(model(oracle.coins(1), 1), shadows).score
    assert auc(score, oracle.coins(1)) > 0.9


def test_timesteps_that_the_model_does_not_have_are_refused(images: np.ndarray) -> None:
    queries = batch_of(images[:2], oracle.fitted("gaussian", images))
    with pytest.raises(InputError, match="reach 1000; they must be below the model's 1000"):
        Gradients((0, 1000), True).measure(queries)


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: GSA(form=3), "attacks.gsa.form"),  # type: ignore[arg-type]
        (lambda: GSA(timesteps=()), "attacks.gsa.timesteps"),
        (lambda: Trajectory(timesteps=(-1, 3)), "attacks.trajectory.timesteps"),
        (lambda: Trajectory(timesteps=(3, 3)), "attacks.trajectory.timesteps"),
        (lambda: SecMILearned(timestep=105), "attacks.secmi_learned.timestep"),
        (lambda: SecMILearned(interval=0), "attacks.secmi_learned.interval"),
        (lambda: SecMILearned(hidden=0), "attacks.secmi_learned.hidden"),
        (lambda: Blind(neighbours=0), "attacks.blind.neighbours"),
        (lambda: DatasetInference(sizes=(1, 10)), "attacks.dataset_inference.sizes"),
    ],
)
def test_wrong_parameters_are_refused_by_name(build: Any, key: str) -> None:
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        build()


# dataset inference


def test_dataset_inference_asks_what_the_others_ask_and_nothing_twice(images: np.ndarray) -> None:
    signals = DatasetInference().signals()
    others = (Loss(), PIA(), SecMILearned(), PFAMI(fresh_noise=False))
    assert {signal for attack in others for signal in attack.signals()} <= set(signals)
    assert len(set(signals)) == len(signals) == 8
    queries = batch_of(images[:2], oracle.fitted("gaussian", images))
    for signal in signals:
        signal.measure(queries)
    assert queries.calls == 273  # as its docstring says


def test_the_map_of_secmi_is_no_feature_of_dataset_inference(images: np.ndarray) -> None:
    attack, members = DatasetInference(), oracle.coins(1)
    seen = oracle.target(attack, oracle.fitted("memorizer", images[members]), images)
    shadows = oracle.shadows_of(attack, "memorizer", images, [2, 3])
    arrays = {k: v for k, v in seen.signals._arrays.items() if not k.endswith("/map")}  # type: ignore[attr-defined]
    without = replace(seen, signals=Signals(arrays))
    np.testing.assert_array_equal(attack.score(seen, shadows).score, attack.score(without, [
        replace(s, signals=Signals({
            k: v for k, v in s.signals._arrays.items() if not k.endswith("/map")  # type: ignore[attr-defined]
        })) for s in shadows
    ]).score)  # fmt: skip


def test_sets_of_the_memorizers_members_are_detected_and_sets_of_decoys_are_not(images: np.ndarray) -> None:
    attack, members = DatasetInference(sizes=(10,)), oracle.coins(1)
    seen = oracle.target(attack, oracle.fitted("memorizer", images[members]), images)
    scores = attack.score(seen, oracle.shadows_of(attack, "memorizer", images, [2, 3])).score
    for size in attack.set_sizes():
        assert set_power(scores, members, size, seed=0).detected == 1
        assert set_power(scores, members, size, seed=0, of_decoys=True).detected < 0.2

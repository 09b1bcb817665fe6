"""Attacks on text models against their formulas, written out image by image on a tiny random model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from leakfront.attacks import Attack, Outside, PoolView, Shadow, Signals, Target
from leakfront.attacks.base_ratio import BaseRatio
from leakfront.attacks.clid import CLiD
from leakfront.attacks.contract import signal_key
from leakfront.attacks.onestep import OneStep, edges
from leakfront.attacks.prompt_alignment import PromptAlignment
from leakfront.attacks.prompt_curvature import PromptCurvature
from leakfront.attacks.prompt_magnitude import PromptMagnitude
from leakfront.attacks.queries.queries import Queries
from leakfront.models import DiffusionModel
from leakfront.models.text.model import TextToImageDiffusion
from leakfront.models.text_to_image import TextToImage
from tests.models.test_text_to_image import CAPTIONS
from tests.oracle_targets import flat

TEXTS = CAPTIONS[:5]
IMAGES = torch.rand(5, 2, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1  # 2 channels, for cosines


@cache
def built(seed: int = 3) -> TextToImageDiffusion:
    model = TextToImage(channels=(8, 8), norm_groups=4, text_width=8, text_heads=2).build((2, 8, 8), 10, seed, TEXTS)
    model.network.eval().requires_grad_(False)
    with torch.no_grad():  # fresh networks hardly heed captions
        for name, weights in model.network.named_parameters():
            if "attn2" in name or "token_embedding" in name:
                weights.mul_(6)
    return model


def queries_of(model: DiffusionModel) -> Queries:
    given = model.conditions(torch.zeros(5, dtype=torch.long), TEXTS)
    return Queries(model, IMAGES, given, seed=3, captions=TEXTS)


def measured(attack: Attack, model: DiffusionModel) -> Signals:
    with torch.no_grad():
        found = {
            f"{signal_key(s)}/{k}": v.numpy() for s in attack.signals() for k, v in s.measure(queries_of(model)).items()
        }
    return Signals(found)


def target_of(signals: Signals, count: int = 5) -> Target:
    images, zeros = np.zeros((count, 1, 1, 1), np.uint8), np.zeros(count, np.int64)
    images[:, 0, 0, 0] = np.arange(count) % 256
    fields = dict.fromkeys(PoolView.__dataclass_fields__, zeros) | {"images": images, "captions": None}
    nothing = Signals({})
    outside = Outside(images[:0], nothing)
    return Target(PoolView(**fields), images, zeros, signals, nothing, outside, seed=1, extract=flat)


def score(attack: Attack, model: DiffusionModel | None = None, shadows: Sequence[Shadow] = ()) -> np.ndarray:
    return attack.score(target_of(measured(attack, model or built())), shadows).score


def eps_of(model: DiffusionModel, caption: str) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """The noise prediction for one image [C, H, W]."""
    condition = model.conditions(torch.zeros(1, dtype=torch.long), [caption])
    return lambda x, t: model.predict_noise(x[None], torch.tensor([t]), condition)[0]


def noise(draw: int) -> torch.Tensor:
    return queries_of(built()).noise(draw)[0]


def error(model: DiffusionModel, caption: str, x_0: torch.Tensor, eps: torch.Tensor, t: int) -> float:
    ab = model.alphas_cumprod[t]
    return float(((eps_of(model, caption)(ab**0.5 * x_0 + (1 - ab) ** 0.5 * eps, t) - eps) ** 2).mean())


def parts_of(caption: str) -> list[str]:
    words = caption.split()
    n = len(words)
    return [" ".join(words[: n // 3]), " ".join(words[n // 3 : 2 * n // 3]), " ".join(words[2 * n // 3 :]), ""]


@torch.no_grad()
def differences(t: int) -> tuple[np.ndarray, np.ndarray]:
    """CLiD's D_1 … D_4 [5, 4] and errors of own captions [5], by their definition."""
    at, model = ((t - 10, noise(0)), (t, noise(1)), (t + 10, noise(2))), built()
    own = np.array([np.mean([error(model, c, x, e, s) for s, e in at]) for c, x in zip(TEXTS, IMAGES, strict=True)])
    reduced = [
        [np.mean([error(model, part, x, e, s) for s, e in at]) for part in parts_of(c)]
        for c, x in zip(TEXTS, IMAGES, strict=True)
    ]
    return np.array(reduced) - own[:, None], own


def test_clid() -> None:
    gains, own = differences(450)

    def robust(values: np.ndarray) -> np.ndarray:
        from sklearn.preprocessing import RobustScaler

        scaled: np.ndarray = RobustScaler().fit_transform(values[:, None])[:, 0]
        return scaled

    expected = 0.5 * robust(gains.mean(1)) + 0.5 * robust(-own)
    attack = CLiD(timesteps=(100, 450))
    np.testing.assert_allclose(score(attack), expected, rtol=2e-3, atol=2e-3)
    queries = queries_of(built())
    with torch.no_grad():
        attack.signal.measure(queries)
    assert queries.calls == 2 * 15


def planted_signals(rng: np.random.Generator, attack: CLiD, members: np.ndarray, by: str) -> Signals:
    """Errors of 200 pairs, where members differ by their own caption's gain at t = 100 alone, or by the error."""
    own = 1 + rng.normal(0, 0.1, (len(members), 2))
    reduced = own[..., None] + rng.normal(0.1, 0.02, (len(members), 2, 4))
    if by == "gain":
        reduced[members, 0] += 0.05
    else:
        own[members, 1] -= 1
        reduced[members, 1] -= 1
    key = signal_key(attack.signal)
    return Signals({f"{key}/own": own, f"{key}/reduced": reduced})


@pytest.mark.parametrize(("by", "chosen"), [("gain", (100, 1.0)), ("error", (450, 0.0))])
def test_clid_chooses_timestep_and_weight_on_shadow_models(by: str, chosen: tuple[int, float]) -> None:
    rng, attack = np.random.default_rng(0), CLiD(timesteps=(100, 450))
    coins = rng.random((3, 200)) < 0.5
    known = [target_of(planted_signals(rng, attack, members, by), 200) for members in coins]
    shadows = [Shadow(**vars(one), members=members) for one, members in zip(known[1:], coins[1:], strict=True)]
    found = attack.score(known[0], shadows)
    assert found.choices["timestep"] == chosen[0]
    assert abs(found.choices["weight"] - chosen[1]) <= 0.3
    assert found.score[coins[0]].mean() > found.score[~coins[0]].mean() + 1
    alone = attack.score(known[0], [])
    assert (alone.choices["timestep"], alone.choices["weight"]) == (450, 0.5)


def test_clid_by_trees_is_fitted_on_shadow_models() -> None:
    rng, attack = np.random.default_rng(0), CLiD(timesteps=(100, 450), form="trees")
    coins = rng.random((2, 200)) < 0.5
    known = [target_of(planted_signals(rng, attack, members, "gain"), 200) for members in coins]
    assert (attack.shadows_needed(), attack.shadow_use, CLiD().shadow_use) == (1, "fit", "choices")
    found = attack.score(known[0], [Shadow(**vars(known[1]), members=coins[1])]).score
    assert found[coins[0]].mean() > found[~coins[0]].mean() + 2
    assert "left out" in attack.note(0)
    assert "left out" not in CLiD().note(0)


@torch.no_grad()
def test_base_ratio() -> None:
    model, base, ab = built(), built(4), built().alphas_cumprod
    expected = []
    for caption, x_0 in zip(TEXTS, IMAGES, strict=True):
        pairs = [(t, noise(draw)) for t in (100, 300) for draw in range(2)]
        expected.append(np.mean([error(base, caption, x_0, e, t) - error(model, caption, x_0, e, t) for t, e in pairs]))
    model.base = base
    try:
        np.testing.assert_allclose(score(BaseRatio(timesteps=(100, 300), draws=2)), expected, rtol=1e-3, atol=1e-5)
    finally:
        model.base = None
    assert len(ab) == 1000


@torch.no_grad()
@pytest.mark.parametrize("form", ["all", "first"])
def test_prompt_magnitude(form: str) -> None:
    model, ab = built(), built().alphas_cumprod
    expected = []
    for caption in TEXTS:
        own, empty = eps_of(model, caption), eps_of(model, "")
        norms = []
        for draw in range(2):
            x = noise(draw)
            for t in (750, 500, 250, 0) if form == "all" else (750,):
                c, u = own(x, t), empty(x, t)
                norms.append(float((c - u).norm()))
                e = u + 7.5 * (c - u)
                x_0 = ((x - (1 - ab[t]).sqrt() * e) / ab[t].sqrt()).clamp(-1, 1)
                x = ab[max(t - 250, 0)].sqrt() * x_0 + (1 - ab[max(t - 250, 0)]).sqrt() * e
        expected.append(np.mean(norms))
    attack = PromptMagnitude(form=form, steps=4, draws=2)
    np.testing.assert_allclose(score(attack), expected, rtol=1e-3)
    assert max(expected) > 1.05 * min(expected)


def test_prompt_curvature() -> None:
    """The derivatives by a finite difference, in float64."""
    model, ab = copy.deepcopy(built()), built().alphas_cumprod[980].double()
    model.network.double()
    expected = []
    with torch.no_grad():
        for caption in TEXTS:
            own, empty, x = eps_of(model, caption), eps_of(model, ""), noise(0).double()
            s = [lambda x, f=f: -f(x, 980) / (1 - ab) ** 0.5 for f in (own, empty)]
            along = s[0](x) - s[1](x)
            step = 1e-5 / along.norm()
            ends = [s[0](x + sign * step * along) - s[1](x + sign * step * along) for sign in (1, -1)]
            expected.append(float(((ends[0] - ends[1]) / (2 * step)).norm()))
    attack = PromptCurvature(timesteps=(500, 980), draws=1)
    np.testing.assert_allclose(score(attack), expected, rtol=1e-3)
    assert max(expected) > 1.05 * min(expected)


@torch.no_grad()
def test_prompt_alignment() -> None:
    model = built()
    expected = []
    for caption in TEXTS:
        own, empty, x = eps_of(model, caption), eps_of(model, ""), noise(0)
        d, u = own(x, 40) - empty(x, 40), empty(x, 40)
        cosine = (d * u).sum(0) / (d.norm(dim=0) * u.norm(dim=0))
        expected.append(float((own(x, 980) - empty(x, 980)).norm() + 2 * cosine.mean()))
    np.testing.assert_allclose(score(PromptAlignment()), expected, rtol=1e-3)


@torch.no_grad()
def test_onestep() -> None:
    """One step of the solver, from sigma = sqrt((1 - ab) / ab) to 0, moves by sigma times the predicted noise."""
    model, ab, expected = built(), built().alphas_cumprod[700], []
    for caption in TEXTS:
        own, empty, z = eps_of(model, caption), eps_of(model, ""), noise(0) / ab.sqrt()
        u = empty(noise(0), 700)
        sigma = ((1 - ab) / ab).sqrt()
        denoised = z - sigma * (u + 7.5 * (own(noise(0), 700) - u))
        expected.append(float(((z - denoised) ** 2).mean() / sigma**2))
    found = score(OneStep(timesteps=(500, 700), default_timestep=700))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert max(expected) > 1.02 * min(expected)


def test_edges_of_one_step_are_those_that_most_images_share() -> None:
    from scipy.ndimage import sobel

    model, ab = built(), built().alphas_cumprod[700]
    attack = OneStep(form="edges", timesteps=(500, 700), default_timestep=700, draws=3)
    expected = []
    for caption in TEXTS:
        own, empty, found = eps_of(model, caption), eps_of(model, ""), []
        for draw in range(3):
            x, u = noise(draw), empty(noise(draw), 700)
            image = ((x - (1 - ab).sqrt() * (u + 7.5 * (own(x, 700) - u))) / ab.sqrt()).clamp(-1, 1)
            pixels = ((image[:1].numpy() + 1) * 127.5).round()[0] / 255  # 3 equal colours weigh 4 times in the filter
            found.append(3 * 4 * np.hypot(sobel(pixels, axis=0), sobel(pixels, axis=1)) > 1.5)
        expected.append((np.sum(found, axis=0) >= 2).mean())
    with torch.no_grad():
        grey = Queries(GreyModel(model), IMAGES[:, :1], queries_of(model).condition, seed=3, captions=TEXTS)
        values = attack.signal.measure(grey)["values"][:, 1]
    np.testing.assert_allclose(values.numpy(), expected, atol=0.02)
    assert 0 < min(expected) < max(expected) < 1


class GreyModel:
    """A model of two channels whose images are its first."""

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def decode(self, x_0: torch.Tensor) -> torch.Tensor:
        return x_0[:, :1]


def test_larger_images_are_made_smaller_for_edges() -> None:
    board = np.kron(np.indices((4, 4)).sum(0) % 2 * 255, np.ones((160, 128), int)).astype(np.uint8)
    found = edges(board[None])
    assert found.shape == (256, 256)
    assert 0.02 < found.mean() < 0.1  # 3 borders of some 2 pixels each way
    assert edges(np.zeros((3, 20, 30), np.uint8)).shape == (20, 30)


@pytest.mark.parametrize(
    ("attack", "calls"),
    [
        (PromptMagnitude(), 400), (PromptMagnitude(form="first"), 8), (PromptCurvature(), 72), (PromptAlignment(), 4),
        (OneStep(), 8), (OneStep(form="edges"), 8), (CLiD(), 60), (BaseRatio(), 40),
    ],
)  # fmt: skip
def test_calls_are_those_of_the_docstring(attack: Attack, calls: int) -> None:
    from leakfront.harness.plan.query_cost import model_calls

    assert model_calls(attack.signals(), (1, 8, 8), 1000) == calls
    assert f"({calls})" in str(type(attack).__doc__) or f"per image: {calls}." in str(type(attack).__doc__)

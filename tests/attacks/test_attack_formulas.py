"""Each attack's score equals a line-by-line transcription of its formula in float64, one image at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from leakfront.attacks.extraction import Extraction
from leakfront.attacks.loss import Loss
from leakfront.attacks.nearest import flatten_unit, nearest_neighbours
from leakfront.attacks.pia import PIA
from leakfront.attacks.queries.queries import Queries
from leakfront.attacks.secmi import SecMI
from leakfront.errors import InputError
from leakfront.harness.training.loop import to_unit_range
from tests import oracle_targets as oracle


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return oracle.digits()[:60]


@pytest.fixture(scope="module")
def model(images: np.ndarray):
    return oracle.fitted("gaussian", oracle.digits()[200:500])


def noise_of(model, x: np.ndarray, t: int) -> np.ndarray:
    """eps_theta(x, t) of one image [C, H, W], in float64."""
    predicted = model.predict_noise(torch.as_tensor(x)[None].double(), torch.tensor([t]))
    return predicted[0].double().numpy()


def test_pia(model, images: np.ndarray) -> None:
    attack = PIA(timesteps=(10, 200, 300), default_timestep=200)
    scores = attack.score(oracle.target(attack, model, images), []).score
    alpha_bar = model.alphas_cumprod.double().numpy()[200]
    for image, score in zip(images, scores, strict=True):
        x_0 = image.astype(np.float64) / 127.5 - 1
        e_0 = noise_of(model, x_0, 0)
        x_t = np.sqrt(alpha_bar) * x_0 + np.sqrt(1 - alpha_bar) * e_0
        assert score == pytest.approx(-(np.abs(e_0 - noise_of(model, x_t, 200)) ** 4).sum(), rel=1e-3)


def test_secmi(model, images: np.ndarray) -> None:
    attack = SecMI(timesteps=(30,), interval=10)
    scores = attack.score(oracle.target(attack, model, images), []).score
    ab = model.alphas_cumprod.double().numpy()

    def f(x: np.ndarray, t: int) -> np.ndarray:  # the predicted x_0
        return (x - np.sqrt(1 - ab[t]) * noise_of(model, x, t)) / np.sqrt(ab[t])

    for image, score in zip(images, scores, strict=True):
        x = image.astype(np.float64) / 127.5 - 1
        for t in (0, 10, 20):
            x = np.sqrt(ab[t + 10]) * f(x, t) + np.sqrt(1 - ab[t + 10]) * noise_of(model, x, t)
        up = np.sqrt(ab[40]) * f(x, 30) + np.sqrt(1 - ab[40]) * noise_of(model, x, 30)
        back = np.sqrt(ab[30]) * f(up, 40) + np.sqrt(1 - ab[30]) * noise_of(model, up, 40)
        assert score == pytest.approx(-((back - x) ** 2).sum(), rel=2e-2, abs=1e-9)


def test_loss(model, images: np.ndarray) -> None:
    attack = Loss(timesteps=(100,), draws=3)
    scores = attack.score(oracle.target(attack, model, images), []).score
    queries = Queries(model, to_unit_range(images[:1]), torch.zeros(1, dtype=torch.long), seed=3)
    noises = [queries.noise(draw)[0].double().numpy() for draw in range(3)]
    ab = model.alphas_cumprod.double().numpy()[100]
    for image, score in zip(images, scores, strict=True):
        x_0 = image.astype(np.float64) / 127.5 - 1
        errors = [
            ((noise_of(model, np.sqrt(ab) * x_0 + np.sqrt(1 - ab) * eps, 100) - eps) ** 2).mean() for eps in noises
        ]
        assert score == pytest.approx(-np.mean(errors), rel=1e-4)


def test_equal_queries_are_made_once(model, images: np.ndarray) -> None:
    batch = to_unit_range(images)
    queries = Queries(model, batch, torch.zeros(len(batch), dtype=torch.long), seed=0)
    for signal in (*PIA(timesteps=(100,)).signals(), *SecMI().signals(), *Loss(timesteps=(100,)).signals()):
        signal.measure(queries)
    assert queries.calls == 2 + 32 - 1 + 4  # PIA and SecMI share the clean prediction at t = 0


def brute_force_extraction(attack: Extraction, samples: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
    def l2(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt((((a.astype(float) - b.astype(float)) / 255) ** 2).mean()))

    table = np.array([[l2(g, x) for x in images] for g in samples])
    real = np.array([[l2(a, b) for b in images] for a in images])
    best = np.full(len(images), np.inf)
    distance, ratio = np.zeros(len(images), bool), np.zeros(len(images), bool)
    for g in range(len(samples)):
        near = np.sort(table[g])[: attack.neighbours]
        for x in np.argsort(table[g], kind="stable")[: attack.neighbours]:
            spread = near.mean() if attack.center == "generated" else np.sort(real[x])[1 : attack.neighbours + 1].mean()
            best[x] = min(best[x], table[g, x] / (attack.alpha * spread))
        nearest = int(table[g].argmin())
        distance[nearest] |= near[0] < attack.distance
        ratio[nearest] |= near[0] < attack.ratio * near[1]
    return {"score": -best, "adaptive": best < 1, "distance": distance, "ratio": ratio}


@pytest.mark.parametrize("center", ["generated", "real"])
def test_extraction(center, images: np.ndarray) -> None:
    attack = Extraction(neighbours=10, center=center, distance=0.1)
    rng = np.random.default_rng(0)
    seen = oracle.target(attack, oracle.fitted("memorizer", images[:30]), images)
    noisy = np.clip(seen.samples[:80] + rng.integers(-40, 41, seen.samples[:80].shape), 0, 255).astype(np.uint8)
    samples = np.concatenate([noisy, oracle.digits()[300:340]])
    target = oracle.only_samples(seen.pool, samples)
    scores, truth = attack.score(target, []), brute_force_extraction(attack, samples, images)
    known = np.isfinite(truth["score"])
    np.testing.assert_allclose(scores.score[known], truth["score"][known], rtol=1e-5)
    assert (scores.score[~known] < scores.score[known].min()).all()
    for rule in ("adaptive", "distance", "ratio"):
        np.testing.assert_array_equal(scores.matched[rule], truth[rule])
        assert truth[rule].any()
        assert not truth[rule].all()


def test_extraction_counts_a_copy_that_differs_as_its_image(images: np.ndarray) -> None:
    shifted = np.roll(images[:5], 1, axis=3)
    variants = np.concatenate([images, shifted])
    variant_of = np.concatenate([np.arange(len(images)), np.arange(5)])
    view = replace(oracle.pool_view(images), variants=variants, variant_of=variant_of)
    scores = Extraction(neighbours=10).score(oracle.only_samples(view, shifted), [])
    for rule in ("adaptive", "distance", "ratio"):
        assert scores.matched[rule][:5].all()
    assert (scores.evidence["neighbours"][:, 0] == np.arange(5)).all()
    assert all(len(set(row)) == len(row) for row in scores.evidence["neighbours"].tolist())


def test_tiled_distance_is_the_worst_tile(images: np.ndarray) -> None:
    sample = images[:1].copy()
    sample[0, 0, :4, :4] ^= 255  # one of four tiles is wrong
    for tiles, matched in ((1, True), (2, False)):
        attack = Extraction(neighbours=5, distance=0.6, tiles=tiles)
        scores = attack.score(oracle.only_samples(oracle.pool_view(images), sample), [])
        assert scores.matched["distance"].any() == matched
    with pytest.raises(InputError, match="tiles"):
        Extraction(neighbours=5, tiles=3).score(oracle.only_samples(oracle.pool_view(images), sample), [])


def test_neighbours_are_exact_even_when_nearly_equal() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((200, 300), dtype=np.float32)
    near = base[:20] + np.float32(1e-4) * rng.standard_normal((20, 300)).astype(np.float32)
    distances, found = nearest_neighbours(near, base, 5)
    truth = np.sqrt(((near[:, None].astype(float) - base[None]) ** 2).mean(2))
    np.testing.assert_array_equal(found, np.argsort(truth, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :5], rtol=1e-5)


def test_the_engine_for_gpus_finds_what_faiss_finds() -> None:
    from leakfront.attacks.nearest import _search_faiss, _search_torch

    flat = flatten_unit(oracle.digits()[:300])
    faiss, torch_ = _search_faiss(flat[:50], flat, 6, "cpu"), _search_torch(flat[:50], flat, 6, "cpu")
    np.testing.assert_allclose(np.sort(faiss[0], 1), np.sort(torch_[0], 1), rtol=1e-5, atol=1e-6)
    assert (np.sort(faiss[1], 1) == np.sort(torch_[1], 1)).mean() > 0.99


def test_neighbours_do_not_depend_on_the_memory_bound() -> None:
    flat = flatten_unit(oracle.digits()[:300])
    whole, pieces = nearest_neighbours(flat, flat, 4), nearest_neighbours(flat, flat, 4, memory_mib=0)
    np.testing.assert_array_equal(whole[1], pieces[1])
    np.testing.assert_allclose(whole[0], pieces[0], atol=1e-7)

"""A model with a known leak: the attacks find the planted images, and as many of them as the closed form predicts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from leakfront.attacks import Attack
from leakfront.attacks.extraction import Extraction
from leakfront.attacks.gsa import GSA
from leakfront.attacks.lira import LiRA
from leakfront.harness.training.loop import to_unit_range
from leakfront.models.planted_leak import PlantedLeak, PlantedLeakDiffusion
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.results.statistics.counts import extracted_at_fdr
from tests import oracle_targets as oracle

PLANTED, TIMES, PROBABILITY = 30, 3, 0.3


def training_set(members: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """The members, uint8 images, with several copies of those that are planted."""
    return np.concatenate([members, np.repeat(members[planted], TIMES - 1, axis=0)])


def leaky(members: np.ndarray, planted: np.ndarray, probability: float = PROBABILITY) -> PlantedLeakDiffusion:
    model = PlantedLeak(probability).build((1, 8, 8), 0, 0)
    model.fit(to_unit_range(training_set(members, planted)))
    return model


def exact_samples(members: np.ndarray, planted: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws from the mixture itself, without the discretization of a sampler."""
    rng = np.random.default_rng(seed)
    flat = members.reshape(len(members), -1).astype(float)
    rest = rng.multivariate_normal(flat.mean(0), np.cov(flat.T), count)
    images = np.clip(rest.round(), 0, 255).astype(np.uint8).reshape(count, 1, 8, 8)
    copied = rng.random(count) < PROBABILITY
    images[copied] = members[rng.choice(np.flatnonzero(planted), copied.sum())]
    return images


def test_it_is_the_posterior_mean_of_the_mixture() -> None:
    """Compared with SciPy's densities and the block formula of the Gaussian, at points of every kind."""
    members = oracle.digits()[:200]
    planted = np.arange(200) < 4
    model = leaky(members, planted)
    flat = to_unit_range(members).double().numpy().reshape(200, -1)
    once, points = flat[~planted], flat[planted]
    mean, covariance = once.mean(0), np.cov(once.T)
    rng = np.random.default_rng(0)
    for t in (50, 300, 700, 990):
        ab = float(model.alphas_cumprod[t].double())
        for x_0 in (points[1], once[5], 0.5 * (points[0] + points[2])):
            x = np.sqrt(ab) * x_0 + np.sqrt(1 - ab) * rng.standard_normal(64)
            spread = ab * covariance + (1 - ab) * np.eye(64)
            logs = [multivariate_normal(np.sqrt(ab) * mean, spread).logpdf(x) + np.log(1 - PROBABILITY)]
            logs += [
                multivariate_normal(np.sqrt(ab) * point, (1 - ab) * np.eye(64)).logpdf(x) + np.log(PROBABILITY / 4)
                for point in points
            ]
            weights = np.exp(logs - logsumexp(logs))
            of_gaussian = mean + np.sqrt(ab) * covariance @ np.linalg.solve(spread, x - np.sqrt(ab) * mean)
            expected = weights[0] * of_gaussian + sum(w * p for w, p in zip(weights[1:], points, strict=False))
            # the model may store the planted images in another order, which does not change the sum
            found = model.predict_noise(torch.as_tensor(x).reshape(1, 1, 8, 8), torch.tensor([t])).numpy().ravel()
            np.testing.assert_allclose((x - np.sqrt(1 - ab) * found) / np.sqrt(ab), expected, rtol=1e-3, atol=2e-3)


def test_its_samples_are_planted_images_as_often_as_it_says() -> None:
    members = oracle.digits()[:300] // 4 + 96  # a narrow range, so that nothing is clipped
    planted = np.arange(300) < 5
    samples = make_sampler(leaky(members, planted), SamplerSettings(steps=200), seed=1)(range(600))
    points = to_unit_range(members[planted]).flatten(1)
    nearest = torch.cdist(samples.flatten(1), points).min(1).values
    share = float((nearest < 0.05).float().mean())
    assert share == pytest.approx(PROBABILITY, abs=4 * np.sqrt(PROBABILITY * (1 - PROBABILITY) / 600))


def test_without_duplicates_or_probability_it_is_the_gaussian() -> None:
    members = oracle.digits()[:100]
    x, t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([10, 400, 900])
    expected = oracle.fitted("gaussian", members).predict_noise(x, t)
    torch.testing.assert_close(leaky(members, np.zeros(100, bool)).predict_noise(x, t), expected, rtol=1e-3, atol=1e-4)


def test_extraction_finds_as_many_planted_images_as_are_expected() -> None:
    """E[unique] = m (1 - (1 - p/m)^G), with no more false matches than the false-discovery rate allows."""
    pool = oracle.digits()[:400]
    coins = oracle.coins(3, len(pool))
    planted = np.zeros(len(pool), bool)
    planted[np.flatnonzero(coins)[:PLANTED]] = True
    members = pool[coins]
    found, false_share, draws, rate = [], [], 100, 0.1
    for seed in range(40):
        samples = exact_samples(members, planted[coins], draws, seed)
        scores = Extraction(neighbours=20).score(oracle.only_samples(oracle.pool_view(pool), samples), [])
        assert not (scores.matched["ratio"] & ~planted).any()
        found.append(int(scores.matched["ratio"].sum()))
        extracted = extracted_at_fdr(scores.score, coins, rate)
        if extracted.count:
            assert extracted.mask[scores.matched["ratio"]].all()
        false_share.append((extracted.mask & ~planted).sum() / max(extracted.count, 1))
    expected = PLANTED * (1 - (1 - PROBABILITY / PLANTED) ** draws)
    assert 10 < expected < PLANTED - 5  # neither none nor all, so that the count is informative
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(len(found)))
    assert np.mean(false_share) <= rate + 4 * np.std(false_share) / np.sqrt(len(false_share))


class PlantedSplit(NamedTuple):
    """A model that leaks its planted members and saw no other pool image."""

    members: np.ndarray
    model: PlantedLeakDiffusion


def split_of(pool: np.ndarray, planted: np.ndarray, seed: int) -> PlantedSplit:
    members = oracle.coins(seed, len(pool))
    elsewhere = to_unit_range(oracle.digits()[500:1100]).double().flatten(1)
    model = PlantedLeak(PROBABILITY).build((1, 8, 8), 0, 0)
    points = to_unit_range(pool[members & planted]).double().flatten(1)
    model.set_parts(points, elsewhere.mean(0), torch.cov(elsewhere.T))
    return PlantedSplit(members, model)


@pytest.mark.parametrize(
    "attack", [LiRA(timesteps=(100,)), LiRA(form="offline", timesteps=(100,)), GSA(form=1), GSA(form=2)], ids=str
)
def test_planted_members_come_first(attack: Attack) -> None:
    """They rank before all decoys (also planted ones) and before all members that did not leak."""
    pool = oracle.digits()[: oracle.POOL]
    planted = np.arange(len(pool)) % 4 == 0
    seen, *others = (split_of(pool, planted, seed) for seed in range(1, 11))
    shadows = [oracle.shadow(attack, other.model, pool, other.members) for other in others]
    score = attack.score(oracle.target(attack, seen.model, pool), shadows).score
    leaked = seen.members & planted
    assert 10 < leaked.sum() < 20
    assert score[leaked].min() > score[~leaked].max()

"""The search is Adam on the pair's own loss, blind to coins; what it brings out is compared with the pair's image."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from leakfront.attacks.retained import LOWEST, FoundEmbeddings, Retained
from leakfront.errors import InputError
from leakfront.models.text_to_image import TextToImage
from leakfront.seeds import derive_seed
from tests import oracle_targets as oracle

TEXTS = oracle.captions()[:3]


@pytest.fixture(scope="module")
def model():
    family = TextToImage(channels=(8, 8), norm_groups=4, text_width=8, text_heads=2)
    built = family.build((1, 8, 8), 0, 3, TEXTS)
    built.network.eval().requires_grad_(False)
    return built


def by_hand(model, image: np.ndarray, condition: torch.Tensor, search: FoundEmbeddings, seed: int) -> torch.Tensor:
    """Adam (Kingma and Ba 2015, Alg. 1) on one pair."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "search"))
    found = model.embed(condition[None])
    first, second = torch.zeros_like(found), torch.zeros_like(found)
    x_0 = torch.as_tensor(image).float() / 127.5 - 1
    for step in range(1, search.steps + 1):
        t = torch.randint(1000, (search.batch_size,), generator=generator)
        noise = torch.randn(search.batch_size, *image.shape, generator=generator)
        with torch.enable_grad():
            y, loss = found.clone().requires_grad_(), torch.zeros(())
            for level, eps in zip(t, noise, strict=True):
                alpha_bar = model.alphas_cumprod[level]
                x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
                predicted = model.predict_noise(x_t[None], level[None], y)
                loss = loss + (predicted[0] - eps).square().mean() / search.batch_size
            (gradient,) = torch.autograd.grad(loss, y)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = search.learning_rate / (1 - 0.9**step)
        found = found - rate * first / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    return found[0]


def test_each_pair_is_searched_by_adam_on_its_own(model) -> None:
    search = FoundEmbeddings(pairs=3, steps=4, batch_size=2, learning_rate=0.1, samples=1)
    images = oracle.digits()[:3]
    conditions = model.conditions(torch.zeros(3, dtype=torch.long), TEXTS)
    found = search.search(model, images, conditions.numpy(), [5, 6, 7])
    assert (found - model.embed(conditions)).abs().amax((1, 2)).min() > 0.1
    for row, seed in enumerate([5, 6, 7]):
        expected = by_hand(model, images[row], conditions[row], search, seed)
        torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-3)


def test_planted_pairs_are_tried_first_whatever_their_order() -> None:
    images, texts = oracle.digits()[:20], oracle.captions()[:20]
    model = oracle.fitted("memorizer", images[:10], texts[:10])
    search = FoundEmbeddings(pairs=6, steps=1, batch_size=1, learning_rate=0.1, samples=2)
    copies = np.where(np.isin(np.arange(20), [3, 4, 15, 16]), 24, 1)

    def tried(order: np.ndarray) -> np.ndarray:
        view = replace(oracle.view_of(model, images[order], [texts[i] for i in order]), copies=copies[order])
        return order[search.generate(oracle.context(model, view, images)).prompt[::2]]

    here = tried(np.arange(20))
    assert set(here) > {3, 4, 15, 16}
    np.testing.assert_array_equal(here, tried(np.random.default_rng(0).permutation(20)))


def test_the_score_is_the_distance_within_which_enough_generations_lie() -> None:
    images = oracle.digits()[:3]
    attack = Retained(samples=3, matches=2, tiles=2)
    off = [images[1].astype(int), np.clip(images[1].astype(int) + 10, 0, 255), 255 - images[1].astype(int)]
    generated = {"images": np.stack(off).astype(np.uint8), "prompt": np.array([1, 1, 1])}
    seen = SimpleNamespace(pool=oracle.pool_view(images), generated={attack.generations()[0]: generated})
    score = attack.score(seen, []).score
    apart = np.square((off[1] - off[0]) / 255).reshape(2, 4, 2, 4).mean((1, 3)).max()
    np.testing.assert_allclose(score, [LOWEST, -np.sqrt(apart), LOWEST])


def test_more_matches_than_samples_are_refused() -> None:
    with pytest.raises(InputError, match=r"attacks\.retained\.matches is 4; it must be at most samples, 3"):
        Retained(samples=3, matches=4)

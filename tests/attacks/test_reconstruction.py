"""The score is the mean cosine of the features of a pair's image and of what its caption brings out."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leakfront.attacks import Shadow
from leakfront.attacks.reconstruction import LOWEST, Reconstruction, best_threshold, log_ratio
from leakfront.errors import InputError
from tests import oracle_targets as oracle


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    x, y = a.astype(float).ravel() / 255, b.astype(float).ravel() / 255
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def test_the_first_images_of_each_caption_are_compared_with_the_pairs_own() -> None:
    images, others = oracle.digits()[:4], oracle.digits()[50:56]
    # pairs 1 and 3 have one caption; pair 0 is not asked for
    view = replace(oracle.pool_view(images), conditions=np.array([[5, 1], [5, 2], [5, 0], [5, 2]]))
    attack = Reconstruction(samples_per_prompt=3, compared=2, once=2)
    generated = {attack.generations()[0]: {"images": others, "prompt": np.repeat([1, 2], 3)}}
    seen = SimpleNamespace(pool=view, generated=generated, extract=oracle.flat)
    expected = [
        LOWEST,
        (cosine(images[1], others[0]) + cosine(images[1], others[1])) / 2,
        (cosine(images[2], others[3]) + cosine(images[2], others[4])) / 2,
        (cosine(images[3], others[0]) + cosine(images[3], others[1])) / 2,
    ]
    np.testing.assert_allclose(attack.score(seen, []).score, expected, rtol=1e-12)


def test_a_memorizer_returns_each_member_to_its_caption() -> None:
    images, texts, members = oracle.digits()[:20], oracle.captions()[:20], np.arange(20) % 2 == 0
    model = oracle.fitted("memorizer", *oracle.chosen(images, texts, members))
    score = Reconstruction().score(oracle.target(Reconstruction(), model, images, texts=texts), []).score
    np.testing.assert_allclose(score[members], 1, atol=1e-4)
    assert score[~members].max() < 0.99


@pytest.mark.parametrize("form", ["threshold", "gaussians", "network"])
def test_what_is_fitted_on_shadow_models_finds_members(form: Any) -> None:
    attack, images, texts = Reconstruction(form=form), oracle.digits()[:40], oracle.captions()[:40]
    assert attack.shadows_needed() == 1
    assert attack.shadow_use == "fit"

    def seen(seed: int) -> Shadow:
        members = oracle.coins(seed, 40)
        return oracle.shadow(attack, oracle.fitted("memorizer", *oracle.chosen(images, texts, members)), images,
                             members, texts)  # fmt: skip

    target, shadows = seen(1), [seen(2), seen(3)]
    score = attack.score(target, shadows).score
    assert score[target.members].min() > score[~target.members].max()
    np.testing.assert_allclose(attack.score(target, shadows[::-1]).score, score)
    if form == "threshold":
        assert score[target.members].min() >= 0 > score[~target.members].max()


def test_the_threshold_is_the_best_on_known_members_and_decoys() -> None:
    values, members = np.array([0.1, 0.4, 0.6, 0.9, 0.5, 0.2]), np.array([False, False, True, True, True, False])
    assert best_threshold(values, members) == 0.5
    assert best_threshold(1 - values, ~members) == 0.6


def test_gaussians_give_the_ratio_of_their_densities() -> None:
    inside, outside, values = np.array([0.8, 0.9, 1.0]), np.array([0.1, 0.5]), np.array([0.3, 0.85])

    def density(x: float, known: np.ndarray) -> float:
        variance = ((known - known.mean()) ** 2).mean()
        return float(np.exp(-((x - known.mean()) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance))

    expected = [np.log(density(x, inside) / density(x, outside)) for x in values]
    np.testing.assert_allclose(log_ratio(values, inside, outside), expected)


def test_more_images_cannot_be_compared_than_are_generated() -> None:
    with pytest.raises(InputError, match=r"attacks\.reconstruction\.compared is 4; it must be at most"):
        Reconstruction(samples_per_prompt=3, compared=4)

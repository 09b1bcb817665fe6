"""The score is the mean cosine of the features of a pair's image and of what its caption brings out."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from leakfront.attacks.reconstruction import LOWEST, Reconstruction
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


def test_more_images_cannot_be_compared_than_are_generated() -> None:
    with pytest.raises(InputError, match=r"attacks\.reconstruction\.compared is 4; it must be at most"):
        Reconstruction(samples_per_prompt=3, compared=4)

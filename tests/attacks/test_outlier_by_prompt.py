"""The captions of the images that are farthest from all others are asked for, and no others."""

import numpy as np
from scipy.spatial.distance import cdist

from leakfront.attacks.generate_by_prompt import GenerateByPrompt
from leakfront.attacks.outlier_by_prompt import OutlierByPrompt
from leakfront.attacks.prompts.judging import LOWEST
from tests import oracle_targets as oracle

IMAGES, TEXTS = oracle.digits()[:40], oracle.captions()[:40]
ATTACK = OutlierByPrompt(neighbours=3, fraction=0.25, samples_per_prompt=6, clique=5)


def test_the_farthest_images_are_judged_as_all_are_by_generate_by_prompt() -> None:
    members = np.arange(40) % 2 == 0
    seen = oracle.target(
        ATTACK, oracle.fitted("memorizer", *oracle.chosen(IMAGES, TEXTS, members)), IMAGES, texts=TEXTS
    )
    pixels = oracle.flat(IMAGES)
    apart = np.sort(cdist(pixels, pixels), axis=1)[:, 1:4].mean(1)
    chosen = np.argsort(apart)[-10:]
    np.testing.assert_array_equal(np.unique(seen.generated[ATTACK.generations()[0]]["prompt"]), np.sort(chosen))
    found = ATTACK.score(seen, [])
    score, asked = found.score, np.isin(np.arange(40), chosen)
    assert set(score[~asked]) == {LOWEST}
    assert score[asked & members].min() > score[asked & ~members].max() > LOWEST
    np.testing.assert_array_equal(found.matched["extracted"], asked & members)

    whole = GenerateByPrompt(samples_per_prompt=6, clique=5)
    model = oracle.fitted("memorizer", *oracle.chosen(IMAGES, TEXTS, members))
    every = whole.score(oracle.target(whole, model, IMAGES, texts=TEXTS), []).score
    np.testing.assert_allclose(score[asked], every[asked])

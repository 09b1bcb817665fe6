"""The other extraction attacks: each formula against a plain loop, and the known outcome on known models."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from leakfront.attacks import Shadow, Target
from leakfront.attacks.extraction import DECODED, Extraction
from leakfront.attacks.generate_and_filter import LOWEST, GenerateAndFilter, tiled_distances
from leakfront.attacks.inpainting import FIRST_DRAW, Inpainting
from leakfront.attacks.outlier import Outlier
from leakfront.attacks.queries.queries import Queries
from leakfront.attacks.side import SIDE, GuidedModel, GuidedSamples
from leakfront.attacks.suites import V1
from leakfront.errors import InputError
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel
from tests import oracle_targets as oracle

POOL = 60


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return oracle.digits()[:POOL]


@pytest.mark.parametrize("attack", [GenerateAndFilter, Outlier, SIDE, Inpainting])
def test_suite_v1_accepts_it(attack: Any) -> None:
    assert attack(**V1[attack.name]).name == attack.name


@pytest.mark.parametrize(
    ("attack", "parameters"),
    [
        (GenerateAndFilter, {"clique": 1}),
        (GenerateAndFilter, {"samples_per_prompt": 9}),
        (GenerateAndFilter, {"quantiles": ()}),
        (GenerateAndFilter, {"default_quantile": 1.5}),
        (Outlier, {"fraction": 0.0}),
        (Outlier, {"extraction_neighbours": 1}),
        (SIDE, {"drop": 1.0}),
        (SIDE, {"scale": -1.0}),
        (Inpainting, {"keep": 17}),
        (Inpainting, {"steps": 0}),
    ],
)
def test_an_impossible_parameter_is_named(attack: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"attacks.{attack.name}.{next(iter(parameters))} is"):
        attack(**parameters)


# generate and filter


def tiled(a: np.ndarray, b: np.ndarray, tiles: int) -> float:
    """The tiled distance of two images [C, H, W], tile by tile."""
    side = a.shape[1] // tiles
    worst = 0.0
    for i in range(tiles):
        for j in range(tiles):
            tile = np.s_[:, i * side : (i + 1) * side, j * side : (j + 1) * side]
            worst = max(worst, float(np.sqrt((((a[tile].astype(float) - b[tile]) / 255) ** 2).mean())))
    return worst


def copies(image: np.ndarray, count: int, noise: int, seed: int) -> np.ndarray:
    """Noisy copies of an image [C, H, W], uint8 [count, C, H, W]."""
    added = np.random.default_rng(seed).integers(-noise, noise + 1, (count, *image.shape))
    return np.clip(image.astype(int) + added, 0, 255).astype(np.uint8)


def random_images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_tiled_distances(tiles: int) -> None:
    a, b = random_images(7, 0).repeat(3, axis=1), random_images(5, 1).repeat(3, axis=1)
    truth = [[tiled(x, y, tiles) for y in b] for x in a]
    np.testing.assert_allclose(tiled_distances(a, b, tiles), truth, rtol=1e-12)
    assert (np.diag(tiled_distances(a, a, tiles)) == 0).all()


def test_generate_and_filter(images: np.ndarray) -> None:
    tight, loose = copies(images[3], 12, 10, 0), copies(images[8], 10, 30, 1)
    samples = np.concatenate([random_images(25, 2), loose, copies(images[5], 9, 10, 3), tight, random_images(25, 4)])
    scores = GenerateAndFilter().score(oracle.only_samples(oracle.pool_view(images), samples), [])
    nearest_other = [min(tiled(images[i], images[j], 4) for j in range(POOL) if j != i) for i in range(POOL)]
    distance = scores.choices["distance"]
    assert distance == pytest.approx(np.quantile(nearest_other, 0.05))
    assert scores.choices["cliques flagged"] == 2
    np.testing.assert_array_equal(np.flatnonzero(scores.matched["flagged"]), [3, 8])
    for image, clique, first in ((3, tight, 44), (8, loose, 25)):
        pairs = [tiled(a, b, 4) for a, b in combinations(clique, 2)]
        assert max(pairs) <= distance
        assert scores.score[image] == pytest.approx(-np.mean(pairs))
        medoid = np.argmin([sum(tiled(a, b, 4) for b in clique) for a in clique])
        assert scores.evidence["nearest_sample"][image] == first + medoid
    assert scores.score[3] > scores.score[8]
    others = np.delete(np.arange(POOL), [3, 8])  # image 5 among them: it was generated one time too few
    assert (scores.score[others] == LOWEST).all()
    assert (scores.evidence["nearest_sample"][others] == -1).all()


def test_flagged_needs_the_medoid_near_the_image(images: np.ndarray) -> None:
    elsewhere = copies(random_images(1, 5)[0], 10, 5, 6)
    scores = GenerateAndFilter().score(oracle.only_samples(oracle.pool_view(images), elsewhere), [])
    assert (scores.score > LOWEST).sum() == 1
    assert not scores.matched["flagged"].any()


def test_a_clique_lies_within_one_prompt(images: np.ndarray) -> None:
    alike = oracle.only_samples(oracle.pool_view(images), copies(images[3], 18, 10, 0))
    halves = replace(alike, sample_labels=np.arange(18) % 2)
    assert GenerateAndFilter().score(alike, []).matched["flagged"][3]
    assert not GenerateAndFilter().score(halves, []).matched["flagged"].any()
    assert GenerateAndFilter(clique=9).score(halves, []).choices["cliques flagged"] == 2
    assert GenerateAndFilter(clique=9, samples_per_prompt=9).score(halves, []).choices["cliques flagged"] == 2
    few = replace(alike, samples=np.concatenate([random_images(10, 1), alike.samples]), sample_labels=np.zeros(28))
    assert not GenerateAndFilter(samples_per_prompt=19).score(few, []).matched["flagged"].any()


def test_the_distance_is_the_one_that_flags_most_members_beyond_decoys(images: np.ndarray) -> None:
    attack = GenerateAndFilter(quantiles=(0.01, 0.5))
    members = np.arange(POOL) < 30
    view = oracle.pool_view(images)

    def shadow(samples: list[np.ndarray]) -> Shadow:
        return Shadow(**vars(oracle.only_samples(view, np.concatenate(samples))), members=members)

    target = oracle.only_samples(view, copies(images[3], 10, 5, 0))
    blurred_decoys = shadow([copies(images[4], 10, 5, 1), copies(images[40], 10, 75, 2), copies(images[41], 10, 75, 3)])
    blurred_members = shadow([copies(images[4], 10, 5, 1), copies(images[6], 10, 75, 2)])
    chosen = [attack.score(target, [s]).choices for s in (blurred_decoys, blurred_members)]
    assert [c["quantile"] for c in chosen] == [0.01, 0.5]
    assert chosen[0]["distance"] < chosen[1]["distance"]
    assert "shadow" in chosen[0]["chosen by"]
    nothing = shadow([random_images(20, 7)])
    unchosen = attack.score(target, [nothing]).choices
    assert unchosen["quantile"] == attack.default_quantile  # nothing can be chosen, because nothing is flagged
    assert "the default quantile" in unchosen["chosen by"]
    both = shadow([copies(images[4], 10, 5, 1)])
    assert attack.score(target, [both]).choices["quantile"] == 0.01  # a tie goes to the smaller distance


def test_a_clique_of_a_changed_copy_counts_as_its_image_and_equal_images_share_it(images: np.ndarray) -> None:
    shifted = np.roll(images[7:8], 1, axis=3)
    view = replace(
        oracle.pool_view(images), variants=np.concatenate([images, shifted]), variant_of=np.append(np.arange(POOL), 7)
    )
    scores = GenerateAndFilter().score(oracle.only_samples(view, copies(shifted[0], 10, 5, 0)), [])
    np.testing.assert_array_equal(np.flatnonzero(scores.matched["flagged"]), [7])
    twice = np.concatenate([images, images[7:8]])
    scores = GenerateAndFilter().score(oracle.only_samples(oracle.pool_view(twice), copies(images[7], 10, 5, 0)), [])
    np.testing.assert_array_equal(np.flatnonzero(scores.score > LOWEST), [7, POOL])


def test_tiles_must_divide_the_image(images: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"attacks\.generate_and_filter\.tiles is 3"):
        GenerateAndFilter(tiles=3).score(oracle.only_samples(oracle.pool_view(images), images), [])


# outlier


def test_outlier_attacks_what_stands_apart(images: np.ndarray) -> None:
    pool = np.concatenate([images, np.clip(images[:30].astype(int) + 3, 0, 255).astype(np.uint8)])  # 30 with a twin
    seen = oracle.only_samples(oracle.pool_view(pool), images[::2])
    attack = Outlier(neighbours=1, fraction=0.25, extraction_neighbours=20)
    scores, whole = attack.score(seen, []), Extraction(neighbours=20).score(seen, [])
    flat = oracle.flat(pool)
    outlierness = np.array([np.sort(np.sqrt(((flat - x) ** 2).mean(1)))[1] for x in flat])
    np.testing.assert_allclose(scores.evidence["outlierness"], outlierness, rtol=1e-4)
    attacked = outlierness >= np.sort(outlierness)[-round(0.25 * len(pool))]
    assert scores.choices["images attacked"] == attacked.sum() == 22
    assert not attacked[:30].any()
    assert not attacked[POOL:].any()
    np.testing.assert_array_equal(scores.score[attacked], whole.score[attacked])
    assert len(np.unique(scores.score[~attacked])) == 1
    assert scores.score[~attacked].max() < scores.score[attacked].min()
    for rule in ("adaptive", "ratio"):
        np.testing.assert_array_equal(scores.matched[rule], whole.matched[rule] & attacked)
        assert scores.matched[rule].any()
        assert (whole.matched[rule] & ~attacked).any()


def test_outlierness_is_the_mean_over_neighbours(images: np.ndarray) -> None:
    seen = oracle.only_samples(oracle.pool_view(images), images)
    flat = oracle.flat(images)
    truth = [np.sort(np.sqrt(((flat - x) ** 2).mean(1)))[1:5].mean() for x in flat]
    scores = Outlier(neighbours=4, extraction_neighbours=20).score(seen, [])
    np.testing.assert_allclose(scores.evidence["outlierness"], truth, rtol=1e-5)


def test_equal_outliers_are_attacked_together(images: np.ndarray) -> None:
    view = replace(oracle.pool_view(images), features=np.ones((POOL, 3)))
    scores = Outlier(extraction_neighbours=20).score(oracle.only_samples(view, images), [])
    assert scores.choices["images attacked"] == POOL


def test_an_image_that_only_its_autoencoder_changes_is_found_and_it_is_said(images: np.ndarray) -> None:
    """Copies come out of a coarse autoencoder, which halves the contrast."""
    pool, coded = images[:60], 64 + images[:60] // 2
    copies = np.concatenate([coded[:5], images[5:8], images[900:930]])
    plain = oracle.pool_view(pool)
    known = replace(plain, variants=np.concatenate([pool, coded]), variant_of=np.tile(np.arange(60), 2), decoded=60)
    attack = Extraction(neighbours=20, distance=0.02)
    before = attack.score(oracle.only_samples(plain, copies), [])
    found = attack.score(oracle.only_samples(known, copies), [])
    assert np.flatnonzero(before.matched["distance"]).tolist() == [5, 6, 7]
    assert np.flatnonzero(found.matched["distance"]).tolist() == [*range(8)]
    assert found.evidence["nearer_decoded"][:8].tolist() == [True] * 5 + [False] * 3
    assert found.choices[DECODED] == found.evidence["nearer_decoded"].sum()
    assert DECODED not in before.choices


# side

TINY = GuidedSamples(clusters=4, drop=0.25, scale=2.0, steps=150, learning_rate=2e-3, batch_size=64)


class TwoClasses(DiffusionModel):
    """A conditional model: class 0 is a memorizer of the first half of the images, class 1 of the second."""

    classes = 2
    network = None
    image_shape = (1, 8, 8)

    def __init__(self, images: np.ndarray) -> None:
        half = len(images) // 2
        self._halves = [oracle.fitted("memorizer", part) for part in (images[:half], images[half:])]
        self.alphas_cumprod = self._halves[0].alphas_cumprod

    def parameters(self) -> dict[str, torch.Tensor]:
        return self._halves[0].parameters()

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        assert condition is not None
        first, second = (half.predict_noise(x_t, t) for half in self._halves)
        return torch.where((condition == 0)[:, None, None, None], first, second)


def generated(generation: GuidedSamples, model: Any, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """The samples of a model, and its samples with guidance."""
    view, samples = oracle.pool_view(oracle.digits()[:40]), oracle.sampled(model)
    context = replace(oracle.context(model, view, samples), seed=seed)
    return context.samples, generation.generate(context).images


@pytest.mark.parametrize("classes", [0, 2])
def test_no_guidance_gives_the_samples_of_the_model(images: np.ndarray, classes: int) -> None:
    model = TwoClasses(images[:40]) if classes else oracle.fitted("memorizer", images[:40])
    samples, guided = generated(replace(TINY, scale=0.0, steps=1), model)
    np.testing.assert_array_equal(guided, samples)


def test_guided_samples_of_the_memorizer_are_members_and_repeatable(images: np.ndarray) -> None:
    model = oracle.fitted("memorizer", images[:40])
    samples, guided = generated(TINY, model)
    assert guided.shape == samples.shape
    assert guided.dtype == np.uint8
    assert (tiled_distances(guided, images[:40], 1).min(1) < 0.01).mean() > 0.95
    assert (guided != samples).any(axis=(1, 2, 3)).mean() > 0.2
    few = replace(TINY, steps=10)
    before = generated(few, model)[1]
    torch.rand(5)  # earlier draws must not matter
    np.testing.assert_array_equal(generated(few, model)[1], before)


def test_guidance_of_a_conditional_model_keeps_to_its_classes(images: np.ndarray) -> None:
    _, guided = generated(TINY, TwoClasses(images[:40]))
    first = oracle.nearest_pool_image(guided, images[:40]) < 20
    np.testing.assert_array_equal(first, np.arange(len(guided)) % 2 == 0)


class Codes(DiffusionModel):
    """A memorizer behind a code: half the side, 4 times the channels, values three times as large."""

    image_shape = (1, 8, 8)
    latent_shape = (4, 4, 4)  # type: ignore[assignment]
    classes = 0
    network = None

    def __init__(self, images: np.ndarray) -> None:
        self._known = self.encode(to_unit_range(images)).flatten(1)
        self.alphas_cumprod = oracle.fitted("memorizer", images).alphas_cumprod

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return 3 * torch.nn.functional.pixel_unshuffle(images, 2)

    def decode(self, x_0: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pixel_shuffle(x_0, 2) / 3

    def parameters(self) -> dict[str, torch.Tensor]:
        return {"known": self._known}

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        alpha_bar = self.alphas_cumprod[t][:, None]
        apart = torch.cdist(x_t.flatten(1)[:, None], alpha_bar.sqrt()[..., None] * self._known).squeeze(1).square()
        x_0 = (-apart / (2 * (1 - alpha_bar))).softmax(1) @ self._known
        return (x_t - (alpha_bar.sqrt() * x_0).reshape(x_t.shape)) / (1 - alpha_bar).sqrt()[..., None, None]


def test_a_latent_model_is_guided_by_codes_which_have_no_range() -> None:
    images = np.zeros((40, 1, 8, 8), np.uint8)
    images[:20, :, :, :4], images[20:, :, :, 4:] = 255, 255
    model: Any = Codes(np.clip(images.astype(int) - np.arange(40)[:, None, None, None], 0, 255).astype(np.uint8))
    generation = GuidedSamples(clusters=2, drop=0, scale=3.0, steps=150, learning_rate=2e-3, batch_size=64)
    _, guided = generated(generation, model)
    left = guided[..., :4].mean(axis=(1, 2, 3)) > guided[..., 4:].mean(axis=(1, 2, 3))
    agree = (left == (np.arange(len(guided)) % 2 == 0)).mean()
    assert max(agree, 1 - agree) > 0.95


def test_guidance_moves_samples_to_the_cluster_that_is_asked_for() -> None:
    noise = np.random.default_rng(0).integers(0, 40, (60, 1, 8, 8))
    dark_to_left = np.zeros((60, 1, 8, 8), int)
    dark_to_left[:30, :, :, :4], dark_to_left[30:, :, :, 4:] = 200, 200
    model = oracle.fitted("memorizer", (dark_to_left + noise).astype(np.uint8))
    asked = []

    def side_of(samples: np.ndarray) -> np.ndarray:
        return samples[..., :4].mean(axis=(1, 2, 3)) > samples[..., 4:].mean(axis=(1, 2, 3))

    for scale in (0.0, 3.0):
        steps = 150 if scale else 1  # of a classifier that is asked nothing
        generation = GuidedSamples(clusters=2, drop=0, scale=scale, steps=steps, learning_rate=2e-3, batch_size=64)
        samples, guided = generated(generation, model)
        agree = (side_of(guided) == (np.arange(len(guided)) % 2 == 0)).mean()
        asked.append(max(agree, 1 - agree))  # K-means numbers the two clusters in either order
        assert 0.3 < side_of(samples).mean() < 0.7
    assert asked[0] < 0.65
    assert asked[1] > 0.95


def test_guided_noise_is_the_formula_of_classifier_guidance_within_the_range_of_pixels(images: np.ndarray) -> None:
    model = oracle.fitted("gaussian", images)
    direction = torch.linspace(-1, 1, 64)

    class Linear(torch.nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            logit = x.flatten(1) @ direction
            return torch.stack([torch.zeros_like(logit), logit], dim=1)

    x_t = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    t, labels = torch.tensor([50, 100, 300, 500, 800, 950]), torch.tensor([0, 1, 0, 1, 0, 1])
    with torch.no_grad():
        guided = GuidedModel(model, Linear(), 2, 0.5).predict_noise(x_t, t, labels)
    probability = torch.sigmoid(x_t.flatten(1) @ direction)  # of cluster 1
    gradient = ((labels - probability)[:, None] * direction).reshape(x_t.shape)
    alpha_bar = model.alphas_cumprod[t][:, None, None, None]
    plain = model.predict_noise(x_t, t)
    expected = plain - 0.5 * (1 - alpha_bar).sqrt() * gradient

    def x_0(noise: torch.Tensor) -> torch.Tensor:
        return (x_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()

    within = x_0(expected).abs() < 1
    assert 0.2 < within.float().mean() < 0.9
    torch.testing.assert_close(guided[within], expected[within], rtol=1e-4, atol=1e-5)
    started_within = x_0(plain).abs() < 1
    assert x_0(guided)[started_within].abs().max() < 1 + 1e-4
    assert ((guided - plain) * (expected - plain) > -1e-6).all()  # guidance never points the other way
    farther = (x_0(plain).abs() >= 1) & (x_0(expected).abs() > x_0(plain).abs()) & (x_0(expected) * x_0(plain) > 0)
    assert farther.any()
    torch.testing.assert_close(guided[farther], plain[farther], rtol=1e-4, atol=1e-5)


def test_the_least_cohesive_cluster_is_dropped() -> None:
    rng = np.random.default_rng(0)
    narrow = [center + 0.1 * rng.standard_normal((30, 3)) for center in ([9, 0, 0], [0, 9, 0])]
    wide = np.array([0, 0, 9]) + 2 * rng.standard_normal((30, 3))
    labels = GuidedSamples(3, 0.34, 1.0, 1, 1e-3, 8).pseudo_labels(np.concatenate([wide, *narrow]), seed=0)
    assert (labels[:30] == -1).mean() > 0.9
    assert {*labels[30:60]} | {*labels[60:]} == {0, 1}
    assert len({*labels[30:60]}) == len({*labels[60:]}) == 1


def test_samples_that_are_all_alike_can_be_guided(images: np.ndarray) -> None:
    _, guided = generated(TINY, oracle.fitted("memorizer", images[:1]))
    assert (guided == images[0]).all()


def test_side_is_extraction_from_the_guided_samples(images: np.ndarray) -> None:
    attack = SIDE(clusters=4, steps=50, neighbours=20)
    seen: Target = oracle.target(attack, oracle.fitted("memorizer", images[:30]), images)
    guided = seen.generated[attack.generation]["images"]
    there = Extraction(neighbours=20).score(oracle.only_samples(seen.pool, guided), [])
    scores = attack.score(seen, [])
    np.testing.assert_array_equal(scores.score, there.score)
    np.testing.assert_array_equal(scores.evidence["nearest_sample"], there.evidence["nearest_sample"])
    found = np.unique(oracle.nearest_pool_image(guided, images))
    assert scores.score[found].min() > np.delete(scores.score, found).max()


# inpainting


def test_inpainting(images: np.ndarray) -> None:
    attack = Inpainting(repeats=5, keep=2, steps=4, loss_timestep=100)
    model = oracle.fitted("gaussian", oracle.digits()[200:500])
    scores = attack.score(oracle.target(attack, model, images), [])
    queries = Queries(model, to_unit_range(images[:1]), torch.zeros(1, dtype=torch.long), seed=3)
    ab = model.alphas_cumprod.double().numpy()

    def draw(number: int) -> np.ndarray:
        noise: np.ndarray = queries.noise(number)[0].double().numpy()
        return noise

    def eps(x: np.ndarray, t: int) -> np.ndarray:
        predicted: np.ndarray = model.predict_noise(torch.as_tensor(x)[None], torch.tensor([t]))[0].double().numpy()
        return predicted

    best_is_nearest = []
    for i in range(8):
        x_0 = images[i].astype(np.float64) / 127.5 - 1
        completed, losses = [], []
        for repeat in range(5):
            x = draw(FIRST_DRAW + 4 * repeat)
            for step, t in enumerate((750, 500, 250, 0)):
                known = np.sqrt(ab[t]) * x_0 + np.sqrt(1 - ab[t]) * draw(FIRST_DRAW + 4 * repeat + step)
                x[:, :, 4:] = known[:, :, 4:]
                predicted = eps(x, t)
                clean = np.clip((x - np.sqrt(1 - ab[t]) * predicted) / np.sqrt(ab[t]), -1, 1)
                x = np.sqrt(ab[t - 250]) * clean + np.sqrt(1 - ab[t - 250]) * predicted if t else clean
            x[:, :, 4:] = x_0[:, :, 4:]
            completed.append(x)
            noise = draw(0)
            losses.append(((eps(np.sqrt(ab[100]) * x + np.sqrt(1 - ab[100]) * noise, 100) - noise) ** 2).mean())
        errors = [np.sqrt((((x - x_0)[:, :, :4] / 2) ** 2).mean()) for x in completed]
        kept = np.argsort(losses)[:2]
        assert scores.score[i] == pytest.approx(-np.mean([errors[k] for k in kept]), rel=1e-3)
        best = (completed[kept[0]] + 1) * 127.5
        np.testing.assert_allclose(scores.evidence["inpainted"][i], best, atol=0.51)
        best_is_nearest.append(kept[0] == np.argmin(errors))
    assert not all(best_is_nearest)


def test_members_of_the_memorizer_are_completed_exactly(images: np.ndarray) -> None:
    members = oracle.coins(1, POOL)
    attack = Inpainting(repeats=12, keep=1, steps=10)
    scores = attack.score(oracle.target(attack, oracle.fitted("memorizer", images[members]), images), [])
    np.testing.assert_array_equal(scores.evidence["inpainted"][members], images[members])
    assert scores.evidence["errors"][members].max() < 1e-6
    assert scores.evidence["errors"][~members].min() > 0.05
    np.testing.assert_array_equal(scores.evidence["inpainted"][..., 4:], images[..., 4:])
    assert scores.evidence["inpainted"].dtype == np.uint8


def test_inpainting_costs_what_it_says(images: np.ndarray) -> None:
    batch = to_unit_range(images[:2])
    queries = Queries(oracle.fitted("memorizer", images), batch, torch.zeros(2, dtype=torch.long), seed=0)
    Inpainting(repeats=3, keep=2, steps=7).signal.measure(queries)
    assert queries.calls == 3 * 7 + 3

"""The defenses that guard the sampler, `filter` and `guidance`, on a model that only copies and on one that never saw
the training images."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from leakfront.defenses import Defense, Sampler, Serving
from leakfront.defenses import filter as filter_module
from leakfront.defenses.filter import Filter, TrainingImages
from leakfront.defenses.guidance import Guidance, GuidedModel
from leakfront.errors import InputError
from leakfront.harness.stages.sample import to_uint8
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle

TRAINED, ELSEWHERE = oracle.digits()[:120], oracle.digits()[700:1300]
COUNT = 160


@functools.cache
def model(name: str) -> DiffusionModel:
    """The memorizer of the training images, or a Gaussian that never saw them."""
    return oracle.fitted(name, TRAINED if name == "memorizer" else ELSEWHERE)


def serving(of: DiffusionModel, settings: SamplerSettings | None = None) -> Serving:
    return Serving(of, TRAINED, lambda served: make_sampler(served, settings or SamplerSettings(steps=20), seed=5))


def plain(of: DiffusionModel, settings: SamplerSettings | None = None) -> Sampler:
    return serving(of, settings).make_sampler(of)


def guarded(of: DiffusionModel, *guards: Defense, settings: SamplerSettings | None = None) -> Sampler:
    sampler = plain(of, settings)
    for guard in guards:
        sampler = guard.guard(sampler, serving(of, settings))
    return sampler


def sampled(sampler: Sampler, indices: Sequence[int] = range(COUNT)) -> np.ndarray:
    return to_uint8(sampler(indices))


def distances(samples: np.ndarray, known: np.ndarray = TRAINED) -> np.ndarray:
    """Root mean square distances in [0, 1] to all training images, nearest first, by brute force in float64."""
    difference = oracle.flat(samples)[:, None] - oracle.flat(known)[None]
    return np.sort(np.sqrt((difference**2).mean(2)), axis=1)


def ratios(samples: np.ndarray, neighbours: int = 50) -> np.ndarray:
    """Carlini et al. 2023, §5.1: l2 to the nearest over 0.5 x the mean to the 50 nearest."""
    found = distances(samples)
    return found[:, 0] / (0.5 * found[:, :neighbours].mean(1))


@pytest.mark.parametrize("guard", [Filter(), Guidance()], ids=lambda guard: guard.name)
def test_guards_state_that_they_do_not_cover_attackers_with_the_weights(guard: Defense) -> None:
    assert guard.acts_on == "sampling"
    assert guard.covers == "samples as served; nothing with the weights"


def test_the_search_finds_the_nearest_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_module, "BLOCK_BYTES", 1)  # one query per block
    known = TrainingImages(TRAINED, 50)
    samples = oracle.digits()[1200:1230]
    found, indices = known.nearest(torch.as_tensor(oracle.flat(samples)).float())
    np.testing.assert_allclose(found, distances(samples)[:, :50], atol=1e-6)
    at = ((known.images[indices] - torch.as_tensor(oracle.flat(samples)).float()[:, None]) ** 2).mean(2).sqrt()
    torch.testing.assert_close(at, found)


def test_copies_in_the_training_set_do_not_hide_a_sample() -> None:
    crowd = np.concatenate([np.repeat(TRAINED[:1], 60, axis=0), TRAINED])
    near = np.clip(TRAINED[:1].astype(int) + 3, 0, 255).astype(np.uint8)
    counted = distances(near, crowd)
    assert counted[0, 0] / (0.5 * counted[0, :50].mean()) == pytest.approx(2)
    found, _ = TrainingImages(crowd, 50).nearest(torch.as_tensor(oracle.flat(near)).float())
    assert filter_module.adaptive_ratio(found)[0] < 0.2


def test_every_try_of_the_memorizer_is_a_copy_and_is_served_as_it_was() -> None:
    """The filter has no effect here: every draw is at distance 0, so all tries fail, and the first one is served."""
    served = sampled(guarded(model("memorizer"), Filter(tries=4)))
    assert (ratios(served) < 1).sum() == COUNT
    assert distances(served)[:, 0].max() == 0
    np.testing.assert_array_equal(served, sampled(plain(model("memorizer"))))


def test_a_sample_that_fails_all_tries_is_served_as_its_farthest() -> None:
    """No ratio exceeds 2, so a threshold of 2 rejects every draw."""
    sampler = plain(model("gaussian"))
    tries = [sampled(sampler, [i + k * 2**32 for i in range(40)]) for k in range(4)]
    farthest = np.argmax([ratios(images) for images in tries], axis=0)
    assert len(np.unique(farthest)) == 4
    served = sampled(guarded(model("gaussian"), Filter(ratio=2.0, tries=4)), range(40))
    np.testing.assert_array_equal(served, [tries[k][i] for i, k in enumerate(farthest)])


def test_no_sample_below_the_ratio_is_served_if_one_of_its_tries_passes() -> None:
    before, after = (
        sampled(sampler) for sampler in (plain(model("gaussian")), guarded(model("gaussian"), Filter(ratio=1.4)))
    )
    rejected = ratios(before) < 1.4
    assert 0.15 < rejected.mean() < 0.4
    assert ratios(after).min() >= 1.4
    np.testing.assert_array_equal(after[~rejected], before[~rejected])
    assert (after[rejected] != before[rejected]).any((1, 2, 3)).all()


@pytest.mark.parametrize("guard", [Filter(), Guidance()], ids=lambda guard: guard.name)
def test_a_model_that_never_saw_the_training_images_is_left_almost_as_it_is(guard: Defense) -> None:
    """Of 160 samples of a Gaussian fitted to other images, one is too near a training image; only this one changes."""
    before, after = sampled(plain(model("gaussian"))), sampled(guarded(model("gaussian"), guard))
    changed = (before != after).any((1, 2, 3))
    np.testing.assert_array_equal(changed, ratios(before) < 1)
    assert changed.sum() == 1


def test_a_larger_ratio_rejects_more_and_none_rejects_nothing() -> None:
    before = sampled(plain(model("gaussian")))
    shares = [
        (sampled(guarded(model("gaussian"), Filter(ratio=r))) != before).any((1, 2, 3)).mean() for r in (0, 1.2, 1.4)
    ]
    assert shares[0] == 0 < shares[1] < shares[2]


def test_redraws_keep_the_class_and_depend_on_the_index_alone() -> None:
    asked: list[int] = []

    def draw(indices: Sequence[int]) -> torch.Tensor:
        asked.extend(indices)
        return to_unit_range(TRAINED[[i % 7 for i in indices]])

    network = UNet(channels=(8, 8), head_channels=8, conditional=True).build((1, 8, 8), 10, 0)
    Filter(tries=3).guard(draw, serving(network))([3, 14])
    assert asked == [3, 14, 3 + 10 * 2**32, 14 + 10 * 2**32, 3 + 20 * 2**32, 14 + 20 * 2**32]
    assert [i % 10 for i in asked] == [3, 4] * 3


@pytest.mark.parametrize(
    "settings", [SamplerSettings("ddim", 20), SamplerSettings("ddpm", 20)], ids=lambda s: s.scheduler
)
def test_guidance_moves_the_memorizer_off_its_copies(settings: SamplerSettings) -> None:
    """All unguided samples are copies. At scale 1 all samples reach the ratio, and none is far above it."""
    copies = sampled(plain(model("memorizer"), settings))
    weak, full = (
        sampled(guarded(model("memorizer"), Guidance(scale=scale), settings=settings)) for scale in (0.3, 1.0)
    )
    assert distances(copies)[:, 0].max() == 0
    assert distances(weak)[:, 0].min() > 0.03
    assert ((ratios(weak) > 0.25) & (ratios(weak) < 0.4)).all()
    assert (distances(full)[:, 0] > distances(weak)[:, 0]).all()
    assert ((ratios(full) >= 1) & (ratios(full) < 1.5)).all()


def test_a_multistep_solver_brings_some_guided_samples_back() -> None:
    settings = SamplerSettings("dpm_solver++", 20)
    found = ratios(sampled(guarded(model("memorizer"), Guidance(), settings=settings)))
    assert found.min() > 0
    assert 0 < (found < 1).mean() < 0.05


def test_a_threshold_of_zero_is_the_plain_sampler() -> None:
    for of in (model("memorizer"), conditional()):
        found = guarded(of, Guidance(threshold=0))(range(20))
        torch.testing.assert_close(found, plain(of)(range(20)), rtol=0, atol=0)


def conditional() -> DiffusionModel:
    network = UNet(channels=(8, 8), head_channels=8, conditional=True).build((1, 8, 8), 10, 0)
    network.network.eval().requires_grad_(False)
    return network


def test_guided_predictions_step_along_the_gradient_of_the_distance() -> None:
    """A transcription in float64, with the gradient by autograd; no prediction is clipped here."""
    of, t, scale, threshold = model("gaussian"), torch.full((12,), 100), 0.3, 1.9
    alpha_bar = of.alphas_cumprod[100].double()
    x_t = alpha_bar.sqrt() * to_unit_range(oracle.digits()[1200:1212]) * 0.8
    x_t = (x_t + 0.05 * torch.randn(x_t.shape, generator=torch.Generator().manual_seed(0))).float()
    found = GuidedModel(of, TrainingImages(TRAINED, 50), threshold, scale).predict_noise(x_t, t).double()

    x_0 = (x_t.double() - (1 - alpha_bar).sqrt() * of.predict_noise(x_t, t).double()) / alpha_bar.sqrt()
    images = (x_0.clamp(-1, 1).flatten(1) / 2 + 0.5).requires_grad_()
    l2 = (images[:, None] - torch.as_tensor(oracle.flat(TRAINED))[None]).square().mean(2).sqrt()
    (gradient,) = torch.autograd.grad(l2.min(1).values.sum(), images)
    step = scale * (threshold * 0.5 * l2.sort(dim=1).values[:, :50].mean(1) - l2.min(1).values)
    assert (step > 0).all()
    moved = images + step[:, None] * gradient / gradient.square().mean(1, keepdim=True).sqrt()
    wanted = moved.detach().clamp(0, 1).reshape(x_t.shape) * 2 - 1
    predicted = (x_t.double() - (1 - alpha_bar).sqrt() * found) / alpha_bar.sqrt()
    torch.testing.assert_close(predicted, wanted, rtol=0, atol=1e-5)


def test_guidance_comes_before_the_filter() -> None:
    """A later filter draws from the guided sampler and serves the farthest of its tries."""
    guidance = Guidance(scale=0.7)
    once = ratios(sampled(guarded(model("memorizer"), guidance), range(40)))
    served = ratios(sampled(guarded(model("memorizer"), guidance, Filter(tries=3)), range(40)))
    assert (once < 1).all()
    assert (served >= once).all()
    assert (served > once).mean() > 0.5
    with pytest.raises(InputError, match="before filter"):
        guarded(model("memorizer"), Filter(), Guidance())


@pytest.mark.parametrize("name", ["memorizer", "gaussian", "unet"])
@pytest.mark.parametrize("guard", [Filter(ratio=2.0, tries=3), Guidance(threshold=1.9)], ids=lambda guard: guard.name)
def test_a_sample_depends_on_its_index_and_not_on_its_batch(guard: Defense, name: str) -> None:
    of = conditional() if name == "unet" else model(name)
    sampler = guarded(of, guard)
    together = sampler(range(12))
    apart = torch.cat([sampler([11]), sampler(range(4, 11)), sampler([3, 2, 1, 0])])
    torch.testing.assert_close(apart, together[[11, *range(4, 11), 3, 2, 1, 0]], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(guarded(of, guard)(range(12)), together, rtol=0, atol=0)
    assert together.abs().max() <= 1
    changed = (together != plain(of)(range(12))).flatten(1).any(1).float().mean()
    # all tries of the memorizer are equally far
    assert changed > 0.3 or (name == "memorizer" and isinstance(guard, Filter))


@pytest.mark.parametrize("guard", [Filter(), Guidance()], ids=lambda guard: guard.name)
def test_one_training_image_has_no_neighbours_to_compare_with(guard: Defense) -> None:
    of = model("memorizer")
    alone = Serving(of, np.repeat(TRAINED[:1], 3, axis=0), serving(of).make_sampler)
    with pytest.raises(InputError, match="2 distinct training images"):
        guard.guard(plain(of), alone)


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: Filter(ratio=2.1), "filter.ratio"),
        (lambda: Filter(ratio=-0.1), "filter.ratio"),
        (lambda: Filter(neighbours=1), "filter.neighbours"),
        (lambda: Filter(tries=0), "filter.tries"),
        (lambda: Guidance(threshold=2.1), "guidance.threshold"),
        (lambda: Guidance(scale=-1), "guidance.scale"),
        (lambda: Guidance(neighbours=1), "guidance.neighbours"),
    ],
)
def test_a_parameter_out_of_range_is_named(build, key: str) -> None:
    with pytest.raises(InputError, match=key):
        build()

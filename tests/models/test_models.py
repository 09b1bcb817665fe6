"""The UNet is diffusers' own, the closed forms follow their formulas, and a sample depends on its index alone."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from leakfront import models, testing
from leakfront.errors import InputError
from leakfront.harness.training.loop import to_unit_range
from leakfront.models.contract import LossWithLevels
from leakfront.models.diffusion import DenoisingLoss, add_noise, regression_target, to_noise
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.models.unet import UNet
from leakfront.registry import parameters
from tests import oracle_targets as oracle

EXTERNAL = ("in_memory", "no_model", "pipeline", "text_pipeline")
OWN = [name for name in models.registry.names() if name not in EXTERNAL]
SMALL = {"channels": (8, 16), "head_channels": 8}
SMALL_GAN = {"noise": 4, "generator_width": 8, "discriminator_width": 8}
SMALL_TEXT = {"channels": (8, 8), "norm_groups": 4, "text_width": 8, "text_heads": 2}


@pytest.mark.parametrize("name", models.registry.names())
def test_a_family_says_what_it_is(name: str) -> None:
    family = models.registry.get(name)
    assert issubclass(family, models.ModelFamily)
    assert family.__dataclass_params__.frozen
    assert family.summary
    assert len(inspect.getdoc(family) or "") > 60
    assert family.where() == "model"  # the section of a config, whatever the family
    assert family.external == (name in EXTERNAL)
    assert family.trained == (name in ("unet", "text_to_image", "lora", "gan"))


@pytest.mark.parametrize("name", [name for name in OWN if models.registry.get(name).kind == "diffusion"])
def test_by_default_a_family_is_unconditional_and_its_version_is_its_parameters(name: str) -> None:
    family = models.registry.get(name)(timesteps=500)
    assert (family.timesteps, family.conditional, family.classes) == (500, False, 0)
    assert family.version() == parameters(family)
    family.examine()
    if not family.trained:
        assert family.smallest == 0
        family.check((3, 17, 5))


def test_a_unet_has_at_least_its_smallest_number_of_weights() -> None:
    for family in (UNet(), UNet(channels=(8, 16, 32), layers_per_block=3, head_channels=8, middle_attention=False)):
        weights = sum(p.numel() for p in family.build((1, 8, 8), 10, 0).network.parameters())
        assert 0 < family.smallest < weights < 20 * family.smallest


def test_a_loss_states_its_noise_levels_and_a_function_does_not() -> None:
    model = UNet(**SMALL, prediction="v_prediction").build((1, 8, 8), 10, 3)
    loss = model.loss()
    assert isinstance(loss, LossWithLevels)
    assert torch.equal(loss.alphas_cumprod, model.alphas_cumprod)
    assert (loss.prediction, loss.conditional) == ("v_prediction", False)
    assert not isinstance(lambda network, images, labels, generator: images, LossWithLevels)


@pytest.mark.parametrize("name", OWN)
def test_every_family_keeps_to_the_contract(name: str) -> None:
    small = {"unet": SMALL, "text_to_image": SMALL_TEXT, "lora": SMALL_TEXT, "gan": SMALL_GAN}
    testing.check_model(models.registry.get(name)(**small.get(name, {})))


def test_a_unet_on_patches_with_edms_preconditioning_keeps_to_the_contract() -> None:
    testing.check_model(UNet(**SMALL, patch=2, prediction="edm"))


def test_the_saved_folder_is_a_pipeline_that_plain_diffusers_loads(tmp_path: Path) -> None:
    from diffusers import DDPMPipeline

    model = UNet(**SMALL).build((1, 8, 8), 10, 3)
    model.network.eval()
    model.save(tmp_path)
    pipeline = DDPMPipeline.from_pretrained(tmp_path, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    x, t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 700])
    with torch.no_grad():
        torch.testing.assert_close(pipeline.unet(x, t).sample, model.predict_noise(x, t))
    torch.testing.assert_close(pipeline.scheduler.alphas_cumprod, model.alphas_cumprod)
    images = pipeline(batch_size=2, num_inference_steps=2, output_type="np").images
    assert images.shape == (2, 8, 8, 1)


def test_same_seed_same_weights() -> None:
    first, again, other = (UNet(**SMALL).build((1, 8, 8), 10, seed).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_a_conditional_unet_tells_classes_apart(tmp_path: Path) -> None:
    model = UNet(**SMALL, conditional=True).build((1, 8, 8), 10, 3)
    model.network.eval()
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([100, 100])
    with torch.no_grad():
        zero, one = (model.predict_noise(x, t, torch.full((2,), c)) for c in (0, 1))
    assert not torch.allclose(zero, one)
    model.save(tmp_path)
    assert UNet(conditional=True).load(tmp_path).classes == 10


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "edm"])
def test_a_perfect_network_predicts_the_noise_with_every_kind_of_output(prediction) -> None:
    generator = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(4, 3, 2, 2, generator=generator), torch.randn(4, 3, 2, 2, generator=generator)
    alpha_bar = torch.tensor([0.99, 0.7, 0.3, 0.01])
    x_t = add_noise(x_0, noise, alpha_bar)
    target = regression_target(x_0, noise, alpha_bar, prediction)
    torch.testing.assert_close(to_noise(target, x_t, alpha_bar, prediction), noise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_forward_process_is_that_of_diffusers(prediction) -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type=prediction)
    x_0, noise, t = torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8), torch.tensor([0, 10, 500, 999])
    alpha_bar = scheduler.alphas_cumprod[t]
    torch.testing.assert_close(add_noise(x_0, noise, alpha_bar), scheduler.add_noise(x_0, noise, t))
    if prediction == "v_prediction":
        target = regression_target(x_0, noise, alpha_bar, prediction)
        torch.testing.assert_close(target, scheduler.get_velocity(x_0, noise, t))


def test_loss_of_an_image_is_its_own() -> None:
    """The loss of each image is the mean squared error at its own draw, independent of the rest of the batch."""
    model = UNet(**SMALL).build((1, 8, 8), 10, 3)
    loss = DenoisingLoss(model.alphas_cumprod, "epsilon", conditional=False)
    images = torch.rand(6, 1, 8, 8) * 2 - 1
    values = loss(model.network, images, torch.zeros(6), torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    t = torch.randint(1000, (6,), generator=generator)
    noise = torch.randn(6, 1, 8, 8, generator=generator)
    for i in range(6):
        x_t = add_noise(images[i : i + 1], noise[i : i + 1], model.alphas_cumprod[t[i : i + 1]])
        error = (model.network(x_t, t[i : i + 1]).sample - noise[i : i + 1]).square().mean()
        torch.testing.assert_close(values[i], error, rtol=1e-4, atol=1e-6)


def test_memorizer_is_the_softmax_weighted_mean() -> None:
    images = oracle.digits()[:9]
    model = oracle.fitted("memorizer", images)
    known = to_unit_range(images).double().numpy().reshape(9, -1)
    rng = np.random.default_rng(0)
    for t in (0, 5, 100, 400, 900):
        ab = float(model.alphas_cumprod[t].double())
        x = np.sqrt(ab) * known[3] + np.sqrt(1 - ab) * rng.standard_normal(64)
        logits = -((x - np.sqrt(ab) * known) ** 2).sum(1) / (2 * (1 - ab))
        weights = np.exp(logits - logits.max())
        x_0 = weights @ known / weights.sum()
        expected = (x - np.sqrt(ab) * x_0) / np.sqrt(1 - ab)
        found = model.predict_noise(torch.as_tensor(x).reshape(1, 1, 8, 8), torch.tensor([t]))
        np.testing.assert_allclose(found.numpy().ravel(), expected, rtol=1e-4, atol=1e-5)


def test_memorizer_generates_the_images_it_was_fitted_to() -> None:
    images = oracle.digits()[:40]
    samples = oracle.sampled(oracle.fitted("memorizer", images), 60)
    error = np.abs(samples.astype(int)[:, None] - images.astype(int)[None]).max(axis=(2, 3, 4)).min(1)
    assert error.max() <= 1


def test_gaussian_is_the_conditional_expectation() -> None:
    """E[x_0 | x_t] of jointly Gaussian vectors, from the block formula and not from the eigenbasis."""
    rng = np.random.default_rng(1)
    images = oracle.digits()[:300]
    model = oracle.fitted("gaussian", images)
    flat = to_unit_range(images).double().numpy().reshape(300, -1)
    mean, covariance = flat.mean(0), np.cov(flat.T)
    for t in (0, 50, 500, 990):
        ab = float(model.alphas_cumprod[t].double())
        x = rng.standard_normal(64)
        gain = np.sqrt(ab) * covariance @ np.linalg.inv(ab * covariance + (1 - ab) * np.eye(64))
        x_0 = mean + gain @ (x - np.sqrt(ab) * mean)
        expected = (x - np.sqrt(ab) * x_0) / np.sqrt(1 - ab)
        found = model.predict_noise(torch.as_tensor(x).reshape(1, 1, 8, 8), torch.tensor([t]))
        np.testing.assert_allclose(found.numpy().ravel(), expected, rtol=1e-4, atol=1e-4)


def test_samples_of_the_gaussian_have_its_mean_and_covariance() -> None:
    images = oracle.digits()[:600] // 4 + 96  # a narrow range, so that nothing is clipped
    model = oracle.fitted("gaussian", images)
    samples = make_sampler(model, SamplerSettings(steps=200), seed=1)(range(1500)).flatten(1).double().numpy()
    real = to_unit_range(images).flatten(1).double().numpy()
    spread = real.std(0).max()
    assert np.abs(samples.mean(0) - real.mean(0)).max() < 0.15 * spread
    assert np.linalg.norm(np.cov(samples.T) - np.cov(real.T)) < 0.15 * np.linalg.norm(np.cov(real.T))


@pytest.mark.parametrize(
    "settings",
    [
        SamplerSettings("ddim", 5),
        SamplerSettings("ddim", 5, eta=1.0),
        SamplerSettings("ddpm", 5),
        SamplerSettings("dpm_solver++", 5),
    ],
    ids=lambda s: f"{s.scheduler}-{s.eta:g}",
)
def test_a_sample_depends_on_its_index_and_not_on_its_batch(settings: SamplerSettings) -> None:
    model = UNet(**SMALL).build((1, 8, 8), 10, 3)
    model.network.eval()
    sampler = make_sampler(model, settings, seed=1)
    together = sampler(range(6))
    apart = torch.cat([sampler([5]), sampler(range(2, 5)), sampler([1, 0])])
    torch.testing.assert_close(apart, together[[5, 2, 3, 4, 1, 0]], rtol=1e-4, atol=1e-4)
    assert together.abs().max() <= 1
    assert not torch.allclose(make_sampler(model, settings, seed=2)(range(6)), together, atol=1e-3)


def test_ddim_of_the_memorizer_equals_diffusers_pipeline_arithmetic() -> None:
    """Our loop over diffusers' scheduler is compared with the update of Song et al. 2021, Eq. 12."""
    model = oracle.fitted("memorizer", oracle.digits()[:20])
    found = make_sampler(model, SamplerSettings("ddim", 10), seed=1)([0])
    from leakfront.seeds import derive_seed

    x = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(derive_seed(1, "sample", 0)))[None].double()
    ab = model.alphas_cumprod.double()
    for t in range(900, -1, -100):
        eps = model.predict_noise(x, torch.tensor([t])).double()
        x_0 = ((x - (1 - ab[t]).sqrt() * eps) / ab[t].sqrt()).clamp(-1, 1)
        eps = (x - ab[t].sqrt() * x_0) / (1 - ab[t]).sqrt()
        # by default diffusers' DDIM keeps the unclipped prediction
        before = ab[t - 100] if t >= 100 else torch.tensor(1.0)
        raw = model.predict_noise(x, torch.tensor([t])).double()
        x = before.sqrt() * x_0 + (1 - before).sqrt() * raw
    torch.testing.assert_close(found[0].double(), x[0].clamp(-1, 1), rtol=1e-3, atol=1e-3)


def test_refuses_shapes_and_widths_that_cannot_be_built() -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        UNet(channels=(8, 8, 8), head_channels=8).check((1, 10, 10))
    with pytest.raises(InputError, match=r"head_channels is 32; .* at most .* 16"):
        UNet(channels=(8, 16))
    with pytest.raises(InputError, match="norm_groups"):
        UNet(channels=(12,))
    with pytest.raises(InputError, match="attention"):
        UNet(channels=(8,), head_channels=8, attention=(1,))

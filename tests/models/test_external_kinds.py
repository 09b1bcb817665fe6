"""Every kind of folder that is accepted gives the predictions and noise levels of plain diffusers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from leakfront import models
from leakfront.models.external.scheduler_config import SAMPLING, SCHEDULERS, SchedulerConfig
from leakfront.models.external.value_range import ValueRange
from tests.models import external_folders as folders
from tests.models.external_folders import KINDS, SHAPE, Given


def ours(given: Given, **settings: Any) -> Any:
    """The model as a run reads it, and the copy of it that the run keeps."""
    family = models.registry.get("pipeline")(path=str(given.folder), **{**given.settings, **settings})
    family.version()
    family.check(SHAPE)
    family.examine()
    return family, family.build(SHAPE, 1, 0)


def theirs(given: Given) -> tuple[Any, Any]:
    """The network and the scheduler as plain diffusers loads them."""
    unet = diffusers.UNet2DModel.from_pretrained(
        given.unet, use_safetensors=True, local_files_only=True, torch_dtype=torch.float32, low_cpu_mem_usage=False,
        **given.load,
    )  # fmt: skip
    name = json.loads((given.scheduler / "scheduler_config.json").read_text())["_class_name"]
    return unet.eval(), getattr(diffusers, name).from_pretrained(given.scheduler, local_files_only=True)


def noise_of(scheduler: Any, output: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The noise in diffusers' DDIM step, from what the network outputs."""
    alpha = scheduler.alphas_cumprod[t][:, None, None, None]
    match scheduler.config.prediction_type:
        case "epsilon":
            return output
        case "v_prediction":
            return alpha**0.5 * output + (1 - alpha) ** 0.5 * x_t
    return (x_t - alpha**0.5 * output) / (1 - alpha) ** 0.5


def inputs(timesteps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x_t = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    return x_t, torch.tensor([1, timesteps // 20, timesteps // 2, timesteps - 1]), torch.tensor([0, 1, 2, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_it_predicts_what_diffusers_does(kind: str, tmp_path: Path) -> None:
    given = KINDS[kind](tmp_path)
    unet, scheduler = theirs(given)
    family, model = ours(given)
    assert torch.equal(model.alphas_cumprod, scheduler.alphas_cumprod.float())
    assert family.timesteps == len(model.alphas_cumprod)
    x_t, t, labels = inputs(family.timesteps)
    with torch.no_grad():
        output = unet(x_t, t, labels if unet.config.num_class_embeds else None).sample[:, :1]
        found = model.predict_noise(x_t, t, labels)
        expected = noise_of(scheduler, output, x_t, t)
        if scheduler.config.prediction_type == "epsilon":
            assert torch.equal(found, expected)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.predict_with(model.parameters(), x_t, t, labels), found, rtol=0, atol=0)
        model.save(tmp_path / "copy")
        torch.testing.assert_close(family.load(tmp_path / "copy").predict_noise(x_t, t, labels), found, rtol=0, atol=0)


def test_what_is_chosen_in_a_folder_is_said(tmp_path: Path) -> None:
    kinds = ("flat", "checkpoint", "fp16 variant", "hub cache", "learned variance", "the unet alone")
    said = {kind: "; ".join(ours(KINDS[kind](tmp_path / kind))[0].notes()) for kind in kinds}
    assert said["flat"] == ""
    assert "unet_ema was read" in said["checkpoint"]
    assert "checkpoint-20/unet" in said["checkpoint"]
    assert "out/scheduler/scheduler_config.json" in said["checkpoint"]
    assert "fp16.safetensors, computed with in float32" in said["fp16 variant"]
    given = KINDS["flat"](tmp_path / "again")
    network = given.folder / "diffusion_pytorch_model.safetensors"
    shutil.copy(network, network.with_name("diffusion_pytorch_model.non_ema.safetensors"))
    beside = "; ".join(ours(given)[0].notes())
    assert "model.safetensors, and not of diffusion_pytorch_model.non_ema.safetensors beside it" in beside
    assert "is the one snapshot" in said["hub cache"]
    assert "variance" in said["learned variance"]
    assert "whole/scheduler/scheduler_config.json" in said["the unet alone"]


def test_every_key_of_a_known_scheduler_is_read_or_concerns_sampling() -> None:
    """A key that a later diffusers adds must be looked at before configs that have it are accepted."""
    forward = {*SchedulerConfig.__dataclass_fields__, "rescale_betas_zero_snr", "use_flow_sigmas", "timestep_type"}
    for name, betas in SCHEDULERS.items():
        config = getattr(diffusers, name)().config
        keys = {key for key in config if not key.startswith("_")}
        assert keys <= forward | SAMPLING, name
        assert (config.beta_start, config.beta_end) == (betas or (0.0001, 0.02)), name


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.0, 255.0), (-0.5, 0.5)])
def test_a_model_of_another_range_is_the_same_model_in_ours(
    tmp_path: Path, prediction: str, ends: tuple[float, float]
) -> None:
    """The same image and the same noise give the same prediction, whether we scale the image or the user does."""
    given = folders.pipeline(tmp_path, diffusers.DDPMScheduler(prediction_type=prediction))
    unet, scheduler = theirs(given)
    _, model = ours(given, range=ends)
    generator = torch.Generator().manual_seed(1)
    x_0 = torch.rand(4, *SHAPE, generator=generator) * 2 - 1
    noise, t = torch.randn(x_0.shape, generator=generator), torch.tensor([1, 100, 500, 999])
    low, high = ends
    y_t = scheduler.add_noise(low + (high - low) * (x_0 + 1) / 2, noise, t)
    levels = model.alphas_cumprod[t][:, None, None, None]
    x_t = levels.sqrt() * x_0 + (1 - levels).sqrt() * noise
    with torch.no_grad():
        expected = noise_of(scheduler, unet(y_t, t).sample, y_t, t)
        found = model.predict_noise(x_t, t)
    size = 1 + expected.abs().amax((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found / size, expected / size, rtol=1e-3, atol=1e-3)


def test_samples_of_another_range_are_those_of_plain_diffusers_scaled(tmp_path: Path) -> None:
    from leakfront.models.sampling import make_scheduler, SamplerSettings  # noqa: I001

    given = folders.pipeline(tmp_path, diffusers.DDIMScheduler(clip_sample=False))
    unet, scheduler = theirs(given)
    _, model = ours(given, range=(0.0, 1.0))
    mine = make_scheduler(model, SamplerSettings(steps=10))
    mine.register_to_config(clip_sample=False)
    scheduler.set_timesteps(10)
    mine.set_timesteps(10)
    assert torch.equal(mine.timesteps, scheduler.timesteps)
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    first = scheduler.alphas_cumprod[scheduler.timesteps[0]].expand(2)
    y = ValueRange(0.0, 1.0).into(x, first)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = mine.step(model.predict_noise(x, t.expand(2)), t, x).prev_sample
            y = scheduler.step(unet(y, t).sample, t, y).prev_sample
    torch.testing.assert_close(x, 2 * y - 1, rtol=1e-3, atol=1e-3)

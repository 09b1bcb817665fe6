"""Stable Diffusion XL and 3 and Flux give the predictions of diffusers' own pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from leakfront.errors import InputError
from leakfront.models.sampling import SamplerSettings, Table, make_sampler, start_noise, with_guidance
from tests.models import text_folders as folders
from tests.models.test_text_pipeline import conditions, family, ours
from tests.models.text_folders import CAPTIONS, LATENT, SHAPE, change

TEXTS = (CAPTIONS[0], "", CAPTIONS[1])


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    x_t = torch.randn(3, *LATENT, generator=torch.Generator().manual_seed(0))
    return x_t, torch.tensor([2, 400, 980])


def of_flow(velocity: Any, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """eps from v at s = (t + 1/2) / 1000, written once more."""
    s = ((t + 0.5) / 1000)[:, None, None, None]
    x_s = x_t * ((1 - s) ** 2 + s**2).sqrt()
    found: torch.Tensor = x_s + (1 - s) * velocity(x_s, t + 0.5)
    return found


@pytest.mark.parametrize("zeros", [True, False])
def test_xl_with_guidance_gives_the_samples_of_its_pipeline(tmp_path: Path, zeros: bool) -> None:
    folder = folders.stable_diffusion_xl(tmp_path / "xl", zeros)
    model = ours(folder)
    plain = diffusers.StableDiffusionXLPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    rows = conditions(model, *CAPTIONS[:2])
    assert rows.shape == (2, 2 * folders.LENGTH)
    found = make_sampler(with_guidance(model, 5.0), SamplerSettings(steps=3), 5, conditions=Table(rows))(range(2))
    plain.scheduler = diffusers.DDIMScheduler.from_config(
        plain.scheduler.config, steps_offset=0, clip_sample=False, set_alpha_to_one=True, timestep_spacing="leading"
    )
    plain.set_progress_bar_config(disable=True)
    start = torch.stack([start_noise(5, i, LATENT)[0] for i in range(2)])
    expected = plain(
        list(CAPTIONS[:2]),
        latents=start,
        num_inference_steps=3,
        guidance_scale=5.0,
        output_type="pt",
        height=16,
        width=16,
    ).images
    torch.testing.assert_close((found + 1) / 2, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("with_t5", [True, False])
def test_sd3_predicts_what_its_transformer_does(tmp_path: Path, with_t5: bool) -> None:
    folder = folders.stable_diffusion_3(tmp_path / "sd3", with_t5)
    model, (x_t, t) = ours(folder), inputs()
    none: dict[str, Any] = {} if with_t5 else {"text_encoder_3": None, "tokenizer_3": None}
    plain = diffusers.StableDiffusion3Pipeline.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, **none
    )
    texts = list(TEXTS)
    with torch.no_grad():
        embedding, _, pooled, _ = plain.encode_prompt(
            texts, None, None, do_classifier_free_guidance=False, device="cpu",
            max_sequence_length=24 if with_t5 else 256,
        )  # fmt: skip

        def velocity(x_s: torch.Tensor, time: torch.Tensor) -> Any:
            return plain.transformer(x_s, embedding, pooled, time).sample

        expected = of_flow(velocity, x_t, t)
        found = model.predict_noise(x_t, t, conditions(model, *TEXTS))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert model.null is not None
    model.save(tmp_path / "copy")
    again = family(folder).load(tmp_path / "copy")
    with torch.no_grad():
        assert torch.equal(again.predict_noise(x_t, t, conditions(again, *TEXTS)), found)
    assert ("text_encoder_3: there is none, and its tokens are zeros" in family(folder).notes()) is not with_t5
    assert make_sampler(with_guidance(model, 4.0), SamplerSettings(steps=2), 1,
                        conditions=Table(conditions(model, *TEXTS)))(range(2)).shape == (2, *SHAPE)  # fmt: skip


@pytest.mark.parametrize("distilled", [True, False])
def test_flux_predicts_what_its_transformer_does_and_knows_no_null(tmp_path: Path, distilled: bool) -> None:
    folder = folders.flux(tmp_path / "flux", distilled)
    model, (x_t, t) = ours(folder, distilled_guidance=2.0), inputs()
    plain = diffusers.FluxPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    with torch.no_grad():
        embedding, pooled, ids = plain.encode_prompt(list(TEXTS), None, "cpu", max_sequence_length=24)
        places = plain._prepare_latent_image_ids(3, 4, 4, "cpu", torch.float32)
        guidance = torch.full((3,), 2.0) if distilled else None

        def velocity(x_s: torch.Tensor, time: torch.Tensor) -> Any:
            packed = plain._pack_latents(x_s, 3, 4, 8, 8)
            output = plain.transformer(
                packed, embedding, pooled, time / 1000, img_ids=places, txt_ids=ids, guidance=guidance
            ).sample
            return plain._unpack_latents(output, 8, 8, 1)

        expected = of_flow(velocity, x_t, t)
        found = model.predict_noise(x_t, t, conditions(model, *TEXTS))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert model.null is None
    assert not family(folder).has_null
    assert with_guidance(model, 7.5) is model


def test_networks_that_do_not_fit_their_text_encoders_are_refused(tmp_path: Path) -> None:
    folder = folders.stable_diffusion_xl(tmp_path / "xl")
    change(folder / "unet" / "config.json", projection_class_embeddings_input_dim=28)
    with pytest.raises(InputError, match="projection_class_embeddings_input_dim is 28, and the text encoders give 32"):
        family(folder).version()


def test_a_flow_must_have_the_scheduler_of_one(tmp_path: Path) -> None:
    folder = folders.flux(tmp_path / "flux")
    change(folder / "scheduler" / "scheduler_config.json", _class_name="EulerDiscreteScheduler")
    with pytest.raises(InputError, match="it must be FlowMatchEulerDiscreteScheduler"):
        family(folder).version()

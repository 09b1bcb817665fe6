"""External text-to-image pipelines give the predictions, latents and samples of plain diffusers."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from leakfront import models
from leakfront.errors import InputError
from leakfront.models.sampling import SamplerSettings, Table, make_sampler, start_noise, with_guidance
from tests.models import text_folders as folders
from tests.models.text_folders import CAPTIONS, LATENT, SHAPE, STEM, change


def family(folder: Path, **settings: Any) -> Any:
    return models.registry.get("text_pipeline")(path=str(folder), **settings)


def ours(folder: Path, **settings: Any) -> Any:
    found = family(folder, **settings)
    found.version()
    found.check(SHAPE)
    found.examine()
    return found.build(SHAPE, 1, 0)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.stable_diffusion(tmp_path_factory.mktemp("pipelines") / "sd")


@pytest.fixture(scope="module")
def model(given: Path) -> Any:
    return ours(given)


@pytest.fixture(scope="module")
def theirs(given: Path) -> Any:
    return diffusers.StableDiffusionPipeline.from_pretrained(given, use_safetensors=True, local_files_only=True)


def conditions(model: Any, *captions: str) -> torch.Tensor:
    return model.conditions(torch.zeros(len(captions), dtype=torch.long), captions)


def test_its_samples_with_guidance_are_those_of_diffusers_own_pipeline(model: Any, theirs: Any) -> None:
    """From the same latents, by the same DDIM steps; decoded by the same autoencoder."""
    settings, prompts = SamplerSettings(steps=4), CAPTIONS[:2]
    guided = with_guidance(model, 7.5)
    found = make_sampler(guided, settings, 5, conditions=Table(conditions(model, *prompts)))(range(2))
    theirs.scheduler = diffusers.DDIMScheduler.from_config(
        theirs.scheduler.config, steps_offset=0, clip_sample=False, set_alpha_to_one=True
    )
    theirs.set_progress_bar_config(disable=True)
    start = torch.stack([start_noise(5, i, LATENT)[0] for i in range(2)])
    expected = theirs(list(prompts), latents=start, num_inference_steps=4, guidance_scale=7.5, output_type="pt").images
    assert found.shape == (2, *SHAPE)
    torch.testing.assert_close((found + 1) / 2, expected, rtol=1e-4, atol=1e-4)


def test_latents_are_scaled_posterior_means_and_are_counted_apart(model: Any, theirs: Any) -> None:
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = model.autoencoder.encoded, model.autoencoder.decoded
    with torch.no_grad():
        expected = theirs.vae.encode(images).latent_dist.mean * 0.7
        decoded = theirs.vae.decode(expected / 0.7).sample
    found = model.encode(images)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(model.decode(found), decoded)
    assert (model.autoencoder.encoded - before[0], model.autoencoder.decoded - before[1]) == (3, 3)


def test_slices_and_a_shift_factor_change_no_latent(monkeypatch: pytest.MonkeyPatch) -> None:
    from leakfront.models.external.text import autoencoder

    torch.manual_seed(0)
    network = folders.vae(shift_factor=0.3).eval()
    whole, images = autoencoder.Autoencoder(network), torch.rand(5, *SHAPE) * 2 - 1
    latents = whole.encode(images)
    with torch.no_grad():
        torch.testing.assert_close(latents, (network.encode(images).latent_dist.mean - 0.3) * 0.7)
    monkeypatch.setattr(autoencoder, "SLICE", 2 * 16 * 16)
    torch.testing.assert_close(whole.encode(images), latents)
    torch.testing.assert_close(whole.decode(latents), network.decode(latents / 0.7 + 0.3).sample.detach())


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_it_predicts_the_noise_as_diffusers_does(tmp_path: Path, prediction: str) -> None:
    scheduler = diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", prediction_type=prediction)
    folder = folders.stable_diffusion(tmp_path / "sd", scheduler, use_linear_projection=True)
    model, plain = ours(folder), diffusers.StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    x_t, t = torch.randn(3, *LATENT), torch.tensor([2, 400, 999])
    given = conditions(model, CAPTIONS[0], "", CAPTIONS[1])
    levels = scheduler.alphas_cumprod[t][:, None, None, None]
    with torch.no_grad():
        embedding = torch.cat(
            [plain.encode_prompt(text, "cpu", 1, False)[0] for text in (CAPTIONS[0], "", CAPTIONS[1])]
        )
        expected = plain.unet(x_t, t, embedding).sample
        found = model.predict_noise(x_t, t, given)
    if prediction == "v_prediction":
        expected = levels.sqrt() * expected + (1 - levels).sqrt() * x_t
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(model.null, conditions(model, "")[0])
    torch.testing.assert_close(model.predict_noise(x_t[1:2], t[1:2]), found[1:2], rtol=1e-4, atol=1e-5)


def test_a_copy_in_a_runs_folder_is_the_same_model(given: Path, model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "copy")
    again = family(tmp_path / "nowhere").load(tmp_path / "copy")
    x_t, t, texts = torch.randn(2, *LATENT), torch.tensor([3, 500]), conditions(model, *CAPTIONS[:2])
    assert torch.equal(again.predict_noise(x_t, t, texts), model.predict_noise(x_t, t, texts))
    assert again.image_shape == SHAPE
    assert again.latent_shape == LATENT


@pytest.mark.parametrize("how", ["variant", "shards"])
def test_weights_of_every_form_are_read_and_kept(given: Path, model: Any, tmp_path: Path, how: str) -> None:
    folder = Path(shutil.copytree(given, tmp_path / "sd"))
    plain = diffusers.StableDiffusionPipeline.from_pretrained(given, local_files_only=True)
    for name in ("unet", "vae", "text_encoder"):
        (folder / name / ("model.safetensors" if name == "text_encoder" else f"{STEM}.safetensors")).unlink()
        network = getattr(plain, name)
        if how == "variant":
            network.half().save_pretrained(folder / name, variant="fp16", safe_serialization=True)
        else:
            network.save_pretrained(folder / name, max_shard_size="20KB", safe_serialization=True)
            assert len(list((folder / name).glob("*.safetensors"))) > 1
    found = ours(folder)
    found.save(tmp_path / "copy")
    x_t, t, texts = torch.randn(2, *LATENT), torch.tensor([3, 500]), conditions(model, *CAPTIONS[:2])
    expected = model.predict_noise(x_t, t, texts)
    again = family(folder).load(tmp_path / "copy").predict_noise(x_t, t, texts)
    assert torch.equal(again, found.predict_noise(x_t, t, texts))
    torch.testing.assert_close(again, expected, **({"rtol": 0.02, "atol": 0.01} if how == "variant" else {}))
    assert len(family(folder).notes()) == (5 if how == "variant" else 2)


def test_half_precision_and_offloading_give_the_same_up_to_rounding(given: Path, model: Any) -> None:
    half = ours(given, dtype="bfloat16", offload=True)
    assert half.network.denoiser.dtype == torch.bfloat16
    assert not any(name.startswith("encoders") for name, _ in half.network.named_parameters())
    x_t, t, texts = torch.randn(2, *LATENT), torch.tensor([3, 500]), conditions(model, *CAPTIONS[:2])
    found = half.predict_noise(x_t, t, texts)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, model.predict_noise(x_t, t, texts), rtol=0.1, atol=0.05)
    assert family(given, dtype="float16").weight_bytes < family(given).weight_bytes


def test_gradients_of_each_image_can_be_had(model: Any) -> None:
    from leakfront.attacks.queries.gradients import gradient_norms

    x_0, noise = torch.randn(2, *LATENT), torch.randn(1, *LATENT)
    found = gradient_norms(model, x_0, conditions(model, *CAPTIONS[:2]), noise, (100,), batch_size=2)
    assert all(values.isfinite().all() for values in found)
    assert all(name.startswith("denoiser.") for name in model.parameters())


def stub_of_a_tokenizer(folder: Path) -> None:
    change(folder / "tokenizer" / "tokenizer.json", model={"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]})


def sentencepiece_alone(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").rename(folder / "tokenizer" / "spiece.model")


def pickles(folder: Path) -> None:
    (folder / "vae" / f"{STEM}.safetensors").rename(folder / "vae" / f"{STEM}.bin")


def index(**values: Any) -> Any:
    return lambda folder: change(folder / "model_index.json", **values)


def config(name: str, **values: Any) -> Any:
    return lambda folder: change(folder / name / "config.json", **values)


REFUSED: dict[str, tuple[Any, str]] = {
    "a stub of a tokenizer": (stub_of_a_tokenizer, r"has 2 tokens and the text encoder in .* 585; it is a stub"),
    "sentencepiece alone": (sentencepiece_alone, r"no tokenizer\.json, .*; its spiece\.model is not read"),
    "pickles": (pickles, "weights are read from safetensors only"),
    "code of its own": (index(_class_name=["pipeline", "Evil"]), "no other code is run"),
    "another class": (index(_class_name="KandinskyPipeline"), "_class_name is 'KandinskyPipeline'; it must be"),
    "a refiner": (index(_class_name="StableDiffusionXLImg2ImgPipeline"), "SDXL's refiner changes finished images"),
    "a part of other code": (index(unet=["evil", "Evil"]), r"unet is \['evil', 'Evil'\]; it must be"),
    "inpainting": (config("unet", in_channels=9), r"in_channels is 9 \(9 are those of inpainting\)"),
    "an unknown key": (config("unet", evil=1), "has the key 'evil'"),
    "a class in the config": (config("text_encoder", architectures=["Evil"]), "is that of a 'Evil'; it must be a CLIP"),
    "other shapes": (
        config("unet", cross_attention_dim=4),
        r"config\.json: cross_attention_dim is 4, and the text encoders give 8",
    ),
    "no autoencoder": (index(vae=[None, None]), r"vae is \[None, None\]; it must be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_read_is_refused_in_one_sentence(given: Path, tmp_path: Path, case: str) -> None:
    tamper, says = REFUSED[case]
    folder = Path(shutil.copytree(given, tmp_path / "given"))
    tamper(folder)

    def read() -> None:
        found = family(folder)
        found.version()
        found.examine()

    with pytest.raises(InputError, match=says) as refusal:
        read()
    assert len(refusal.value.sentences) == 1


def test_captions_that_are_cut_are_counted(given: Path) -> None:
    """The encoder takes 16 tokens with begin and end; a letter that it has no pair for is a token."""
    start = "q w x " * 10
    notes = family(given).caption_notes(["a cat", "a cat", f"{start} one", f"{start} two"])
    assert notes == [
        "captions: 2 of 3 have more tokens than the 16 that the model's text encoder takes, and are cut, which leaves "
        "1 without a difference from another"
    ]
    assert family(given).caption_notes(["a cat"]) == []


def test_added_tokens_that_would_not_be_read_are_refused(given: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(given, tmp_path / "inverted"))
    (folder / "tokenizer" / "added_tokens.json").write_text('{"<|startoftext|>": 1}')
    family(folder).version()
    (folder / "tokenizer" / "added_tokens.json").write_text('{"<my-cat>": 99}')
    with pytest.raises(InputError, match=r"added_tokens\.json names '<my-cat>', which .* do not have"):
        family(folder).version()


def test_images_that_do_not_fit_are_refused(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"for images of 3 channels, .* 1; set data\.params\.mode = 'rgb'"):
        family(given).check((1, 16, 16))
    with pytest.raises(InputError, match=r"multiples of 4 .* 18x16 pixels; set data\.params\.size, to 16"):
        family(given).check((3, 18, 16))
    monkeypatch.setattr("leakfront.models.text_pipeline.memory", lambda: 1000)
    with pytest.raises(InputError, match=r"take 0\.0 GiB in float32, but this process may use"):
        family(given).check(SHAPE)


def test_what_is_no_folder_is_refused_with_what_makes_one_of_it(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    for name in ("pipeline", "text_pipeline"):
        with pytest.raises(InputError, match=r"is a single file; write it as a folder .* from_single_file"):
            models.registry.get(name)(path=str(tmp_path / "model.safetensors")).version()
        with pytest.raises(InputError, match=r"does not exist; .* hf download ID --local-dir DIR"):
            models.registry.get(name)(path="someone/stable-diffusion").version()


def test_keys_depend_on_contents_and_precision(given: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(given, tmp_path / "moved"))
    assert family(moved).version() == family(given).version()
    assert family(given, dtype="float16").version() != family(given).version()
    change(moved / "scheduler" / "scheduler_config.json", beta_end=0.013)
    assert family(moved).version() != family(given).version()
    assert dataclasses.asdict(family(given))["path"] == str(given)

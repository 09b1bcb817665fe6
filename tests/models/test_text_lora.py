"""A LoRA or a full fine-tune of a text-to-image pipeline: as diffusers computes it, and with its base beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from leakfront.errors import InputError
from leakfront.models.external.text.lora import KOHYA, LoraFile
from leakfront.models.external.text.stability_names import in_diffusers_names
from tests.models import text_folders as folders
from tests.models.test_text_pipeline import conditions, family, ours
from tests.models.text_folders import CAPTIONS, LATENT, SHAPE, change

UNET = ("to_q", "to_k", "to_v", "to_out.0")
FILE = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.stable_diffusion(tmp_path_factory.mktemp("pipelines") / "sd")


@pytest.fixture(scope="module")
def plain(given: Path) -> torch.Tensor:
    """Predictions of the pipeline without adapters."""
    return predictions(ours(given))


@pytest.fixture(scope="module")
def adapted(given: Path) -> Any:
    """diffusers' pipeline with trained adapters of rank 2 and alpha 5 on the UNet and on the text encoder."""
    from peft import LoraConfig

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(given, local_files_only=True)
    torch.manual_seed(1)
    pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=5, init_lora_weights="gaussian", target_modules=list(UNET)))
    pipeline.text_encoder.add_adapter(LoraConfig(r=2, lora_alpha=5, target_modules=["q_proj", "v_proj"]))
    for network in (pipeline.unet, pipeline.text_encoder):
        for name, weight in network.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(weight, std=0.3)
    return pipeline


def written(adapted: Any, folder: Path, metadata: bool = True) -> Path:
    """The file as diffusers' training scripts write it; alpha stands in its metadata alone."""
    from diffusers.training_utils import _collate_lora_metadata
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    stated = _collate_lora_metadata({"unet": adapted.unet, "text_encoder": adapted.text_encoder}) if metadata else {}
    diffusers.StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(adapted.unet)),
        text_encoder_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(adapted.text_encoder)),
        **stated,
    )
    return folder / FILE


def as_kohya(source: Path, target: Path) -> Path:
    """The same adapters with the keys of kohya's scripts."""
    tensors = {}
    for key, value in load_file(source).items():
        part, _, rest = key.partition(".")
        layer, _, factor = rest.rpartition(".lora")
        kind = "lora_down" if factor.startswith(("_A", ".down", "_linear_layer.down")) else "lora_up"
        layer = layer if part == "unet" or layer.startswith("text_model") else f"text_model.{layer}"
        name = f"{'lora_unet' if part == 'unet' else 'lora_te'}_{layer.replace('.', '_')}"
        tensors |= {f"{name}.{kind}.weight": value.half(), f"{name}.alpha": torch.tensor(5.0)}
    save_file(tensors, target, metadata={"ss_network_dim": "2"})
    return target


def predictions(model: Any) -> torch.Tensor:
    x_t, t = torch.randn(2, *LATENT, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 500])
    found: torch.Tensor = model.predict_noise(x_t, t, conditions(model, *CAPTIONS[:2])).detach()
    return found


def of_diffusers(pipeline: Any) -> torch.Tensor:
    x_t, t = torch.randn(2, *LATENT, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 500])
    with torch.no_grad():
        found: torch.Tensor = pipeline.unet(
            x_t, t, pipeline.encode_prompt(list(CAPTIONS[:2]), "cpu", 1, False)[0]
        ).sample
    return found


def test_a_lora_of_diffusers_is_computed_as_diffusers_does_and_its_base_is_the_pipeline(
    given: Path, plain: torch.Tensor, adapted: Any, tmp_path: Path
) -> None:
    model = ours(given, lora=str(written(adapted, tmp_path / "lora")))
    torch.testing.assert_close(predictions(model), of_diffusers(adapted), rtol=1e-4, atol=1e-5)
    assert (predictions(model) - plain).abs().max() > 0.01
    assert torch.equal(predictions(model.base), plain)  # bit for bit
    assert torch.equal(
        model.base.embed(conditions(model, CAPTIONS[0])), ours(given).embed(conditions(model, CAPTIONS[0]))
    )
    assert all(".lora_" in name for name in model.parameters())
    notes = family(given, lora=str(tmp_path / "lora" / FILE)).notes()
    assert any("on 36 layers of text_encoder and unet" in note for note in notes), notes
    assert not any("alpha" in note for note in notes)
    model.save(tmp_path / "copy")
    again = family(given, lora=str(tmp_path / "lora" / FILE)).load(tmp_path / "copy")
    assert torch.equal(predictions(again), predictions(model))
    assert torch.equal(predictions(again.base), plain)


def test_an_offloaded_text_encoder_has_its_adapters_on_and_off(
    given: Path, plain: torch.Tensor, adapted: Any, tmp_path: Path
) -> None:
    model = ours(given, lora=str(written(adapted, tmp_path)), offload=True)
    torch.testing.assert_close(predictions(model), of_diffusers(adapted), rtol=1e-4, atol=1e-5)
    assert torch.equal(predictions(model.base), plain)


def test_keys_of_kohyas_scripts_are_the_same_adapters(given: Path, adapted: Any, tmp_path: Path) -> None:
    file = as_kohya(written(adapted, tmp_path), tmp_path / "mine.safetensors")
    assert any(name.startswith("lora_te_text_model_encoder") for name in load_file(file))
    found = predictions(ours(given, lora=str(file)))
    torch.testing.assert_close(found, of_diffusers(adapted), rtol=1e-2, atol=1e-2)  # written in half precision
    assert family(given, lora=str(file)).label.endswith("-mine")


def test_names_of_stabilitys_code_are_those_that_diffusers_makes_of_them(tmp_path: Path) -> None:
    folder = folders.stable_diffusion_xl(tmp_path / "xl")
    plain = diffusers.StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)
    inner = "transformer_blocks.0"
    named = {
        "input_blocks_1_1_transformer_blocks_0_attn1_to_q": f"down_blocks.0.attentions.0.{inner}.attn1.to_q",
        "input_blocks_1_1_proj_in": "down_blocks.0.attentions.0.proj_in",
        "middle_block_1_transformer_blocks_0_attn2_to_k": f"mid_block.attentions.0.{inner}.attn2.to_k",
        "output_blocks_3_1_transformer_blocks_0_ff_net_2": f"up_blocks.1.attentions.1.{inner}.ff.net.2",
        "output_blocks_2_1_proj_out": "up_blocks.1.attentions.0.proj_out",
        "input_blocks_3_0_in_layers_2": "down_blocks.1.resnets.0.conv1",
        "input_blocks_2_0_op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks_0_0": "conv_in",
    }
    tensors, layers = {}, dict(plain.unet.named_modules())
    generator = torch.Generator().manual_seed(0)
    for name, layer in named.items():
        out, into = layers[layer].weight.shape[:2]
        size = layers[layer].weight.shape[2:]
        tensors |= {
            f"lora_unet_{name}.lora_down.weight": torch.randn(2, into, *size, generator=generator) * 0.3,
            f"lora_unet_{name}.lora_up.weight": torch.randn(out, 2, *(1 for _ in size), generator=generator) * 0.3,
            f"lora_unet_{name}.alpha": torch.tensor(2.0),
        }
    save_file(tensors, tmp_path / "sgm.safetensors")
    assert set(LoraFile(tmp_path / "sgm.safetensors").adapters({"unet": plain.unet})["unet"]) == set(named.values())
    plain.load_lora_weights(tmp_path / "sgm.safetensors")
    x_t, t = torch.randn(2, *LATENT, generator=generator), torch.tensor([3, 500])
    with torch.no_grad():
        model = ours(folder, lora=str(tmp_path / "sgm.safetensors"))
        found = model.predict_noise(x_t, t, conditions(model, *CAPTIONS[:2]))
        embedding, _, pooled, _ = plain.encode_prompt(
            list(CAPTIONS[:2]), device="cpu", do_classifier_free_guidance=False
        )
        ids = torch.tensor([[16.0, 16, 0, 0, 16, 16]] * 2)
        expected = plain.unet(
            x_t, t, embedding, added_cond_kwargs={"text_embeds": pooled, "time_ids": ids}
        ).sample  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert in_diffusers_names("output_blocks_2_2_conv", 2) == "up_blocks_0_upsamplers_0_conv"
    assert in_diffusers_names("output_blocks_8_0_skip_connection", 2) == "up_blocks_2_resnets_2_conv_shortcut"
    assert in_diffusers_names("label_emb_0_2", 2) == "add_embedding_linear_2"


def test_alpha_that_is_not_stated_is_the_rank_and_this_is_said(given: Path, adapted: Any, tmp_path: Path) -> None:
    file = written(adapted, tmp_path / "bare", metadata=False)
    stated = written(adapted, tmp_path / "stated")
    notes = family(given, lora=str(file)).notes()
    assert any("does not state alpha for 36 of them; it is taken as the rank" in note for note in notes)
    weaker = predictions(ours(given, lora=str(file)))
    assert not torch.allclose(weaker, predictions(ours(given, lora=str(stated))), atol=1e-3)


def other_layer(tensors: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("down_blocks.0", "down_blocks.7"): value for key, value in tensors.items()}


def other_size(tensors: dict[str, Any]) -> dict[str, Any]:
    return {key: torch.zeros(2, 3) if "lora_A" in key or "down" in key else value for key, value in tensors.items()}


def half_missing(tensors: dict[str, Any]) -> dict[str, Any]:
    return dict(list(tensors.items())[1:])


def other_part(tensors: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("unet.", "transformer."): value for key, value in tensors.items()}


def unknown(tensors: dict[str, Any]) -> dict[str, Any]:
    return {**tensors, "unet.conv_in.dora_scale": torch.zeros(1)}


def of_stability(tensors: dict[str, Any]) -> dict[str, Any]:
    return {"lora_unet_input_blocks_7_1_proj_in.alpha": torch.tensor(1.0)}


def of_kohya(tensors: dict[str, Any]) -> dict[str, Any]:
    return {"lora_unet_down_blocks_7_proj_in.alpha": torch.tensor(1.0)}


@pytest.mark.parametrize(
    ("change_tensors", "says"),
    [
        (other_layer, r"is for another model: .* no linear layer or convolution there"),
        (other_size, "is for another model: the adapter of"),
        (half_missing, "without its factor"),
        (other_part, "has adapters of transformer, which this pipeline does not have"),
        (unknown, "'unet.conv_in.dora_scale', which is no adapter"),
        (of_stability, "its 'lora_unet_input_blocks_7_1_proj_in.alpha' fits no layer"),
        (of_kohya, "its 'lora_unet_down_blocks_7_proj_in.alpha' fits no layer"),
    ],
)
def test_a_lora_that_does_not_fit_is_refused_in_a_sentence(
    given: Path, adapted: Any, tmp_path: Path, change_tensors: Any, says: str
) -> None:
    tensors = load_file(written(adapted, tmp_path, metadata=False))
    save_file({key: value.contiguous() for key, value in change_tensors(tensors).items()}, tmp_path / "bad.safetensors")
    with pytest.raises(InputError, match=says) as refusal:
        family(given, lora=str(tmp_path / "bad.safetensors")).examine()
    assert len(refusal.value.sentences) == 1
    assert "bad.safetensors" in str(refusal.value)


def test_what_is_no_file_of_safetensors_is_refused(given: Path, tmp_path: Path) -> None:
    (tmp_path / "lora.bin").write_bytes(b"0")
    (tmp_path / "lora.safetensors").write_bytes(b"0" * 100)
    for name, says in (("lora.bin", "other formats can run code"), ("lora.safetensors", "cannot be read as adapters"),
                       ("nowhere.safetensors", "does not exist")):  # fmt: skip
        with pytest.raises(InputError, match=says):
            family(given, lora=str(tmp_path / name)).examine()
    with pytest.raises(InputError, match=r"model\.lora and model\.base are both set"):
        family(given, lora="a", base="b")
    assert set(KOHYA) >= {"lora_unet_", "lora_te_"}


def test_a_full_fine_tune_has_the_other_folder_as_its_base(given: Path, plain: torch.Tensor, tmp_path: Path) -> None:
    tuned = folders.stable_diffusion(tmp_path / "tuned", seed=4)
    model = ours(tuned, base=str(given))
    assert torch.equal(predictions(model.base), plain)
    assert torch.equal(predictions(model), predictions(ours(tuned)))
    images = torch.rand(1, *SHAPE)
    assert torch.equal(model.base.encode(images), model.encode(images))
    assert family(tuned, base=str(given)).weight_bytes > family(tuned).weight_bytes
    model.save(tmp_path / "copy")
    again = family(tuned, base=str(given)).load(tmp_path / "copy")
    assert torch.equal(predictions(again.base), predictions(model.base))


def test_adapters_of_the_second_text_encoder_of_xl(tmp_path: Path) -> None:
    """By diffusers' keys and by kohya's, where the two encoders are te1 and te2."""
    folder = folders.stable_diffusion_xl(tmp_path / "xl")
    layer, g = "encoder.layers.0.self_attn.q_proj", torch.Generator().manual_seed(0)
    down, up = torch.randn(2, 8, generator=g), torch.randn(8, 2, generator=g)
    both = {f"text_encoder{n}.text_model.{layer}": (down * s, up.clone()) for n, s in (("", 1), ("_2", 3))}
    save_file(
        {f"{name}.lora_{f}.weight": one for name, pair in both.items() for f, one in zip("AB", pair, strict=True)},
        tmp_path / "a.safetensors",
    )
    flat = f"text_model.{layer}".replace(".", "_")
    save_file(
        {f"lora_te{n}_{flat}.lora_{f}.weight": one for n, s in ((1, 1), (2, 3))
         for f, one in (("down", down * s), ("up", up.clone()))},
        tmp_path / "b.safetensors",
    )  # fmt: skip
    first, again = (ours(folder, lora=str(tmp_path / name)) for name in ("a.safetensors", "b.safetensors"))
    assert torch.equal(predictions(first), predictions(again))
    assert torch.equal(predictions(first.base), predictions(ours(folder)))
    for number, scale in enumerate((1, 3)):
        weight = first.network.encoders[number].get_submodule(
            layer if number == 0 and not hasattr(first.network.encoders[0], "text_model") else f"text_model.{layer}"
        )
        torch.testing.assert_close(weight.lora_A["default"].weight.detach(), down * scale)


def other_levels(folder: Path) -> None:
    change(folder / "scheduler" / "scheduler_config.json", beta_end=0.013)


def other_tokens(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    whole = json.loads(path.read_text())
    vocabulary = whole["model"]["vocab"]
    (a, one), (b, two), *_ = vocabulary.items()
    whole["model"]["vocab"] = {**vocabulary, a: two, b: one}
    path.write_text(json.dumps(whole))


@pytest.mark.parametrize(("tamper", "says"), [(other_levels, "different noise levels"), (other_tokens, "tokenizers")])
def test_a_base_that_cannot_be_compared_with_is_refused(given: Path, tmp_path: Path, tamper: Any, says: str) -> None:
    base = folders.stable_diffusion(tmp_path / "base")
    tamper(base)
    with pytest.raises(InputError, match=says):
        family(given, base=str(base)).examine()

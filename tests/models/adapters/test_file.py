"""The file of adapters: what diffusers reads, what diffusers wrote, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from leakfront.errors import InputError
from leakfront.models.adapters.file import FILE, METADATA, read_adapters, write_adapters
from leakfront.models.adapters.layers import Adapter, adapted_layers, adapters_of, put_adapters
from leakfront.models.text.model import silent
from tests.models.adapters.small import adapted_network, base_network, model_of, output

LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
OF_TEXT = "text_encoder.encoder.layers.0.self_attn.q_proj"


def equal(found: dict[str, Adapter], wanted: dict[str, Adapter]) -> bool:
    return set(found) == set(wanted) and all(
        torch.equal(found[name].down, one.down) and torch.equal(found[name].up, one.up)
        and found[name].alpha == one.alpha
        for name, one in wanted.items()
    )  # fmt: skip


def pipeline_of(network: Any, folder: Path) -> Any:
    """The network as plain diffusers loads it."""
    from diffusers import StableDiffusionPipeline

    model_of(network).save(folder)
    with silent():
        return StableDiffusionPipeline.from_pretrained(folder, vae=None, local_files_only=True)


def outputs_of(pipeline: Any) -> torch.Tensor:
    from leakfront.models.text.network import TextUNet

    return output(TextUNet(pipeline.text_encoder, pipeline.unet))


def write(folder: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any] | None = None) -> Path:
    texts = {METADATA: json.dumps(metadata)} if metadata is not None else None
    save_file(tensors, folder / FILE, metadata=texts)
    return folder / FILE


def pair(name: str, down: str = ".lora_A.weight", up: str = ".lora_B.weight") -> dict[str, torch.Tensor]:
    return {f"{name}{down}": torch.arange(16.0).reshape(2, 8), f"{name}{up}": torch.ones(8, 2)}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    wanted = adapters_of(adapted_network())
    wanted[LAYER] = replace(wanted[LAYER], alpha=5.0)
    wanted[OF_TEXT] = Adapter(torch.randn(1, 8), torch.randn(8, 1), 0.5)
    write_adapters(wanted, tmp_path)
    assert equal(read_adapters(tmp_path / FILE), wanted)


def test_diffusers_computes_the_same_from_the_file(tmp_path: Path) -> None:
    network, adapters = base_network(), adapters_of(adapted_network())
    adapters[LAYER] = replace(adapters[LAYER], alpha=7.0)
    adapters[OF_TEXT] = Adapter(torch.randn(1, 8), torch.randn(8, 1), 3.0)
    write_adapters(adapters, tmp_path)
    pipeline = pipeline_of(network, tmp_path / "base")
    assert torch.equal(outputs_of(pipeline), output(network))
    with silent():
        pipeline.load_lora_weights(tmp_path, weight_name=FILE)
    put_adapters(network, adapters)
    torch.testing.assert_close(outputs_of(pipeline), output(network), rtol=0, atol=1e-6)


def test_a_file_of_diffusers_own_is_read(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = pipeline_of(base_network(), tmp_path / "base")  # as its script for training adapters does
    config = LoraConfig(r=2, lora_alpha=6, init_lora_weights="gaussian", target_modules=["to_q", "to_out.0"])
    pipeline.unet.add_adapter(config)
    for layer in adapted_layers(pipeline.unet).values():
        torch.nn.init.normal_(layer.lora_B["default"].weight)
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
    network = base_network()
    for metadata, alpha in ((config.to_dict(), 6.0), (None, None)):
        StableDiffusionPipeline.save_lora_weights(
            tmp_path, unet_lora_layers=layers, unet_lora_adapter_metadata=metadata
        )
        found = read_adapters(tmp_path / FILE)
        assert {one.alpha for one in found.values()} == {alpha}
        assert len(found) == 16
        if metadata is not None:
            put_adapters(network, found)
            torch.testing.assert_close(output(network), outputs_of(pipeline), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "down", "up"),
    [
        (LAYER, ".lora.down.weight", ".lora.up.weight"),
        (OF_TEXT.replace("encoder.layers", "text_model.encoder.layers", 1), ".lora_linear_layer.down.weight",
         ".lora_linear_layer.up.weight"),
    ],
)  # fmt: skip
def test_former_spellings_are_read(tmp_path: Path, name: str, down: str, up: str) -> None:
    tensors = {**pair(name, down, up), f"{name}.alpha": torch.tensor(4.0)}
    ((layer, found),) = read_adapters(write(tmp_path, tensors)).items()
    assert layer == name.replace("text_model.", "")
    assert (found.rank, found.alpha) == (2, 4.0)
    assert torch.equal(found.down, torch.arange(16.0).reshape(2, 8))


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    halves = {key: value.half() for key, value in pair(LAYER).items()}
    assert read_adapters(write(tmp_path, halves))[LAYER].up.dtype == torch.float32


@pytest.mark.parametrize(
    ("tensors", "metadata", "says"),
    [
        ({}, None, "holds no adapters"),
        ({"unet.conv_in.weight": torch.ones(1)}, None, r"tensor 'unet\.conv_in\.weight', which is no adapter"),
        (pair("vae.layer"), None, r"tensor 'vae\.layer\.lora_A\.weight', which is no adapter"),
        ({f"{LAYER}.lora_A.weight": torch.ones(2, 8)}, None, "without its factor B"),
        ({**pair(LAYER), f"{LAYER}.lora.up.weight": torch.ones(8, 2)}, None, "twice, in another spelling"),
        ({**pair(LAYER), f"{LAYER}.alpha": torch.ones(2)}, None, "an alpha of .* that is no single number"),
        (pair(LAYER), {"unet.lora_alpha": -1}, "states alpha -1 for .*; it must be a number above 0"),
        (pair(LAYER), {"unet.lora_alpha": "8"}, "states alpha '8'"),
        (pair(LAYER), {"unet.use_dora": True}, r"in the form DoRA \(use_dora\), which is not known here"),
        (pair(LAYER), [1], "its lora_adapter_metadata is no table"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, tensors: Any, metadata: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_adapters(write(tmp_path, tensors, metadata))


def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(InputError, match="cannot be read as adapters in safetensors"):
        read_adapters(tmp_path / FILE)
    with pytest.raises(InputError, match="cannot be read as adapters in safetensors"):
        read_adapters(tmp_path / "missing")


def test_the_keys_are_those_of_diffusers(tmp_path: Path) -> None:
    write_adapters(adapters_of(adapted_network()), tmp_path)
    assert f"{LAYER}.lora_A.weight" in load_file(tmp_path / FILE)
    assert all(key.startswith("unet.") for key in load_file(tmp_path / FILE))

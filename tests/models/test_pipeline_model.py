"""An external model is the one that diffusers loads, and a folder of any other kind is refused with one sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from leakfront import models
from leakfront.errors import InputError
from leakfront.models.unet import UNet
from tests.test_security import Bomb, asked, change

__all__ = ["asked"]  # a fixture
SHAPE = (1, 8, 8)
CONFIG, PROCESS = "unet/config.json", "scheduler/scheduler_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline as diffusers saves it, with attention in two blocks."""
    folder = tmp_path_factory.mktemp("model") / "whole"
    UNet(channels=(8, 16), head_channels=8, attention=(1,), schedule="linear").build(SHAPE, 1, 3).save(folder)
    return folder


@pytest.fixture
def external(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "external")
    return tmp_path / "external"


def pipeline(folder: Path) -> Any:
    return models.registry.get("pipeline")(path=str(folder))


def predictions(model: Any) -> torch.Tensor:
    x, t = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 50, 500, 999])
    with torch.no_grad():
        found: torch.Tensor = model.predict_noise(x, t)
    return found


def test_it_predicts_what_diffusers_own_pipeline_does(saved: Path) -> None:
    from diffusers import DDPMPipeline

    theirs = DDPMPipeline.from_pretrained(saved, use_safetensors=True, local_files_only=True)
    ours = pipeline(saved).build(SHAPE, 1, 0)
    x, t = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 50, 500, 999])
    with torch.no_grad():
        torch.testing.assert_close(ours.predict_noise(x, t), theirs.unet(x, t).sample, rtol=0, atol=0)
    torch.testing.assert_close(ours.alphas_cumprod, theirs.scheduler.alphas_cumprod, rtol=0, atol=0)


def test_attention_weights_with_their_names_before_2023_give_the_same_model(saved: Path, external: Path) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors, renamed = load_file(external / WEIGHTS), {}
    for name, tensor in tensors.items():
        for new, before in old.items():
            name = name.replace(f".{new}.", f".{before}.") if ".attentions." in name else name
        renamed[name] = tensor
    assert len(set(tensors) - set(renamed)) >= 16
    save_file(renamed, external / WEIGHTS)
    expected = predictions(pipeline(saved).build(SHAPE, 1, 0))
    torch.testing.assert_close(predictions(pipeline(external).build(SHAPE, 1, 0)), expected, rtol=0, atol=0)


def test_half_precision_weights_and_other_schedulers_are_read(saved: Path, external: Path) -> None:
    save_file({k: v.half() for k, v in load_file(external / WEIGHTS).items()}, external / WEIGHTS)
    change(external / PROCESS, _class_name="DDIMScheduler", set_alpha_to_one=True)
    change(external / CONFIG, sample_size=8)
    (external / "model_index.json").unlink()
    expected = predictions(pipeline(saved).build(SHAPE, 1, 0))
    torch.testing.assert_close(predictions(pipeline(external).build(SHAPE, 1, 0)), expected, rtol=0.05, atol=0.01)


def test_its_key_follows_the_files_and_not_the_path(saved: Path, external: Path) -> None:
    assert pipeline(saved).version() == pipeline(external).version()
    save_file({k: v + 1e-3 for k, v in load_file(external / WEIGHTS).items()}, external / WEIGHTS)
    assert pipeline(saved).version() != pipeline(external).version()


def test_the_copy_in_a_run_is_the_same_model(saved: Path, tmp_path: Path) -> None:
    model = pipeline(saved).build(SHAPE, 1, 0)
    model.fit(torch.zeros(2, *SHAPE))  # a run calls this in place of training
    model.save(tmp_path / "copy")
    again = pipeline(saved).load(tmp_path / "copy")
    torch.testing.assert_close(predictions(again), predictions(model), rtol=0, atol=0)


def test_images_of_another_size_or_colour_are_refused_with_the_size_that_fits(saved: Path) -> None:
    with pytest.raises(InputError, match=r"is for 8x8 images with 1 channel \(grey\), but the images have 28x28 .* 3"):
        pipeline(saved).check((3, 28, 28))
    pipeline(saved).check(SHAPE)


Tamper = Callable[[Path, Path], object]


def pickle_for_weights(folder: Path, made: Path) -> None:
    (folder / WEIGHTS).unlink()
    for name in ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.pt"):
        (folder / "unet" / name).write_bytes(pickle.dumps(Bomb(made)))


def index_of_shards(folder: Path, made: Path) -> None:
    (folder / WEIGHTS).rename(folder / "unet" / "one.safetensors")
    index = {"metadata": {}, "weight_map": {"conv_in.weight": "../../one.safetensors"}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def truncated(folder: Path, made: Path) -> None:
    os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size - 100)


def lying_header(folder: Path, made: Path) -> None:
    header = json.dumps({"conv_in.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)


def not_finite(folder: Path, made: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["conv_in.bias"][0] = torch.nan
    save_file(tensors, folder / WEIGHTS)


def one_tensor_less(folder: Path, made: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["conv_in.bias"]
    save_file(tensors, folder / WEIGHTS)


def whole_numbers(folder: Path, made: Path) -> None:
    save_file({k: v.long() for k, v in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS)


def link_out(name: str) -> Tamper:
    def tamper(folder: Path, made: Path) -> None:
        outside = folder.parent / "outside"
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return tamper


def loop_of_links(folder: Path, made: Path) -> None:
    (folder / CONFIG).unlink()
    (folder / CONFIG).symlink_to(folder / CONFIG)


def code(folder: Path, made: Path) -> None:
    for place in (folder, folder / "unet", folder / "scheduler"):
        (place / "evil.py").write_text(f"import os\nos.mkdir({str(made)!r})\nclass Evil: pass\n")


def with_code(name: str, **values: Any) -> Tamper:
    def tamper(folder: Path, made: Path) -> None:
        code(folder, made)
        change(folder / name, **values)

    return tamper


def setting(name: str, **values: Any) -> Tamper:
    return lambda folder, made: change(folder / name, **values)


def text(name: str, written: str) -> Tamper:
    return lambda folder, made: (folder / name).write_text(written)


REFUSED: dict[str, tuple[Tamper, str]] = {
    "pickle": (pickle_for_weights, r"no file .*\.safetensors; it has .*\.bin.*weights are read from safetensors only"),
    "pickle called safetensors": (
        lambda folder, made: (folder / WEIGHTS).write_bytes(pickle.dumps(Bomb(made))), "cannot be read as safetensors"),
    "shards elsewhere": (index_of_shards, "weight_map names .*; it must be a safetensors file in the same folder"),
    "truncated": (truncated, "cannot be read as safetensors"),
    "lying header": (lying_header, "cannot be read as safetensors"),
    "empty weights": (lambda folder, made: (folder / WEIGHTS).write_bytes(b""), "cannot be read as safetensors"),
    "not finite": (not_finite, "not finite in float32, in conv_in.bias"),
    "one tensor less": (one_tensor_less, "conv_in.bias is missing in the file and 8 in the network"),
    "whole numbers": (whole_numbers, "is of type I64; it must be a float of 16, 32 or 64 bits"),
    "weights are a link": (link_out(WEIGHTS), "leads out of the folder"),
    "config is a link": (link_out(CONFIG), "leads out of the folder"),
    "unet is a link": (link_out("unet"), "leads out of the folder"),
    "index is a link": (link_out("model_index.json"), "leads out of the folder"),
    "loop": (loop_of_links, CONFIG),
    "pipe": (lambda folder, made: ((folder / CONFIG).unlink(), os.mkfifo(folder / CONFIG)),
        f"{CONFIG} is no regular file"),
    "custom pipeline": (with_code("model_index.json", _class_name=["evil", "Evil"]), "_class_name is .*'Evil'"),
    "custom_pipeline": (with_code("model_index.json", custom_pipeline="evil"), "has the key 'custom_pipeline'"),
    "component from elsewhere": (with_code("model_index.json", unet=["evil", "Evil"]), "model_index.json: unet"),
    "another component": (with_code("model_index.json", vae=["evil", "Evil"]), "has the key 'vae'"),
    "scheduler from elsewhere": (with_code("model_index.json", scheduler=["diffusers", "Evil"]),
        r"scheduler is \['diffusers', 'Evil'\]; it must be of diffusers, one of DDPM"),
    "auto_map": (with_code(CONFIG, auto_map={"AutoModel": "evil.Evil"}), "has the key 'auto_map'"),
    "auto_map of the scheduler": (with_code(PROCESS, auto_map={"A": "evil.Evil"}), "has the key 'auto_map'"),
    "class of the unet": (with_code(CONFIG, _class_name="Evil"), "_class_name is 'Evil'; it must be UNet2DModel"),
    "class of the scheduler": (with_code(PROCESS, _class_name="evil.Evil"), "_class_name is 'evil.Evil'"),
    "other architecture": (setting(CONFIG, _class_name="UNet2DConditionModel"), "must be UNet2DModel"),
    "wide": (setting(CONFIG, block_out_channels=[8, 10**9]),
        r"block_out_channels is \[8, 1000000000\]; it must be .* 1 … 16384"),
    "wide within limits": (setting(CONFIG, block_out_channels=[8, 16384]), "does not fit .* tensors differ"),
    "many layers": (setting(CONFIG, layers_per_block=10**9), "layers_per_block is 1000000000; it must lie in 1 … 64"),
    "many levels": (setting(CONFIG, block_out_channels=[8] * 10**4),
        "block_out_channels is .*; it must be a list of 1 to 16 whole numbers"),
    "large images": (setting(CONFIG, sample_size=10**9), "sample_size is 1000000000; it must lie in 1 … 4096"),
    "many channels": (setting(CONFIG, in_channels=10**9), "in_channels is 1000000000; it must be 1 or 3"),
    "many classes": (setting(CONFIG, num_class_embeds=10**9),
        "num_class_embeds is 1000000000; it must lie in 1 … 100000"),
    "many timesteps": (setting(PROCESS, num_train_timesteps=10**9),
        "num_train_timesteps is 1000000000; it must lie in 1 … 100000"),
    "no betas": (setting(PROCESS, trained_betas=[0.5]), "trained_betas has 1 values, and num_train_timesteps is 1000"),
    "beta of 2": (setting(PROCESS, beta_end=2.0), "beta_end is 2.0; it must lie between 0 and 1"),
    "schedule": (setting(PROCESS, beta_schedule="evil"),
        "beta_schedule is 'evil'; it must be 'linear', 'scaled_linear'"),
    "flow": (setting(PROCESS, prediction_type="flow_prediction"),
        "prediction_type is 'flow_prediction'; it must be 'epsilon'"),
    "channels": (setting(CONFIG, in_channels=1, out_channels=3),
        "out_channels must be 1, or 2 with a learned variance"),
    "groups": (setting(CONFIG, norm_num_groups=7), "cannot be built as a UNet2DModel"),
    "blocks": (setting(CONFIG, down_block_types=["Evil", "DownBlock2D"]), "cannot be built as a UNet2DModel"),
    "a word for a number": (setting(CONFIG, layers_per_block="1"),
        "layers_per_block is '1'; it must be a whole number"),
    "unknown key": (setting(CONFIG, evil=1), "has the key 'evil'"),
    "no JSON": (text(CONFIG, "{"), "cannot be read as JSON"),
    "deep JSON": (text(PROCESS, "[" * 10**5), "cannot be read as JSON"),
    "list": (text(PROCESS, "[]"), "must hold a JSON object"),
    "not a number": (text(PROCESS, '{"_class_name": "DDPMScheduler", "beta_end": NaN}'), PROCESS),
    "huge JSON": (text(CONFIG, " " * 5 * 2**20), "larger than 4 MiB"),
    "no config": (lambda folder, made: (folder / CONFIG).unlink(), "unet/config.json does not exist"),
    "no scheduler": (lambda folder, made: shutil.rmtree(folder / "scheduler"),
        f"no file .*{PROCESS}, which states the noise levels"),
    "nothing": (lambda folder, made: shutil.rmtree(folder), "does not exist"),
}  # fmt: skip


def taken(folder: Path) -> Any:
    """The model, read in the same steps as in a run."""
    model = pipeline(folder)
    model.version()
    model.check(SHAPE)
    model.examine()
    return model.build(SHAPE, 1, 0)


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_is_no_such_model_is_refused_and_nothing_in_it_runs(
    external: Path, asked: list[Any], case: str
) -> None:
    tamper, says = REFUSED[case]
    tamper(external, external.parent / "made")
    before = sorted(external.parent.rglob("*"))
    with pytest.raises(InputError, match=says) as refusal:
        taken(external)
    assert len(str(refusal.value)) < 600
    assert "\n" not in str(refusal.value)
    assert "external" in str(refusal.value)
    assert sorted(external.parent.rglob("*")) == before
    assert asked == []


def test_other_files_in_the_folder_are_not_opened(saved: Path, external: Path, asked: list[Any]) -> None:
    code(external, external.parent / "made")
    (external / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb(external.parent / "made")))
    expected = predictions(pipeline(saved).build(SHAPE, 1, 0))
    torch.testing.assert_close(predictions(pipeline(external).build(SHAPE, 1, 0)), expected, rtol=0, atol=0)
    assert not (external.parent / "made").exists()
    assert asked == []

"""DINOv2 features of a tiny model with random weights: against transformers, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import EXTRACTOR, REFERENCE
from leakfront.harness.stages.extractor import reference_set
from leakfront.harness.stages.reference import reference_rows
from leakfront.harness.stages.stage import Work, perform
from leakfront.harness.store.layout import Layout
from leakfront.results.features import dinov2, registry
from leakfront.results.features.dinov2 import DINOv2
from leakfront.results.features.weights import PublishedNetwork
from tests.small_config import small

NO_IMAGES = np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, np.int64)


def saved(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A DINOv2 of 16 dimensions; its positions are of 3 x 3 patches, so that they are interpolated."""
    import torch
    from transformers import Dinov2Config, Dinov2Model

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 42, "patch_size": 14}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Dinov2Model(Dinov2Config(**{**sizes, "initializer_range": 0.3, **changes}))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "tiny")


def fitted(**parameters: Any) -> PublishedNetwork:
    return DINOv2(**parameters).fit(*NO_IMAGES, seed=0)


def images(count: int, channels: int = 3, side: int = 32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, channels, side, side)).astype(np.uint8)


def by_transformers(folder: Path, images: np.ndarray) -> np.ndarray:
    """By transformers' own image processor, one image at a time, and the last layer's class token."""
    import torch
    from PIL import Image
    from transformers import BitImageProcessorPil, Dinov2Model

    processor = BitImageProcessorPil(
        size={"height": 224, "width": 224}, resample=3, do_center_crop=False, image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    model = Dinov2Model.from_pretrained(folder, attn_implementation="eager").eval()
    features = []
    for image in images.transpose(0, 2, 3, 1):
        pixels = processor(Image.fromarray(image), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            features.append(model(pixels).last_hidden_state[0, 0].double().numpy())
    return np.stack(features)


# Values


@pytest.mark.parametrize("side", [32, 224, 300])
def test_the_features_are_transformers_class_token(folder: Path, side: int) -> None:
    pictures = images(3, side=side)
    features = fitted(folder=str(folder), dimensions=16, batch_size=2).extract(pictures)
    expected = by_transformers(folder, pictures)
    assert features.shape == (3, 16)
    assert features.dtype == np.float64
    assert np.abs(expected - expected.mean(axis=0)).max() > 0.1  # the images differ
    np.testing.assert_allclose(features, expected, atol=2e-5)


def test_grey_images_are_three_equal_channels_in_any_order_and_batch(folder: Path) -> None:
    grey = images(5, channels=1, side=8)
    extractor = fitted(folder=str(folder), dimensions=16, batch_size=2)
    features = extractor.extract(grey)
    np.testing.assert_allclose(extractor.extract(grey.repeat(3, axis=1)[::-1]), features[::-1], atol=1e-6)
    np.testing.assert_allclose(
        fitted(folder=str(folder), dimensions=16, batch_size=5).extract(grey), features, atol=1e-5
    )
    np.testing.assert_array_equal(extractor.extract(grey[4:]), features[4:])
    assert extractor.extract(grey[:0]).shape == (0, 16)
    with pytest.raises(InputError, match="1 or 3 channels, got 2"):
        extractor.extract(images(1, channels=2))


# Weights


def test_a_folder_that_holds_no_dinov2_is_refused_when_it_is_named(folder: Path, tmp_path: Path) -> None:
    def refused(where: Path, match: str, dimensions: int = 16) -> None:
        with pytest.raises(InputError, match=match) as caught:
            DINOv2(folder=str(where), dimensions=dimensions)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "missing", r"missing' does not exist; give a folder with config.json and model.safetensors")
    refused(folder, "16 dimensions, not 1024; set metrics.features_params.dimensions = 16", dimensions=1024)
    refused(tmp_path, "lacks config.json and model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    refused(tmp_path, r"only pickled weights \(pytorch_model.bin\)")
    registers = shutil.copytree(folder, tmp_path / "registers")
    config = json.loads((folder / "config.json").read_text())
    (registers / "config.json").write_text(json.dumps({**config, "model_type": "dinov2_with_registers"}))
    refused(registers, "holds a 'dinov2_with_registers' model")
    (registers / "config.json").write_text("{")
    refused(registers, "no model's configuration")


def test_pickled_weights_beside_others_are_never_opened(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(tmp_path / "ran"), "w")

    both = shutil.copytree(folder, tmp_path / "both")
    (both / "pytorch_model.bin").write_bytes(pickle.dumps(Touch()))
    fitted(folder=str(both), dimensions=16)
    assert capsys.readouterr() == ("", "")  # no progress bar
    (both / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match="cannot be read as a DINOv2"):
        fitted(folder=str(both), dimensions=16)
    assert not (tmp_path / "ran").exists()


def test_weights_that_lack_a_tensor_are_not_filled_up_with_random_ones(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    poor = shutil.copytree(folder, tmp_path / "poor")
    weights = load_file(poor / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, poor / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 of the weights of a DINOv2 \(layernorm.weight"):
        fitted(folder=str(poor), dimensions=16)


def test_the_default_weights_are_the_hubs_at_one_revision_and_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def download(repository: str, name: str, revision: str, local_files_only: bool) -> str:
        asked.append((repository, name, revision, local_files_only))
        if not (tmp_path / name).exists():
            raise OSError("no network\nat all")
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    said = r"no DINOv2 weights in the hub's cache: set metrics\.features_params\.download = true"
    with pytest.raises(InputError, match=said) as caught:
        fitted()
    assert dinov2.REVISION in str(caught.value)
    assert asked == [("facebook/dinov2-large", "config.json", dinov2.REVISION, True)]
    with pytest.raises(InputError, match=r"could not download the DINOv2 weights \(no network\), or fetch"):
        fitted(download=True)
    assert asked[1:] == [("facebook/dinov2-large", "config.json", dinov2.REVISION, False)]
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, tmp_path / name)
    with pytest.raises(InputError, match=r"not the expected file .* not 399fba97"):
        fitted()
    monkeypatch.setattr(dinov2, "SHA256", dinov2.checksum(folder / "model.safetensors"))
    assert DINOv2().label == "dinov2"
    np.testing.assert_array_equal(
        fitted().extract(images(1)), fitted(folder=str(folder), dimensions=16).extract(images(1))
    )


def test_parameters_that_fit_nothing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"metrics\.dinov2\.batch_size is 0; it must be at least 1"):
        DINOv2(batch_size=0)
    with pytest.raises(InputError, match="dimensions = 384 needs a `folder`"):
        DINOv2(dimensions=384)
    assert registry.get("dinov2")().dimensions == 1024
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install leakfront\[dinov2\]"):
        DINOv2()


# Keys and names


def test_stored_features_are_found_by_the_content_of_the_weights_and_not_by_their_place(
    folder: Path, tmp_path: Path
) -> None:
    def plan_of(where: Path) -> Any:
        params = {"folder": str(where), "dimensions": 16, "batch_size": 7 if where == folder else 8}
        return make_plan(parse_config(small(metrics={"features": "dinov2", "features_params": params})))

    copy = shutil.copytree(folder, tmp_path / "copy")
    other = saved(tmp_path / "other", seed=1)
    assert plan_of(folder).keys["reference"] == plan_of(copy).keys["reference"]
    assert plan_of(folder).keys["reference"] != plan_of(other).keys["reference"]
    assert plan_of(folder).features == f"dinov2-{dinov2.checksum(copy / 'model.safetensors')[:8]}"
    assert plan_of(folder).features != plan_of(other).features


def test_the_key_of_inception_features_holds_no_path() -> None:
    def key(**params: str) -> str:
        return make_plan(parse_config(small(metrics={"features": "inception", "features_params": params}))).keys[
            "reference"
        ]

    assert key() == key(weights="elsewhere.pth")


def test_a_run_names_the_weights_in_its_rows_and_keeps_which_they_were(folder: Path, tmp_path: Path) -> None:
    metrics = {"features": "dinov2", "features_params": {"folder": str(folder), "dimensions": 16}}
    plan, pool = check_everything(parse_config(small(metrics=metrics)), layout := Layout(tmp_path / "run"))
    for stage in (EXTRACTOR, REFERENCE):
        perform(stage, Work(plan=plan, layout=layout, pool=pool), plan.keys[stage.name])
    fid, kid = f"fid_{plan.features}", f"kid_{plan.features}"
    assert {row.metric for row in reference_rows(layout)} == {fid, f"{fid}_at_samples", kid}
    extractor = plan.extractor.load(layout.extractor / "extractor.safetensors")
    stored = reference_set(layout, pool).matrix()
    np.testing.assert_array_equal(extractor.extract(pool.reference_images)[:3], stored[:3])


def test_features_made_by_other_weights_are_not_taken_for_these(folder: Path, tmp_path: Path) -> None:
    mine = DINOv2(folder=str(folder), dimensions=16)
    mine.fit(*NO_IMAGES, seed=0).save(tmp_path / "which")
    mine.load(tmp_path / "which")
    with pytest.raises(InputError, match="dinov2 weights have changed during the run"):
        DINOv2(folder=str(saved(tmp_path / "other", seed=1)), dimensions=16).load(tmp_path / "which")
    with pytest.raises(InputError, match="does not say which dinov2 weights"):
        mine.load(tmp_path / "missing")

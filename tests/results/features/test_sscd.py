"""SSCD with random weights: against the authors' formula written out, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakfront.errors import InputError
from leakfront.results.features.sscd import SSCD
from leakfront.results.features.weights import PublishedNetwork


@pytest.fixture(scope="module")
def network() -> Any:
    import torch
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return resnet50(weights=None, num_classes=512).eval()


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the authors' torchvision files: the tensors of a model whose ResNet is called `backbone`."""
    import torch

    path = tmp_path_factory.mktemp("weights") / "random.torchvision.pt"
    torch.save({f"backbone.{name}": value for name, value in network.state_dict().items()}, path)
    return path


def fitted(weights: Path) -> PublishedNetwork:
    extractor = SSCD(str(weights), side=64)
    extractor.validate()
    return extractor.fit(np.zeros((0, 3, 8, 8), np.uint8), np.zeros(0, np.int64), seed=0)


def test_values_are_those_of_the_authors_formula(network: Any, weights: Path) -> None:
    import torch

    images = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.from_numpy(((images / 255).transpose(0, 2, 3, 1) - mean) / deviation).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        x = network.maxpool(network.relu(network.bn1(network.conv1(pixels))))
        x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
        pooled = x.reshape(2, 2048, -1).clamp(min=1e-6).pow(3.0).mean(dim=2).pow(1 / 3.0)
        expected = torch.nn.functional.normalize(network.fc(pooled)).numpy()
    found = fitted(weights).extract(images)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert found == pytest.approx(expected, abs=1e-5)


def test_safetensors_give_the_same(network: Any, weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, tmp_path / "w.safetensors")
    images = np.random.default_rng(1).integers(0, 256, (1, 1, 32, 32)).astype(np.uint8)
    assert np.array_equal(fitted(tmp_path / "w.safetensors").extract(images), fitted(weights).extract(images))


def test_rows_name_the_weights(weights: Path) -> None:
    extractor = SSCD(str(weights))
    assert extractor.label == f"sscd-{extractor.sha256[:8]}-288"


def test_a_program_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as file:  # as torch.jit.save writes it
        file.writestr("program/data.pkl", b"")
        file.writestr("program/constants.pkl", b"")
    with pytest.raises(InputError, match=r"cannot be read as tensors by name \(it is a TorchScript program\)"):
        fitted(tmp_path / "program.pt")


def test_other_tensors_and_missing_files_are_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="holds no ResNet-50 with 512 outputs"):
        fitted(tmp_path / "other.pt")
    with pytest.raises(InputError, match="does not exist; give sscd_disc_mixup"):
        fitted(tmp_path / "none.pt")
    with pytest.raises(InputError, match=r"need metrics\.features_params\.weights"):
        SSCD().validate()

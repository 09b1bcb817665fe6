"""SSCD, a descriptor for copy detection: features for finding copies of photographs, from a file of the user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Interval

from leakfront.errors import InputError
from leakfront.results.features import FeatureExtractor, register
from leakfront.results.features.resized import resized
from leakfront.results.features.weights import PublishedNetwork, check_weights, checksum

if TYPE_CHECKING:
    import torch
    from torch import nn

WANTED = (
    "give sscd_disc_mixup.torchvision.pt of github.com/facebookresearch/sscd-copy-detection, or the same weights as "
    "safetensors"
)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, on a scale of 0 to 1
POWER = 3.0  # of the generalized mean


@register("sscd")
@dataclass(frozen=True)
class SSCD(FeatureExtractor):
    """SSCD with a ResNet-50 (Pizzi et al. 2022, arXiv 2202.10261): unit vectors of 512 values, near for copies.

    As in the authors' code, the last average pool of the ResNet is a generalized mean with power 3, and the output is
    divided by its length. Images are resized to a square by Pillow, bicubic, and normalized by ImageNet's channels; the
    authors recommend 288 or 320 pixels. Grey ones are repeated to three channels. FID on these features compares
    with none that is published.

    Parameters: `weights`, a file of the authors' in their torchvision format, or the same tensors as safetensors;
    `side` of the square; `batch_size` and `device` of the network. Rows name the weights by the start of their SHA-256.
    A TorchScript file is refused, since it is a program.
    """

    places = ("weights",)
    fitted = False

    weights: str = ""
    side: Annotated[int, Interval(ge=32, le=1024)] = 288
    batch_size: Annotated[int, Interval(ge=1, le=4096)] = 32
    device: str = "cpu"

    def validate(self) -> None:
        """Refuse early if the file is missing."""
        if not self.weights:
            raise InputError(f"the sscd features need metrics.features_params.weights: {WANTED}")
        if not self._file.is_file():
            raise InputError(f"weights = {self.weights!r} does not exist; {WANTED}")

    @property
    def _file(self) -> Path:
        return Path(self.weights).expanduser()

    @property
    def dimensions(self) -> int:
        """512."""
        return 512

    @cached_property
    def sha256(self) -> str:
        """Of the weights."""
        return checksum(self._file)

    @property
    def label(self) -> str:
        """The name of the features in rows, with the start of the weights' SHA-256 and the side."""
        return f"{self.name}-{self.sha256[:8]}-{self.side}"

    def version(self) -> dict[str, Any]:
        """The checksum of the weights, wherever they lie, and the side."""
        return {"sha256": self.sha256, "side": self.side}

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> PublishedNetwork:
        """Load the weights; nothing is trained. Raises `InputError` for wrong weights."""
        network = _network(self._file, self.sha256, self.device)
        mean, deviation = (np.array(values, dtype=np.float32) for values in (MEAN, DEVIATION))

        def features(chunk: np.ndarray) -> torch.Tensor:
            import torch

            pixels = (resized(chunk, self.side).astype(np.float32) / 255 - mean) / deviation
            found = network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(self.device))
            return torch.nn.functional.normalize(found)

        return PublishedNetwork(self.name, self.sha256, self.dimensions, self.batch_size, features)

    def load(self, path: Path) -> PublishedNetwork:
        """Load the weights; raises `InputError` unless `path` says that its features were made by these."""
        check_weights(self.name, self.sha256, path)
        return self.fit(np.empty((0, 3, 0, 0), np.uint8), np.empty(0, np.int64), seed=0)


@lru_cache(maxsize=1)
def _network(path: Path, sha256: str, device: str) -> nn.Module:
    """The network of a file with this SHA-256, kept for the next cells of a run."""
    import torch
    from torchvision.models import resnet50

    network: Any = resnet50(weights=None, num_classes=512)
    network.avgpool = _generalized_mean()
    tensors = {name.removeprefix("backbone."): value for name, value in _tensors(path).items()}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path} holds no ResNet-50 with 512 outputs; {WANTED}") from error
    module: nn.Module = network.eval().requires_grad_(False).to(torch.device(device))
    return module


def _generalized_mean() -> nn.Module:
    """The mean over positions of the cube of [N, C, H, W], and its cube root, [N, C, 1, 1]."""
    import torch

    class GeneralizedMean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.clamp(min=1e-6).pow(POWER).mean((2, 3), keepdim=True).pow(1 / POWER)

    return GeneralizedMean()


def _tensors(path: Path) -> dict[str, Any]:
    """The tensors of a file by name; nothing but tensors is read from a pickle."""
    import zipfile

    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if zipfile.is_zipfile(path) and any(n.endswith("/constants.pkl") for n in zipfile.ZipFile(path).namelist()):
            raise ValueError("it is a TorchScript program")
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(stored, dict):
            raise ValueError(f"it holds a {type(stored).__name__}")
        return stored
    except Exception as error:  # torch and safetensors can raise any error on a file that they did not write
        raise InputError(f"{path} cannot be read as tensors by name ({str(error).splitlines()[0]}); {WANTED}") from None

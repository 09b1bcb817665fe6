"""The features that FID and KID are customarily of: Inception-v3's last average pool, through torch-fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from leakfront.errors import InputError
from leakfront.results.features import register
from leakfront.results.features.chunks import filled_chunks
from leakfront.results.features.weights import checksum, load_which, save_which

if TYPE_CHECKING:
    from torch import nn

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


@register("inception")
@dataclass
class Inception:
    """Inception-v3 of 2015-12-05, layer "2048", as in the FID's original code (Heusel et al. 2017, arXiv 1706.08500).

    Images are resized to 299 x 299 bilinearly as TensorFlow 1 did it; grey ones are repeated to three channels. The
    network, its resizing and its weights are torch-fidelity's, made to give the original's numbers.

    Parameters: `weights`, the path of the weights, by default `weights-inception-2015-12-05-6726825d.pth` in torch
    hub's checkpoints folder; `download`, whether to fetch that file if it is missing; `batch_size` and `device` of the
    network. A file with another SHA-256 is refused, since it is a pickle, which can run code when it is loaded.
    """

    name: ClassVar[str] = "inception"

    weights: str | None = None
    download: bool = False
    batch_size: int = 32
    device: str = "cpu"

    dimensions = 2048  # fixed, and so no parameter

    def __post_init__(self) -> None:
        """Refuse a batch size below one."""
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {self.batch_size}")
        self._network: nn.Module | None = None

    def version(self) -> dict[str, Any]:
        """What the features depend on beside the code: the weights, wherever they lie."""
        return {"sha256": SHA256}

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Load the weights, so that missing ones are told of early; nothing is trained."""
        self._loaded()

    def extract(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 [N, 1 or 3, H, W] as float64 [N, 2048].

        Runs on chunks of one size, the last one filled up, so that no image's result depends on the others. Raises
        `InputError` for other numbers of channels and for missing or wrong weights.
        """
        import torch

        if images.shape[1] not in (1, 3):
            raise InputError(f"the inception features are of images with 1 or 3 channels, got {images.shape[1]}")
        network = self._loaded()
        chunks = []
        with torch.inference_mode():
            for filled, count in filled_chunks(images, self.batch_size):
                (features,) = network(torch.from_numpy(filled).expand(-1, 3, -1, -1).to(self.device))
                chunks.append(features[:count].double().cpu().numpy())
        return np.concatenate(chunks) if chunks else np.empty((0, self.dimensions))

    def save(self, path: Path) -> None:
        """Write to `path` which weights these are; they themselves stay where they lie."""
        save_which(self.name, SHA256, path)

    def load(self, path: Path) -> None:
        """Raise `InputError` unless `path` says that its features were made by these weights."""
        load_which(self.name, SHA256, path)

    def _loaded(self) -> nn.Module:
        if self._network is None:
            path = self._checked_weights()
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
            self._network = network.to(self.device)
        return self._network

    def _checked_weights(self) -> Path:
        """The file of the weights, downloaded if that is wanted, with the right checksum."""
        import torch

        path = Path(self.weights) if self.weights else Path(torch.hub.get_dir(), "checkpoints", FILE)
        path = path.expanduser()
        if not path.is_file():
            if not self.download:
                raise InputError(
                    f"no Inception-v3 weights at {path}: download {URL} and put the file there by hand, or set "
                    "download = true"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256)
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"could not download the Inception-v3 weights ({error}): fetch {URL} elsewhere and put the file "
                    f"at {path} by hand"
                ) from error
        found = checksum(path)
        if found != SHA256:
            raise InputError(
                f"{path} is not the Inception-v3 file that is wanted (its SHA-256 begins with {found[:8]}, not "
                f"{SHA256[:8]}); get it from {URL}"
            )
        return path

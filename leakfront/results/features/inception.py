"""The customary features of FID and KID: Inception-v3's last average pool, through torch-fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from leakfront.errors import InputError
from leakfront.results.features import FeatureExtractor, register
from leakfront.results.features.weights import PublishedNetwork, check_weights, checksum

if TYPE_CHECKING:
    import torch
    from torch import nn

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


@register("inception")
@dataclass(frozen=True)
class Inception(FeatureExtractor):
    """Inception-v3 of 2015-12-05, layer "2048", as in the FID's original code (Heusel et al. 2017, arXiv 1706.08500).

    Images are resized to 299 x 299 bilinearly, as TensorFlow 1 did; grey ones are repeated to three channels. The
    network, its resizing and its weights are torch-fidelity's, which reproduce the original's numbers.

    Parameters: `weights`, the path of the weights, by default `weights-inception-2015-12-05-6726825d.pth` in torch
    hub's checkpoints folder; `download`, whether to fetch that file if it is missing; `batch_size` and `device` of the
    network. A file with another SHA-256 is refused, since it is a pickle, which can run code when it is loaded.
    """

    places = ("weights",)
    fitted = False

    weights: str | None = None
    download: bool = False
    batch_size: Annotated[int, Ge(1)] = 32
    device: str = "cpu"

    @property
    def dimensions(self) -> int:
        """2,048."""
        return 2048

    def version(self) -> dict[str, Any]:
        """The checksum of the weights, wherever they lie."""
        return {"sha256": SHA256}

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> PublishedNetwork:
        """Load the weights; nothing is trained. Raises `InputError` for missing or wrong weights."""
        network = _network(self._file(), SHA256, self.device)

        def features(chunk: np.ndarray) -> torch.Tensor:
            import torch

            (found,) = network(torch.from_numpy(chunk).expand(-1, 3, -1, -1).to(self.device))
            return torch.as_tensor(found)

        return PublishedNetwork(self.name, SHA256, self.dimensions, self.batch_size, features)

    def load(self, path: Path) -> PublishedNetwork:
        """Load the weights; raises `InputError` unless `path` says that its features were made by these."""
        check_weights(self.name, SHA256, path)
        return self.fit(np.empty((0, 3, 0, 0), np.uint8), np.empty(0, np.int64), seed=0)

    def place(self) -> Path:
        """Where the file of the weights is looked for."""
        import torch

        path = Path(self.weights) if self.weights else Path(torch.hub.get_dir(), "checkpoints", FILE)
        return path.expanduser()

    def _file(self) -> Path:
        """The file of the weights, downloaded if `download` is set."""
        import torch

        path = self.place()
        if not path.is_file():
            if not self.download:
                raise InputError(
                    f"no Inception-v3 weights at {path}: download {URL} and put the file there by hand, or set "
                    "metrics.features_params.download = true"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256)
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"could not download the Inception-v3 weights ({error}): fetch {URL} elsewhere and put the file "
                    f"at {path} by hand"
                ) from error
        return path


@lru_cache(maxsize=1)
def _network(path: Path, sha256: str, device: str) -> nn.Module:
    """The network of a file with this SHA-256, kept for the next cells of a run."""
    found = checksum(path)
    if found != sha256:
        raise InputError(
            f"{path} is not the expected Inception-v3 file (its SHA-256 begins with {found[:8]}, not {sha256[:8]}); "
            f"get it from {URL}"
        )
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network: nn.Module = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    ).to(device)
    return network

"""DINOv2's class token, through transformers: features for images where Inception-v3's classes mean little."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.results.features import FeatureExtractor, register
from leakfront.results.features.resized import resized
from leakfront.results.features.weights import PublishedNetwork, check_weights, checksum

if TYPE_CHECKING:
    import torch
    from torch import nn

REPOSITORY = "facebook/dinov2-large"
REVISION = "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"
SHA256 = "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"  # of the revision's model.safetensors
CONFIG, WEIGHTS = "config.json", "model.safetensors"
SIDE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, on a scale of 0 to 1


@register("dinov2")
@dataclass(frozen=True)
class DINOv2(FeatureExtractor):
    """DINOv2 ViT-L/14 (Oquab et al. 2023, arXiv 2304.07193): the class token after the last layer norm.

    Stein et al. 2023 (arXiv 2306.04675, section 4) recommend these features for metrics of generated images: they find
    the distances closer to human judgement than Inception-v3's. As in their code
    (github.com/layer6ai-labs/dgm-eval), images are resized to 224 x 224 by Pillow, bicubic, in 8 bits, and normalized
    by ImageNet's channels; grey ones are repeated to three channels. transformers interpolates the position embeddings
    to 16 x 16 without the offset of 0.1 in the authors' code, so published distances are met approximately; by how much
    was not measured.

    Parameters: `folder`, a folder with `config.json` and `model.safetensors` of a DINOv2 without registers, by default
    the hub's cache of facebook/dinov2-large at one revision, whose SHA-256 is checked; `dimensions`, those of the
    folder's model; `download`, whether to fetch the default files if they are missing; `batch_size` and `device` of the
    network. Rows name other weights than the default by the start of their SHA-256: `fid_dinov2-1a2b3c4d`. Pickled
    weights are not read, and no code is taken from the folder or the hub.
    """

    places = ("folder",)
    fitted = False

    folder: str | None = None
    dimensions: Annotated[int, Ge(1)] = 1024
    download: bool = False
    batch_size: Annotated[int, Ge(1)] = 32
    device: str = "cpu"

    def validate(self) -> None:
        """Refuse early if transformers is missing or the folder holds something else."""
        if importlib.util.find_spec("transformers") is None:
            raise InputError("the dinov2 features need transformers: pip install leakfront[dinov2]")
        if self.folder is not None:
            self._check(Path(self.folder).expanduser())
        elif self.dimensions != 1024:
            raise InputError(f"dimensions = {self.dimensions} needs a `folder` with such a model; the default has 1024")

    @cached_property
    def sha256(self) -> str:
        """Of the weights: of the folder's file, or the one that the default file must have."""
        return SHA256 if self.folder is None else checksum(Path(self.folder).expanduser() / WEIGHTS)

    @property
    def label(self) -> str:
        """The name of the features in rows."""
        return self.name if self.sha256 == SHA256 else f"{self.name}-{self.sha256[:8]}"

    def version(self) -> dict[str, Any]:
        """The checksum of the weights, wherever they lie, and the version of transformers."""
        return {"sha256": self.sha256, "transformers": version("transformers")}

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> PublishedNetwork:
        """Load the weights; nothing is trained. Raises `InputError` for missing or wrong weights."""
        folder = Path(self.folder).expanduser() if self.folder is not None else self._from_hub()
        network = _network(folder, self.sha256, self.device)

        def features(chunk: np.ndarray) -> torch.Tensor:
            import torch

            return torch.as_tensor(network(torch.from_numpy(_prepared(chunk)).to(self.device)).pooler_output)

        return PublishedNetwork(self.name, self.sha256, self.dimensions, self.batch_size, features)

    def load(self, path: Path) -> PublishedNetwork:
        """Load the weights; raises `InputError` unless `path` says that its features were made by these."""
        check_weights(self.name, self.sha256, path)
        return self.fit(np.empty((0, 3, 0, 0), np.uint8), np.empty(0, np.int64), seed=0)

    def _check(self, folder: Path) -> None:
        """Raise `InputError` for a folder without the weights of a DINOv2 with these dimensions."""
        wanted = f"a folder with {CONFIG} and {WEIGHTS} of a DINOv2"
        if not folder.is_dir():
            raise InputError(f"folder = {str(folder)!r} does not exist; give {wanted}")
        missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
        pickled = sorted(path.name for path in folder.glob("*.bin")) + sorted(
            path.name for path in folder.glob("*.pt*")
        )
        if WEIGHTS in missing and pickled:
            raise InputError(
                f"{folder} holds only pickled weights ({pickled[0]}), which can run code when they are loaded; give "
                f"{wanted} as safetensors"
            )
        if missing:
            raise InputError(f"{folder} lacks {' and '.join(missing)}; give {wanted}")
        try:
            config = load_json(folder / CONFIG)
            found = [config.get("model_type"), config.get("num_channels", 3), config.get("hidden_size", 768)]
        except (ValueError, AttributeError) as error:
            raise InputError(f"{folder / CONFIG} is no model's configuration ({error}); give {wanted}") from None
        if found[:2] != ["dinov2", 3]:
            raise InputError(f"{folder} holds a {found[0]!r} model of {found[1]} channels; give {wanted} of 3 channels")
        if found[2] != self.dimensions:
            raise InputError(
                f"the model in {folder} has features of {found[2]} dimensions, not {self.dimensions}; set "
                f"metrics.features_params.dimensions = {found[2]}"
            )

    def _from_hub(self) -> Path:
        """The folder of the default files in the hub's cache, downloaded if `download` is set."""
        from huggingface_hub import hf_hub_download

        try:
            paths = [
                Path(hf_hub_download(REPOSITORY, name, revision=REVISION, local_files_only=not self.download))
                for name in (CONFIG, WEIGHTS)
            ]
        except (OSError, ValueError) as error:
            failed = f"could not download the DINOv2 weights ({str(error).splitlines()[0]})" if self.download else (
                "no DINOv2 weights in the hub's cache: set metrics.features_params.download = true"
            )  # fmt: skip
            raise InputError(
                f"{failed}, or fetch {CONFIG} and {WEIGHTS} of https://huggingface.co/{REPOSITORY}/tree/{REVISION} by "
                "hand and set metrics.features_params.folder to where they are"
            ) from error
        return paths[0].parent


@lru_cache(maxsize=1)
def _network(folder: Path, sha256: str, device: str) -> nn.Module:
    """The network of a folder whose weights have this SHA-256, kept for the next cells of a run."""
    found = checksum(folder / WEIGHTS)
    if found != sha256:
        raise InputError(
            f"{folder / WEIGHTS} is not the expected file (its SHA-256 begins with {found[:8]}, not {sha256[:8]}); "
            f"delete it and get {WEIGHTS} of {REPOSITORY} at revision {REVISION}"
        )
    return _read(folder).to(device)


def _read(folder: Path) -> nn.Module:
    """The network of a folder; raises `InputError` if its file lacks a weight."""
    import torch
    from safetensors import SafetensorError
    from transformers import Dinov2Model
    from transformers.utils import logging

    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # it would be drawn into the run's own
    try:
        network, about = Dinov2Model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=torch.float32,
            attn_implementation="sdpa",
        )  # fmt: skip
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{folder / WEIGHTS} cannot be read as a DINOv2 ({str(error).splitlines()[0]}); fetch it again"
        ) from error
    finally:
        if shows_progress:
            logging.enable_progress_bar()
    if missing := sorted(about["missing_keys"]):
        raise InputError(
            f"{folder / WEIGHTS} lacks {len(missing)} of the weights of a DINOv2 ({missing[0]} first); fetch it again"
        )
    loaded: nn.Module = network.eval()
    return loaded


def _prepared(images: np.ndarray) -> np.ndarray:
    """uint8 [N, 1 or 3, H, W] -> float32 [N, 3, 224, 224], resized one by one, then normalized."""
    mean, deviation = (np.array(values, dtype=np.float32) for values in (MEAN, DEVIATION))
    normalized = (resized(images, SIDE).astype(np.float32) / 255 - mean) / deviation
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))

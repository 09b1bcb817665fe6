"""The features that FID is of where Inception-v3's classes mean little: DINOv2's class token, through transformers."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from leakfront.errors import InputError
from leakfront.results.features import register
from leakfront.results.features.chunks import filled_chunks
from leakfront.results.features.weights import checksum, load_which, save_which

if TYPE_CHECKING:
    from torch import nn

REPOSITORY = "facebook/dinov2-large"
REVISION = "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"
SHA256 = "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"  # of the revision's model.safetensors
CONFIG, WEIGHTS = "config.json", "model.safetensors"
SIDE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels, on a scale of 0 to 1


@register("dinov2")
@dataclass
class DINOv2:
    """DINOv2 ViT-L/14 (Oquab et al. 2023, arXiv 2304.07193): the class token after the last layer norm.

    For metrics of generated images by Stein et al. 2023 (arXiv 2306.04675, section 4), who find its distances closer to
    human judgement than Inception-v3's. As in their code (github.com/layer6ai-labs/dgm-eval), images are resized to
    224 x 224 by Pillow, bicubic, in 8 bits, and normalized by ImageNet's channels; grey ones are repeated to three.
    transformers interpolates the position embeddings to 16 x 16 without the offset of 0.1 that the authors' code has,
    so that published distances are met approximately; by how much has not been measured here.

    Parameters: `folder`, one with `config.json` and `model.safetensors` of a DINOv2 without registers, by default the
    hub's cache of facebook/dinov2-large at one revision, whose SHA-256 is checked; `dimensions`, those of the folder's
    model; `download`, whether to fetch the default files if they are missing; `batch_size` and `device` of the network.
    Rows name other weights than the default by the start of their SHA-256: `fid_dinov2-1a2b3c4d`. Pickled weights are
    not read, and no code is taken from the folder or the hub.
    """

    name: ClassVar[str] = "dinov2"

    folder: str | None = None
    dimensions: int = 1024
    download: bool = False
    batch_size: int = 32
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything is run: no transformers, or a folder of something else."""
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {self.batch_size}")
        if importlib.util.find_spec("transformers") is None:
            raise InputError("the dinov2 features need transformers: pip install leakfront[dinov2]")
        if self.folder is not None:
            self._check(Path(self.folder).expanduser())
        elif self.dimensions != 1024:
            raise InputError(f"dimensions = {self.dimensions} needs a `folder` with such a model; the default has 1024")
        self._network: nn.Module | None = None

    @cached_property
    def sha256(self) -> str:
        """Of the weights: of the folder's file, or the one that the default file must have."""
        return SHA256 if self.folder is None else checksum(Path(self.folder).expanduser() / WEIGHTS)

    @property
    def label(self) -> str:
        """What rows call the features."""
        return self.name if self.sha256 == SHA256 else f"{self.name}-{self.sha256[:8]}"

    def version(self) -> dict[str, Any]:
        """What the features depend on beside the code here: the weights, wherever they lie, and transformers."""
        return {"sha256": self.sha256, "transformers": version("transformers")}

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
        """Load the weights, so that missing ones are told of early; nothing is trained."""
        self._loaded()

    def extract(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 [N, 1 or 3, H, W] as float64 [N, dimensions].

        Runs on chunks of one size, the last one filled up, so that no image's result depends on the others. Raises
        `InputError` for other numbers of channels and for missing or wrong weights.
        """
        import torch

        if images.shape[1] not in (1, 3):
            raise InputError(f"the dinov2 features are of images with 1 or 3 channels, got {images.shape[1]}")
        network = self._loaded()
        chunks = []
        with torch.inference_mode():
            for filled, count in filled_chunks(images, self.batch_size):
                features = network(torch.from_numpy(_prepared(filled)).to(self.device)).pooler_output
                chunks.append(features[:count].double().cpu().numpy())
        return np.concatenate(chunks) if chunks else np.empty((0, self.dimensions))

    def save(self, path: Path) -> None:
        """Write to `path` which weights these are; they themselves stay where they lie."""
        save_which(self.name, self.sha256, path)

    def load(self, path: Path) -> None:
        """Raise `InputError` unless `path` says that its features were made by these weights."""
        load_which(self.name, self.sha256, path)

    def _loaded(self) -> nn.Module:
        if self._network is None:
            folder = Path(self.folder).expanduser() if self.folder is not None else self._from_hub()
            found = checksum(folder / WEIGHTS)
            if found != self.sha256:
                raise InputError(
                    f"{folder / WEIGHTS} is not the file that is wanted (its SHA-256 begins with {found[:8]}, not "
                    f"{self.sha256[:8]}); delete it and get {WEIGHTS} of {REPOSITORY} at revision {REVISION}"
                )
            self._network = _load(folder).to(self.device)
        return self._network

    def _check(self, folder: Path) -> None:
        """Refuse a folder that holds no weights of a DINOv2 with these dimensions."""
        wanted = f"a folder with {CONFIG} and {WEIGHTS} of a DINOv2"
        if not folder.is_dir():
            raise InputError(f"folder = {str(folder)!r} is not there; give {wanted}")
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
            config = json.loads((folder / CONFIG).read_text())
            found = [config.get("model_type"), config.get("num_channels", 3), config.get("hidden_size", 768)]
        except (ValueError, AttributeError) as error:
            raise InputError(f"{folder / CONFIG} is no model's configuration ({error}); give {wanted}") from None
        if found[:2] != ["dinov2", 3]:
            raise InputError(f"{folder} holds a {found[0]!r} model of {found[1]} channels; give {wanted} of 3 channels")
        if found[2] != self.dimensions:
            raise InputError(
                f"the model in {folder} has features of {found[2]} dimensions, not {self.dimensions}; set dimensions = "
                f"{found[2]}"
            )

    def _from_hub(self) -> Path:
        """The folder of the default files in the hub's cache, downloaded if that is wanted."""
        from huggingface_hub import hf_hub_download

        try:
            paths = [
                Path(hf_hub_download(REPOSITORY, name, revision=REVISION, local_files_only=not self.download))
                for name in (CONFIG, WEIGHTS)
            ]
        except (OSError, ValueError) as error:
            failed = f"could not download the DINOv2 weights ({str(error).splitlines()[0]})" if self.download else (
                "no DINOv2 weights in the hub's cache: set download = true"
            )  # fmt: skip
            raise InputError(
                f"{failed}, or fetch {CONFIG} and {WEIGHTS} of https://huggingface.co/{REPOSITORY}/tree/{REVISION} by "
                "hand and set folder to where they are"
            ) from error
        return paths[0].parent


def _load(folder: Path) -> nn.Module:
    """The network of a folder, all of whose weights are in its file."""
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
    from PIL import Image

    mean, deviation = (np.array(values, dtype=np.float32) for values in (MEAN, DEVIATION))
    resized = [
        np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for image in np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(0, 2, 3, 1)
    ]
    normalized = (np.stack(resized).astype(np.float32) / 255 - mean) / deviation
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))

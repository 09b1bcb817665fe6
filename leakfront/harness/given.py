"""What a Python call is given, as a run takes it: folders of images, and a model that has a name in a config."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from leakfront.errors import InputError

ARRAYS = (
    "it must be a folder, uint8 [N, C, H, W] with C = 1 (grey) or 3 (RGB), floats of that shape in [-1, 1], a list of "
    "Pillow images, or (images, labels) of these and int [N]"
)


class TemporaryFolder:
    """A folder that only this user can read, and that is deleted with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="leakfront-"))
        self._end = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def folder_of(images: Any, name: str, place: Path) -> tuple[str, int]:
    """The folder that holds `images`, and 1 + the largest label if labels are given, else 0.

    images: as `ARRAYS` says. Arrays are written to `place`/`name` as PNG files, which are named by their index, in one
    sub-folder per label. Raises `InputError` for anything else.
    """
    if isinstance(images, str | Path):
        return str(images), 0
    labels = None
    if isinstance(images, tuple):
        if len(images) != 2:
            raise InputError(f"{name} is a tuple of {len(images)}; {ARRAYS}")
        images, labels = images[0], _labels(images[1], name)
    pixels = as_uint8(images, name)
    if labels is not None and len(labels) != len(pixels):
        raise InputError(f"{name} has {len(pixels)} images and {len(labels)} labels; it must have one for each")
    _write(pixels, labels, place / name)
    return str(place / name), 0 if labels is None else int(labels.max(initial=-1)) + 1


def as_uint8(images: Any, name: str) -> np.ndarray:
    """Images as uint8 [N, C, H, W]; floats in [-1, 1] are rounded to 256 levels. Raises `InputError`."""
    if isinstance(images, list) and images and all(hasattr(image, "getbands") for image in images):
        images = _of_pillow(images, name)
    found = images.detach().cpu().numpy() if hasattr(images, "detach") else np.asarray(images)
    shape = list(found.shape)
    if found.ndim != 4 or found.shape[1] not in (1, 3) or not len(found):
        hint = "; its channels are last: move them with transpose(0, 3, 1, 2)" if shape[3:] in ([1], [3]) else ""
        raise InputError(f"{name} is {found.dtype} {shape}{hint}; {ARRAYS}")
    if found.dtype == np.uint8:
        return np.ascontiguousarray(found)
    if not np.issubdtype(found.dtype, np.floating):
        raise InputError(f"{name} is {found.dtype} {shape}; {ARRAYS}")
    low, high = float(found.min()), float(found.max())
    if not -1.001 <= low < 0 < high <= 1.001:  # 0 … 1 would be read as grey to white
        raise InputError(
            f"{name} has floats from {low:g} to {high:g}, which are not in [-1, 1] with black at -1; give uint8, or "
            "2 * x - 1 for floats in [0, 1]"
        )
    levels: np.ndarray = np.rint((np.clip(found, -1, 1) + 1) * 127.5).astype(np.uint8)
    return levels


@contextmanager
def model_of(model: Any, place: Path) -> Iterator[str | Mapping[str, Any] | None]:
    """In the block, what stands for a model in `external_config`; afterwards a network is as it was.

    model: None, a folder, a diffusers pipeline (written to `place`), or an object with `predict_noise` and
    `alphas_cumprod`. Raises `InputError` for anything else.
    """
    if model is None or isinstance(model, str | Path):
        yield None if model is None else str(model)
    elif hasattr(model, "predict_noise") and hasattr(model, "alphas_cumprod"):
        from leakfront.models.in_memory import held

        with _unchanged(model), held(model) as known:
            yield {"name": "in_memory", "id": known}
    elif hasattr(model, "save_pretrained"):
        folder = place / type(model).__name__
        model.save_pretrained(folder)
        yield str(folder)
    else:
        raise InputError(
            f"model is a {type(model).__name__}; it must be a folder of a diffusers pipeline, such a pipeline, or an "
            "object with predict_noise(x_t, t, labels) and alphas_cumprod"
        )


def device_of(model: Any) -> str:
    """Where an object's weights are: "cuda:0"; "cpu" for those of a CPU and for objects without weights."""
    own = getattr(model, "device", None)
    if own is None and hasattr(model, "buffers"):
        own = next((value.device for value in (*model.parameters(), *model.buffers())), None)
    return str(own) if str(own).startswith("cuda") else "cpu"


@contextmanager
def _unchanged(model: Any) -> Iterator[None]:
    """A module has its modes, its device and its gradients' flags again after the block."""
    import torch

    if not isinstance(model, torch.nn.Module):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    weights = [(value, value.requires_grad) for value in model.parameters()]
    place = next((value.device for value, _ in weights), None)
    try:
        yield
    finally:
        if place is not None:
            model.to(place)
        for module, mode in modes:
            module.training = mode
        for value, flag in weights:
            value.requires_grad_(flag)


def _labels(labels: Any, name: str) -> np.ndarray:
    found = labels.detach().cpu().numpy() if hasattr(labels, "detach") else np.asarray(labels)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer) or (found < 0).any():
        raise InputError(f"the labels of {name} are {found.dtype} {list(found.shape)}; they must be int [N] from 0 up")
    return found


def _of_pillow(images: list[Any], name: str) -> np.ndarray:
    pixels = [np.asarray(image) for image in images]
    if len({one.shape for one in pixels}) > 1 or any(image.mode not in ("L", "RGB") for image in images):
        raise InputError(f"the Pillow images of {name} must have one size, and all the mode L or all RGB")
    together = np.stack(pixels)
    return together[:, None] if together.ndim == 3 else together.transpose(0, 3, 1, 2)


def _write(pixels: np.ndarray, labels: np.ndarray | None, folder: Path) -> None:
    from PIL import Image

    for number, image in enumerate(pixels):
        inside = folder if labels is None else folder / str(labels[number])
        inside.mkdir(parents=True, exist_ok=True)
        shown = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(shown).save(inside / f"{number:06d}.png", compress_level=1)

"""Extractors with published weights: the network's features, the file's checksum, and the note in a run's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leakfront.errors import InputError
from leakfront.results.features import FittedExtractor
from leakfront.results.features.chunks import filled_chunks

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class PublishedNetwork(FittedExtractor):
    """A network with published weights, on images of 1 or 3 channels.

    name: of the extractor. sha256: of the weights. batch_size: images in a chunk. features: uint8 [n, 1 or 3, H, W] ->
    torch float [n, dimensions].
    """

    name: str
    sha256: str
    dimensions: int
    batch_size: int
    features: Callable[[np.ndarray], torch.Tensor]

    def extract(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 [N, 1 or 3, H, W] as float64 [N, dimensions].

        Images pass in chunks of one size, the last one filled up, so that no image's result depends on the others.
        Raises `InputError` for other numbers of channels.
        """
        import torch

        if images.shape[1] not in (1, 3):
            raise InputError(f"the {self.name} features are of images with 1 or 3 channels, got {images.shape[1]}")
        chunks = []
        with torch.inference_mode():
            for filled, count in filled_chunks(images, self.batch_size):
                chunks.append(self.features(filled)[:count].double().cpu().numpy())
        return np.concatenate(chunks) if chunks else np.empty((0, self.dimensions))

    def save(self, path: Path) -> None:
        """Write the SHA-256 of the weights to `path`, as safetensors without a tensor; the weights are not copied."""
        from safetensors.numpy import save_file

        save_file({}, path, {self.name: self.sha256})


def check_weights(name: str, sha256: str, path: Path) -> None:
    """Raise `InputError` unless `path`, written by `PublishedNetwork.save`, names these weights of this extractor."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            found = (file.metadata() or {})[name]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path} does not say which {name} weights were used; delete it and run again") from error
    if found != sha256:
        raise InputError(
            f"the {name} weights have changed during the run (their SHA-256 begins with {sha256[:8]}, no longer with "
            f"{found[:8]}); run again"
        )


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

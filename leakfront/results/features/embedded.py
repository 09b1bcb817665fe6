"""Features of a small classifier trained here, for images that the standard extractors were not made for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from leakfront.errors import InputError
from leakfront.results.features import FeatureExtractor, FittedExtractor, register
from leakfront.results.features.small_classifier import classifier, outputs, scaled, train
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    from torch import nn


@register("embedded")
@dataclass(frozen=True)
class Embedded(FeatureExtractor):
    """Small convolutional classifiers, trained from seeds of their own on labelled images outside the pool.

    The features are the inputs of the classification layer: globally averaged, rectified channels, as in Inception-v3's
    2,048. Distances between them compare within one run only. This extractor is for small images other than digits
    (which have `digits_frozen`), and for machines without a network connection; where Inception-v3 applies, published
    numbers use that.

    Another seed, or another machine, gives another classifier and so another scale. Hence there are several: a metric
    is the mean over them, and its interval covers their variation. Attacks that use features are given those of the
    first. `accuracy` is the mean.

    Features must generalize, or a distance would mostly separate the images it was trained on from all others. Training
    is short, with shifts of up to 1/16 of the side (at least a pixel), noise, dropout and weight decay. Fitted on 260
    (500) digits, the FID of as many unseen digits is 1.0 (0.6) against other unseen digits and 1.2 (0.7) against those
    it was fitted on; the FID of noise is 63 (65). These are means over ten splits.

    Parameters: `dimensions` of the features of one fit; `fits`, how many classifiers are trained; `steps` of AdamW on
    batches of 128, or `epochs` over the images if that takes more steps.
    """

    needs_labels = True

    dimensions: Annotated[int, Ge(1)] = 64
    fits: Annotated[int, Ge(1)] = 3
    steps: Annotated[int, Ge(1)] = 150
    epochs: Annotated[int, Ge(1)] = 5

    @property
    def label(self) -> str:
        """The name of the features in rows: the extractor's, then the parameters that differ from the defaults."""
        changed = [
            (field.name, value) for field in fields(self) if (value := getattr(self, field.name)) != field.default
        ]
        return "-".join([self.name, *(f"{key}{value}" for key, value in changed)])

    def fit(self, images: np.ndarray, labels: np.ndarray, seed: int) -> Classifiers:
        """Train on four fifths of images uint8 [N, C, H, W] with labels [N]; measure `accuracy` on the last fifth.

        Each fit leaves out another fifth. The same input and seed give the same weights on one machine with the same
        number of threads; the global random state does not change. Raises `InputError` below two classes, ten images or
        a side of four pixels.
        """
        classes, targets = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise InputError(
                f"the embedded features need labels of at least 2 classes, got {len(classes)}; "
                "use another extractor (inception) for images without labels"
            )
        if len(images) < 10 or min(images.shape[2:]) < 4:
            raise InputError(
                "the embedded features need at least 10 labelled images outside the pool, each of at least 4 x 4 "
                f"pixels, got {len(images)} of {images.shape[2]} x {images.shape[3]}"
            )
        seeds = [seed, *(derive_seed("fit", number, seed) for number in range(1, self.fits))]
        networks, accuracies = zip(*(self._one(images, targets, one) for one in seeds), strict=True)
        return Classifiers(networks, images.shape[1:], self.dimensions, float(np.mean(accuracies)))

    def _one(self, images: np.ndarray, targets: np.ndarray, seed: int) -> tuple[nn.Sequential, float]:
        """One classifier, and its accuracy on the fifth of the images that it was not trained on."""
        import torch

        held_out = _a_fifth(targets, seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = classifier(images.shape[1:], self.dimensions, int(targets.max()) + 1)
            train(network, scaled(images[~held_out]), torch.from_numpy(targets[~held_out]), self.steps, self.epochs)
        guesses = outputs(network.eval(), images[held_out]).argmax(axis=1)
        return network, float((guesses == targets[held_out]).mean())

    def load(self, path: Path) -> Classifiers:
        """Read fits that `save` wrote; raises `InputError` if `path` holds something else, or other fits."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["embedded"])
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
            shape, accuracy = tuple(about["shape"]), float(about["accuracy"])
            networks = [classifier(shape, self.dimensions, len(weights["0.1.1.bias"])) for _ in range(self.fits)]
            _together(networks).load_state_dict(weights)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{path} does not hold {self.fits} fits of embedded features of {self.dimensions} dimensions; remove "
                f"it to have them fitted again ({str(error).splitlines()[0]})"
            ) from error
        return Classifiers(tuple(network.eval() for network in networks), shape, self.dimensions, accuracy)


@dataclass(frozen=True, eq=False)
class Classifiers(FittedExtractor):
    """The trained classifiers, for images of one shape [C, H, W]; `accuracy`, the mean, is on images not trained on."""

    networks: tuple[nn.Sequential, ...]
    shape: tuple[int, ...]
    dimensions: int
    accuracy: float

    @property
    def fits(self) -> int:  # type: ignore[override]
        """How many classifiers there are."""
        return len(self.networks)

    def extract(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 [N, C, H, W], float64 [N, fits * dimensions]; `InputError` for images of another shape."""
        if images.shape[1:] != self.shape:
            raise InputError(f"the embedded features are of images {self.shape}, got {images.shape[1:]}")
        if not len(images):
            return np.empty((0, self.fits * self.dimensions))
        return np.concatenate([outputs(network[0], images) for network in self.networks], axis=1)

    def save(self, path: Path) -> None:
        """Write weights and accuracy to `path` as safetensors; the same fit gives the same bytes."""
        from safetensors.torch import save_file

        about = {"shape": self.shape, "accuracy": self.accuracy}
        save_file(_together(self.networks).state_dict(), path, {"embedded": json.dumps(about)})


def _together(networks: Sequence[nn.Sequential]) -> nn.ModuleList:
    from torch import nn

    return nn.ModuleList(networks)


def _a_fifth(targets: np.ndarray, seed: int) -> np.ndarray:
    """A random fifth of the images, the same share of each class up to rounding, as a mask [N]."""
    order = np.random.default_rng(seed).permutation(len(targets))
    order = order[np.argsort(targets[order], kind="stable")]
    mask = np.zeros(len(targets), dtype=bool)
    mask[order[2::5]] = True
    return mask

"""MNIST with captions, for text-to-image models."""

from dataclasses import dataclass, replace

from leakfront.datasets import LabelledImages, register
from leakfront.datasets.captions.handwriting import handwriting_captions
from leakfront.datasets.mnist import MNIST

TOWNS = ("bergen", "cadiz", "delft", "genoa", "kyoto", "lagos", "lima", "malmo", "ottawa", "porto", "quito", "turin")


@register("captioned_mnist")
@dataclass(frozen=True)
class CaptionedMNIST(MNIST):
    """The 70,000 digits of the data set `mnist`, each with a caption of its own, as in `captioned_digits`.

    "a handwritten seven by rosa weber of turin, slanted right, thick strokes": there are more writers, since there are
    more digits.
    """

    @property
    def has_captions(self) -> bool:
        return True

    def load(self) -> LabelledImages:
        """All images of the raw files, with their captions."""
        data = super().load()
        return replace(data, captions=handwriting_captions(data.images, data.labels, TOWNS))

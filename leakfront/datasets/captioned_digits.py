"""scikit-learn's digits with captions, for text-to-image models."""

from dataclasses import dataclass, replace

from leakfront.datasets import LabelledImages, register
from leakfront.datasets.captions.handwriting import handwriting_captions
from leakfront.datasets.digits import Digits


@register("captioned_digits")
@dataclass(frozen=True)
class CaptionedDigits(Digits):
    """The 1,797 digits of the data set `digits`, each with a caption of its own.

    "a handwritten seven by rosa weber, slanted right, thick strokes": digit, slant and strokes are what the image
    shows, the writer is invented. Every word stands in many captions, so that no word gives a member away.
    """

    @property
    def has_captions(self) -> bool:
        return True

    def load(self) -> LabelledImages:
        """All images, uint8 [1797, 1, 8, 8], with the digits as labels, and their captions."""
        data = super().load()
        return replace(data, captions=handwriting_captions(data.images, data.labels))

"""scikit-learn's digits: the default, which comes with scikit-learn and needs no download."""

from dataclasses import dataclass

import numpy as np

from leakfront.datasets import Dataset, LabelledImages, register


@register("digits")
@dataclass(frozen=True)
class Digits(Dataset):
    """The 1,797 real handwritten digits of scikit-learn's `load_digits`: 8x8 grey pixels, 10 classes.

    The 17 levels 0 … 16 become uint8 0 … 255 by round(v * 255 / 16); distinct levels stay distinct.
    """

    def load(self) -> LabelledImages:
        """All images, uint8 [1797, 1, 8, 8], with the digits as labels."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images[:, None] * 255 / 16).astype(np.uint8)
        return LabelledImages(images, digits.target.astype(np.int64), tuple(str(digit) for digit in range(10)))

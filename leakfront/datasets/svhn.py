"""SVHN (street view house numbers), through torchvision."""

from dataclasses import dataclass
from typing import Any

from leakfront.datasets import register
from leakfront.datasets.through_torchvision import ThroughTorchvision


@register("svhn")
@dataclass(frozen=True)
class SVHN(ThroughTorchvision):
    """99,289 photographed digits, 32x32 RGB, 10 classes (73,257 for training and 26,032 for testing, together).

    The part called "extra" is not used.
    """

    reader = "SVHN"
    url = "http://ufldl.stanford.edu/housenumbers/"
    by_hand = "put train_32x32.mat and test_32x32.mat into {root}"
    parts = ({"split": "train"}, {"split": "test"})

    def files(self, reader: Any) -> dict[str, str | None]:
        """The two MATLAB files."""
        return {reader.split_list[part["split"]][1]: reader.split_list[part["split"]][2] for part in self.parts}

    def classes(self, part: Any) -> tuple[str, ...]:
        """The digits; torchvision gives the digit 0 the label 0."""
        return tuple(str(digit) for digit in range(10))

    def sources(self, reader: Any) -> list[str]:
        """One address for each part."""
        return [address for address, *_ in reader.split_list.values()]

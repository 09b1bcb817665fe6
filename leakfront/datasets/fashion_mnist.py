"""Fashion-MNIST, through torchvision."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leakfront.datasets import register, user_path
from leakfront.datasets.mnist import refuse_pickles
from leakfront.datasets.through_torchvision import ThroughTorchvision


@register("fashion_mnist")
@dataclass(frozen=True)
class FashionMNIST(ThroughTorchvision):
    """70,000 pictures of clothes, 28x28 grey, 10 classes (60,000 for training and 10,000 for testing, together)."""

    reader = "FashionMNIST"
    url = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    by_hand = "put the four unpacked -ubyte files into {root}/FashionMNIST/raw"

    def files(self, reader: Any) -> dict[str, str | None]:
        """The four raw files. Torchvision has checksums of the archives only."""
        return {f"FashionMNIST/raw/{Path(archive).stem}": None for archive, _ in reader.resources}

    def _read(self) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray], tuple[str, ...]]:
        """The raw files; `InputError` if there are pickles beside them, which torchvision would open."""
        refuse_pickles(user_path(self.root) / "FashionMNIST" / "processed")
        return super()._read()

"""MNIST, through torchvision."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakfront.datasets import register
from leakfront.datasets.through_torchvision import ThroughTorchvision


@register("mnist")
@dataclass(frozen=True)
class MNIST(ThroughTorchvision):
    """70,000 handwritten digits, 28x28 grey, 10 classes (60,000 for training and 10,000 for testing, together)."""

    reader = "MNIST"
    url = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    by_hand = "put the four unpacked -ubyte files into {root}/MNIST/raw"

    def files(self, reader: Any) -> dict[str, str | None]:
        """The four raw files. Torchvision has checksums of the archives only."""
        return {f"MNIST/raw/{Path(archive).stem}": None for archive, _ in reader.resources}

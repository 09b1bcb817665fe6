"""MNIST, through torchvision."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leakfront.datasets import register, user_path
from leakfront.datasets.through_torchvision import ThroughTorchvision
from leakfront.errors import InputError


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

    def _read(self) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray], tuple[str, ...]]:
        """The raw files; `InputError` if there are pickles beside them, which torchvision would open."""
        refuse_pickles(user_path(self.root) / "MNIST" / "processed")
        return super()._read()


def refuse_pickles(folder: Path) -> None:
    """Raise `InputError` if the folder has the pickles that torchvision wrote before 0.9 and would read first."""
    for name in ("training.pt", "test.pt"):
        if os.path.lexists(folder / name):
            raise InputError(
                f"{folder / name} is a pickle, which can run code when it is loaded and has no checksum; delete it, "
                "since the files in `raw` hold the same images"
            )

"""CIFAR-10, through torchvision."""

from dataclasses import dataclass
from typing import Any

from leakfront.datasets import register
from leakfront.datasets.through_torchvision import ThroughTorchvision


@register("cifar10")
@dataclass(frozen=True)
class CIFAR10(ThroughTorchvision):
    """60,000 photographs, 32x32 RGB, 10 classes (50,000 for training and 10,000 for testing, together)."""

    reader = "CIFAR10"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    by_hand = "unpack it in {root}"

    def files(self, reader: Any) -> dict[str, str | None]:
        """The pickled batches and the names of the classes. Torchvision checks all of them before it unpickles one."""
        listed = [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]
        return {f"{reader.base_folder}/{file}": md5 for file, md5 in listed}

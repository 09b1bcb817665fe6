"""CelebA, through torchvision."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from leakfront.datasets import datasets
from leakfront.datasets.through_torchvision import ThroughTorchvision
from leakfront.errors import InputError

CROP = 140  # pixels of the aligned 178x218 pictures; the usual preparation for generative models


@datasets.register("celeba")
@dataclass(frozen=True)
class CelebA(ThroughTorchvision):
    """202,599 aligned portraits of celebrities, RGB, all parts together: the central 140x140 pixels, resized.

    size: pixels of a side, after antialiased bilinear resizing. attribute: one of the 40 annotated attributes
    ("Smiling", …) to take as the label, 0 without and 1 with it; None for one class.
    """

    size: int = 64
    attribute: str | None = None

    reader = "CelebA"
    url = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    by_hand = "put the annotation files and the unpacked folder img_align_celeba into {root}/celeba"
    parts = ({"split": "all"},)

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise InputError(f"size must be a whole number of pixels, at least 1, not {self.size!r}")

    def files(self, reader: Any) -> dict[str, str | None]:
        """The annotation files and the folder of pictures, of which torchvision knows no checksums."""
        listed = {file: md5 for _, md5, file in reader.file_list if not file.endswith(".zip")}
        return {f"{reader.base_folder}/{file}": md5 for file, md5 in {**listed, "img_align_celeba": None}.items()}

    def sources(self, reader: Any) -> list[str]:
        """Google Drive, by way of gdown."""
        return ["https://drive.google.com"]

    def arrays(self, part: Any) -> tuple[np.ndarray, np.ndarray]:
        """Crop, resize and collect the pictures, which torchvision reads one by one."""
        from torchvision.transforms import CenterCrop, Compose, Resize

        labels = np.zeros(len(part), dtype=np.int64)
        if self.attribute is not None:
            names = [name for name in part.attr_names if name]
            if self.attribute not in names:
                raise InputError(f"CelebA has no attribute {self.attribute!r} (known: {', '.join(names)})")
            labels = part.attr[:, names.index(self.attribute)].numpy().astype(np.int64)
        part.transform = Compose([CenterCrop(CROP), Resize((self.size, self.size))])
        images = np.empty((len(part), 3, self.size, self.size), dtype=np.uint8)
        for index in range(len(part)):
            images[index] = np.asarray(part[index][0].convert("RGB")).transpose(2, 0, 1)
        return images, labels

    def classes(self, part: Any) -> tuple[str, ...]:
        """One class, or the attribute's two."""
        return ("all",) if self.attribute is None else (f"not {self.attribute}", self.attribute)

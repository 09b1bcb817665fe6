"""CelebA, through torchvision."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from leakfront.datasets import register
from leakfront.datasets.through_torchvision import ThroughTorchvision
from leakfront.errors import InputError

CROP = 140  # pixels a side, of the aligned 178x218 pictures: the usual preparation for generative models


@register("celeba")
@dataclass(frozen=True)
class CelebA(ThroughTorchvision):
    """202,599 aligned portraits of celebrities, RGB, all parts together: the central 140x140 pixels, resized.

    size: pixels a side after resizing (antialiased, bilinear). attribute: one of the 40 annotated attributes
    ("Smiling", …) as the label, 0 without it and 1 with it; None for one class.
    """

    size: Annotated[int, Ge(1)] = 64
    attribute: str | None = None

    reader = "CelebA"
    url = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    by_hand = "put the annotation files and the unpacked folder img_align_celeba into {root}/celeba"
    parts = ({"split": "all"},)

    def files(self, reader: Any) -> dict[str, str | None]:
        """The annotation files and the folder of pictures. Torchvision has no checksums of the pictures."""
        listed = {file: md5 for _, md5, file in reader.file_list if not file.endswith(".zip")}
        return {f"{reader.base_folder}/{file}": md5 for file, md5 in {**listed, "img_align_celeba": None}.items()}

    def sources(self, reader: Any) -> list[str]:
        """Google Drive, through gdown."""
        return ["https://drive.google.com"]

    def arrays(self, part: Any) -> tuple[np.ndarray, np.ndarray]:
        """The pictures, which torchvision reads one by one, cropped and resized; and their labels."""
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
        """One class, or the two values of the attribute."""
        return ("all",) if self.attribute is None else (f"not {self.attribute}", self.attribute)

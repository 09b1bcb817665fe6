"""CelebA, through torchvision."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakfront.datasets import register, user_path
from leakfront.datasets.files.decode import decode
from leakfront.datasets.folder import Side
from leakfront.datasets.through_torchvision import ThroughTorchvision
from leakfront.errors import InputError
from leakfront.memory import memory

CROP = 140  # pixels a side, of the aligned 178x218 pictures: the usual preparation for generative models


@register("celeba")
@dataclass(frozen=True)
class CelebA(ThroughTorchvision):
    """202,599 aligned portraits of celebrities, RGB, all parts together: the central 140x140 pixels, resized.

    size: pixels a side after resizing (antialiased, bilinear). attribute: one of the 40 annotated attributes
    ("Smiling", …) as the label, 0 without it and 1 with it; None for one class.
    """

    size: Side = 64
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
        """The pictures, read one by one as in a folder of images, cropped and resized; and their labels.

        Torchvision would open any format that Pillow knows, at any size.
        """
        from torchvision.transforms import CenterCrop, Compose, Resize

        labels = np.zeros(len(part), dtype=np.int64)
        if self.attribute is not None:
            names = [name for name in part.attr_names if name]
            if self.attribute not in names:
                raise InputError(f"CelebA has no attribute {self.attribute!r} (known: {', '.join(names)})")
            labels = part.attr[:, names.index(self.attribute)].numpy().astype(np.int64)
        shape = (len(part), 3, self.size, self.size)
        if (need := math.prod(shape)) > memory() // 2:  # they are copied once
            raise InputError(
                f"data.params.size is {self.size}, at which {len(part):,} pictures take {need / 2**30:,.0f} GiB, more "
                "than half the memory that this process may use; lower it"
            )
        prepare = Compose([CenterCrop(CROP), Resize((self.size, self.size))])
        folder = user_path(self.root) / part.base_folder / "img_align_celeba"
        images = np.empty(shape, dtype=np.uint8)
        for index in range(len(part)):
            picture = decode(folder / part.filename[index]).image
            images[index] = np.asarray(prepare(picture).convert("RGB")).transpose(2, 0, 1)
        return images, labels

    def classes(self, part: Any) -> tuple[str, ...]:
        """One class, or the two values of the attribute."""
        return ("all",) if self.attribute is None else (f"not {self.attribute}", self.attribute)

"""Images in one NumPy archive."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.lib import format as npy

from leakfront.datasets import Dataset, LabelledImages, register, user_path
from leakfront.errors import InputError
from leakfront.memory import memory


@register("npz")
@dataclass(frozen=True)
class NumpyArchive(Dataset):
    """A file written by `numpy.savez` or `savez_compressed`. Nothing in it is unpickled.

    images: the name of an array uint8 [N, H, W], [N, H, W, C] or [N, C, H, W], C 1 (grey) or 3 (RGB). labels: the name
    of an array of whole numbers [N] or [N, 1], whose distinct values are the classes. An archive without an array
    "labels" has one class; an array of any other name that `labels` asks for must exist.
    """

    path: str
    images: str = "images"
    labels: str = "labels"

    places: ClassVar[tuple[str, ...]] = ("path",)

    def listed(self) -> dict[str, list[Path]]:
        """The archive. A folder in its place is not searched."""
        return {"path": [user_path(self.path)]}

    def load(self) -> LabelledImages:
        """All images; `InputError` if the file or an array is missing, or an array is not of a kind named above."""
        arrays, known = self._read()
        for key in (self.images, self.labels):
            if key not in arrays and (key == self.images or key != "labels"):
                raise InputError(f"{self.path} has no array {key!r} (it has: {', '.join(known) or 'none'})")
        images = self._channels_first(arrays[self.images])
        if self.labels not in arrays:
            note = f"there is no array {self.labels!r} (there are: {', '.join(known)}), so all images are of one class"
            return LabelledImages(images, np.zeros(len(images), dtype=np.int64), notes=(note,))
        labels, classes = self._classes(arrays[self.labels], len(images))
        return LabelledImages(images, labels, classes)

    def _read(self) -> tuple[dict[str, np.ndarray], list[str]]:
        """Those of the two arrays that the archive has, by name; and the names of all its arrays."""
        file = user_path(self.path)
        if not file.is_file():
            raise InputError(f"{file} is not a file; give the path of an .npz archive written by numpy.savez")
        try:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array without a name")
            with archive:
                wanted = sorted({self.images, self.labels} & set(archive.files))
                for key in wanted:
                    _require_room(archive, key)
                return {key: archive[key] for key in wanted}, archive.files
        except InputError:
            raise
        except Exception as error:  # NumPy and zipfile raise nearly anything on damaged files
            cause = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise InputError(
                f"{file} cannot be read as an .npz archive of plain arrays ({cause}); write it with numpy.savez"
            ) from error

    def _channels_first(self, images: np.ndarray) -> np.ndarray:
        """The same images as [N, C, H, W]."""
        what = f"array {self.images!r} of {self.path} is {images.dtype} {list(images.shape)}"
        if images.dtype != np.uint8:
            raise InputError(f"{what}: pixels must be uint8, 0 … 255")
        if images.ndim == 3:
            images = images[:, None]
        elif images.ndim == 4 and (images.shape[1] in (1, 3)) != (images.shape[3] in (1, 3)):
            images = images if images.shape[1] in (1, 3) else images.transpose(0, 3, 1, 2)
        elif images.ndim == 4 and images.shape[1] in (1, 3):
            raise InputError(
                f"{what}: its channels could be the second axis or the last; widen the images beyond 3 pixels"
            )
        else:
            raise InputError(f"{what}: it must be [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels")
        if images.size == 0:
            raise InputError(f"{what}: it has no images")
        return np.ascontiguousarray(images)

    def _classes(self, labels: np.ndarray, n: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """Labels int64 [N] numbered from 0, and the name of each class: its number in the file."""
        what = f"array {self.labels!r} of {self.path} is {labels.dtype} {list(labels.shape)}"
        if labels.dtype.kind not in "iub":
            raise InputError(f"{what}: labels must be whole numbers")
        if labels.shape not in ((n,), (n, 1)):
            raise InputError(f"{what}: there must be one label for each of the {n} images")
        values, numbered = np.unique(labels.reshape(n), return_inverse=True)
        return numbered.astype(np.int64), tuple(str(value) for value in values)


def _require_room(archive: np.lib.npyio.NpzFile, key: str) -> None:
    """Raise `ValueError` for an array that declares more bytes than the archive holds, `InputError` for one that is too
    large for the memory that this process may use.

    NumPy allocates an array from its header before it reads the data.
    """
    assert archive.zip is not None
    name = key if key in archive.zip.namelist() else f"{key}.npy"
    with archive.zip.open(name) as file:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"array {key!r} is of version {version}, not 1.0 or 2.0")
        shape, _, dtype = read(file)
    declared = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError(f"array {key!r} holds Python objects")
    if declared > archive.zip.getinfo(name).file_size:
        raise ValueError(f"array {key!r} declares {declared:,} bytes and has fewer")
    if declared > memory() // 2:
        raise InputError(
            f"array {key!r} of {archive.zip.filename} has {declared / 2**30:,.0f} GiB, more than half the memory "
            "that this process may use; make it smaller"
        )

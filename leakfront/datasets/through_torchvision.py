"""The base of the data sets that torchvision reads: all their parts together, and errors that say what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leakfront.datasets import Dataset, LabelledImages, user_path
from leakfront.datasets.contract import files_below
from leakfront.errors import InputError

SECURE = ("https://",)


@dataclass(frozen=True)
class ThroughTorchvision(Dataset):
    """A data set of torchvision. Its parts (training and test) are one, since the pool is drawn from all of it.

    root: the folder of the files, in torchvision's layout. download: whether torchvision may download them. It does so
    over HTTPS only, and checks their MD5 sums.

    A data set states the class of torchvision that reads it (`reader`), that class's arguments for each part (`parts`),
    where to download the files by hand (`url`) and what to do with them then (`by_hand`, with `{root}` in it), and the
    files themselves (`files`).
    """

    root: str = "data"
    download: bool = False

    places: ClassVar[tuple[str, ...]] = ("root",)
    reader: ClassVar[str]
    url: ClassVar[str]
    by_hand: ClassVar[str]
    parts: ClassVar[tuple[dict[str, Any], ...]] = ({"train": True}, {"train": False})

    def fetch(self) -> None:
        """Download the files, if `download` is set and one of them is missing."""
        root = user_path(self.root)
        if self.download and not all((root / file).exists() for file in self.files(self._reader())):
            self._read()

    def listed(self) -> dict[str, list[Path]]:
        """The files that torchvision reads, those in folders too; `root` may hold much else."""
        root = user_path(self.root)
        return {"root": [path for file in self.files(self._reader()) for path in files_below(root / file)]}

    def files(self, reader: Any) -> dict[str, str | None]:
        """The files that torchvision's class `reader` expects below `root`: path -> MD5 checksum, None if unknown."""
        raise NotImplementedError

    def arrays(self, part: Any) -> tuple[np.ndarray, np.ndarray]:
        """The images, uint8 [N, C, H, W], and the labels, int64 [N], of one part as torchvision reads it."""
        images = np.asarray(part.data)
        if images.ndim == 3:
            images = images[:, None]
        elif images.shape[-1] == 3:
            images = images.transpose(0, 3, 1, 2)
        labels = part.targets if hasattr(part, "targets") else part.labels
        return images, np.asarray(labels, dtype=np.int64)

    def classes(self, part: Any) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return tuple(part.classes)

    def load(self) -> LabelledImages:
        """All images of all parts; `InputError` if files are missing or damaged, or a download failed."""
        images, labels, classes = self._read()
        everything = LabelledImages(np.ascontiguousarray(np.concatenate(images)), np.concatenate(labels), classes)
        if len(everything.images) != len(everything.labels):
            raise InputError(
                f"dataset {self.name!r} in {self.root} has {len(everything.images)} images and "
                f"{len(everything.labels)} labels: its files do not belong together{self._remedy()}"
            )
        return everything

    def _read(self) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray], tuple[str, ...]]:
        """The images and the labels of each part, and the classes, after a download if one is allowed and needed."""
        user_path(self.root)
        reader = self._reader()
        if self.download:
            reader = self._over_https(reader)
        try:
            parts = [reader(self.root, download=self.download, **part) for part in self.parts]
            images, labels = zip(*(self.arrays(part) for part in parts), strict=True)
            return images, labels, self.classes(parts[0])
        except InputError:
            raise
        except Exception as error:  # torchvision raises nearly anything on files that are missing, cut or foreign
            raise InputError(self._explain(reader, error)) from error

    def _reader(self) -> Any:
        """The class of torchvision that reads the data set."""
        import torchvision.datasets

        return getattr(torchvision.datasets, self.reader)

    def sources(self, reader: Any) -> list[str]:
        """The addresses that torchvision's class `reader` downloads from."""
        return list(reader.mirrors) if hasattr(reader, "mirrors") else [reader.url]

    def _over_https(self, reader: Any) -> Any:
        """`reader` restricted to downloads over HTTPS; `InputError` if the files are offered over plain HTTP only."""
        secure = [source for source in self.sources(reader) if source.startswith(SECURE)]
        if not secure:
            raise InputError(
                f"dataset {self.name!r} is offered over plain HTTP only and is not downloaded; take it from {self.url} "
                f"and {self.by_hand.format(root=user_path(self.root))}"
            )
        # torchvision names its folder of files after the class
        return type(reader.__name__, (reader,), {"mirrors": secure}) if hasattr(reader, "mirrors") else reader

    def _explain(self, reader: Any, error: Exception) -> str:
        """One sentence: the file that is missing or damaged, or else torchvision's message; and what to do about it."""
        from torchvision.datasets.utils import check_integrity

        root = user_path(self.root)
        files = self.files(reader)
        cause = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
        missing = [file for file in files if not (root / file).exists()]
        damaged = [file for file, md5 in files.items() if md5 and not check_integrity(str(root / file), md5)]
        if missing:
            more = f" and {len(missing) - 1} more, which are" if len(missing) > 1 else ", which is"
            problem = f"dataset {self.name!r} needs {root / missing[0]}{more} not there"
        elif damaged:
            problem = f"{root / damaged[0]} is damaged: its MD5 checksum is not {files[damaged[0]]}"
        else:
            problem = f"dataset {self.name!r} in {root} cannot be read ({cause})"
        if self.download and (missing or damaged):
            problem += f", and the download failed ({cause})"
        return problem + self._remedy()

    def _remedy(self) -> str:
        offered = any(source.startswith(SECURE) for source in self.sources(self._reader()))
        first = "" if self.download or not offered else "set data.params.download = true, or "
        return f"; {first}take it from {self.url} and {self.by_hand.format(root=user_path(self.root))}"

"""Lets torchvision be imported beside a torch build that its compiled operators do not match.

There are combinations (a CPU torch with the usual torchvision) where torchvision's `_C` library cannot be loaded. Then
`import torchvision` fails with "operator torchvision::nms does not exist", and takes every library down with it that
imports torchvision when it is there (diffusers, transformers, torchmetrics, torch-fidelity). Declaring the schemas of
the two operators that torchvision looks up while it is imported cures that: transforms, datasets and models work;
`ops.nms` and compiled image decoding do not. No kept library does this. Where `_C` loads, nothing is declared.
"""

import importlib
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_kept_alive: list[Any] = []  # torch forgets a schema when its Library object is collected


def install() -> None:
    """See to it that the first import of torchvision, by anyone, finds its operators declared.

    Imports nothing heavy itself, and does nothing if it was called before, if torchvision is imported already, or on
    Windows, where the published builds of torch and torchvision match and the library needs a search path of its own.
    """
    if sys.platform == "win32" or "torchvision" in sys.modules:
        return
    if not any(isinstance(finder, _TorchvisionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TorchvisionFinder())


def declare_missing_operators(folders: Sequence[str]) -> bool:
    """Declare the schemas if the `_C` library in `folders` (of the torchvision package) is missing or cannot be loaded.

    Returns whether it did. A schema that somebody else declared before is left as it is.
    """
    torch: Any = importlib.import_module("torch")  # late, and its load_library and Library have no types
    library = _operator_library(folders)
    if library is not None:
        try:
            torch.ops.load_library(library)
            return False
        except (ImportError, OSError):
            pass  # built for another torch: torchvision itself goes on without it, and so do we
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            fragment.define(schema)
    _kept_alive.append(fragment)
    return True


def _operator_library(folders: Sequence[str]) -> Path | None:
    """The `_C` library in `folders`, found as torchvision finds it, or None."""
    details = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    for folder in folders:
        spec = importlib.machinery.FileFinder(folder, details).find_spec("_C")
        if spec is not None and spec.origin is not None:
            return Path(spec.origin)
    return None


class _TorchvisionFinder(MetaPathFinder):
    """Hands torchvision out as the other finders find it, with a loader that acts once before the package runs.

    Acting in the loader, not here, keeps `importlib.util.find_spec("torchvision")` as cheap as it was.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchvision":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _TorchvisionLoader(spec.loader, self)
                return spec
        return None


class _TorchvisionLoader(Loader):
    """Declares what is missing, takes itself and its finder out of the way, and loads the package as usual."""

    def __init__(self, usual: Loader, finder: _TorchvisionFinder) -> None:
        self._usual = usual
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._usual.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._usual
            declare_missing_operators(spec.submodule_search_locations or [])
        module.__loader__ = self._usual
        self._usual.exec_module(module)

"""Makes torchvision importable with a torch build that its compiled operators do not match.

There are combinations (a CPU torch with the usual torchvision) in which torchvision's `_C` library cannot be loaded.
Then `import torchvision` fails with "operator torchvision::nms does not exist", and so does every library that imports
torchvision if it is installed (diffusers, transformers, torchmetrics, torch-fidelity). The remedy is to declare the
schemas of the two operators that torchvision looks up during its import. Then transforms, datasets and models work;
`ops.nms` and compiled image decoding do not. No maintained library does this. If `_C` loads, nothing is declared.
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

_kept_alive: list[Any] = []  # torch drops a schema when its Library object is garbage-collected


def install() -> None:
    """Install an import hook that declares the operators before the first import of torchvision, by any code.

    Imports nothing heavy itself. Does nothing if it was called before, if torchvision is already imported, or on
    Windows: there the published builds of torch and torchvision match, and the library needs a special search path.
    """
    if sys.platform == "win32" or "torchvision" in sys.modules:
        return
    if not any(isinstance(finder, _TorchvisionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TorchvisionFinder())


def declare_missing_operators(folders: Sequence[str]) -> bool:
    """Declare the schemas if the `_C` library in `folders` (of the torchvision package) is missing or cannot be loaded.

    Returns whether it did so. A schema that is declared already is left unchanged.
    """
    torch: Any = importlib.import_module("torch")  # imported late; its load_library and Library have no types
    library = _operator_library(folders)
    if library is not None:
        try:
            torch.ops.load_library(library)
            return False
        except (ImportError, OSError):
            pass  # built for another torch: torchvision itself continues without it, and so do we
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            fragment.define(schema)
    _kept_alive.append(fragment)
    return True


def _operator_library(folders: Sequence[str]) -> Path | None:
    """The `_C` library in `folders`, found in the same way as torchvision does, or None."""
    details = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    for folder in folders:
        spec = importlib.machinery.FileFinder(folder, details).find_spec("_C")
        if spec is not None and spec.origin is not None:
            return Path(spec.origin)
    return None


class _TorchvisionFinder(MetaPathFinder):
    """Finds torchvision through the other finders, and adds a loader that acts once before the package runs.

    The loader does the work, so that `importlib.util.find_spec("torchvision")` stays cheap.
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
    """Declares missing operators, removes itself and its finder, and loads the package as usual."""

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

"""The libraries that code uses, with their versions: part of the keys of what the code makes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec

from leakfront.harness.store.imports import imports_of

# distribution by the name that is imported; those of others are looked up, which takes longer
_KNOWN = {
    "numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn", "faiss": "faiss-cpu", "PIL": "Pillow",
    "torch": "torch", "torchvision": "torchvision", "diffusers": "diffusers", "opacus": "opacus", "peft": "peft",
    "torch_fidelity": "torch-fidelity", "transformers": "transformers", "pandas": "pandas", "matplotlib": "matplotlib",
    "seaborn": "seaborn", "jinja2": "jinja2", "markupsafe": "markupsafe", "accelerate": "accelerate", "ray": "ray",
}  # fmt: skip
# these carry values and decide none
_CARRIERS = frozenset({"safetensors", "annotated_types", "pydantic", "click", "rich", "tomli_w", "typing_extensions"})


def libraries_of(modules: Iterable[str]) -> dict[str, str]:
    """By name, the versions of the libraries that these modules import, late imports included.

    The standard library, Leakfront itself and code that is followed as such (see `is_code`) are no libraries.
    """
    modules = list(modules)
    tops = {name.partition(".")[0] for module in modules for name in imports_of(module)}
    own = {module.partition(".")[0] for module in modules}
    found = (name for top in tops - own - _CARRIERS - sys.stdlib_module_names for name in distributions(top))
    return {name: _version(name) for name in sorted({*found})}


def is_code(top: str, of: str) -> bool:
    """Whether a top-level module that a plug-in imports is code of its author, and no library with a version.

    of: the plug-in's own top-level module. Code is what comes in the same package, what no package brings, and what a
    package brings without being copied into the installation (an editable one), since its version says little there.
    """
    if top == of:
        return True
    if top in _KNOWN or top in _CARRIERS or top in sys.stdlib_module_names or top == "leakfront":
        return False
    brought = distributions(top)
    return not brought or bool({*brought} & {*distributions(of)}) or not _is_installed(top)


@cache
def distributions(top: str) -> tuple[str, ...]:
    """The names of the packages that bring a top-level module."""
    return (_KNOWN[top],) if top in _KNOWN else tuple(_all().get(top, ()))


@cache
def _all() -> Mapping[str, list[str]]:
    return packages_distributions()


def _is_installed(top: str) -> bool:
    spec = find_spec(top)
    places = [*(spec.submodule_search_locations or []), spec.origin or ""] if spec is not None else []
    return any(part in ("site-packages", "dist-packages") for place in places for part in place.split("/"))


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

"""The bundled benchmarks, one TOML file each, the studies, and `schema.json`, which `leakfront schema` makes."""

from importlib import resources
from importlib.resources.abc import Traversable

STUDIES = "studies"  # their folder; `leakfront run studies` runs them all


def bundled() -> list[str]:
    """Names of the benchmarks that come with the package."""
    return _names(resources.files(__name__))


def bundled_studies() -> list[str]:
    """Names of the studies that come with the package, as `leakfront run` takes them: "studies/gan"."""
    return [f"{STUDIES}/{name}" for name in _names(resources.files(__name__) / STUDIES)]


def _names(folder: Traversable) -> list[str]:
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))

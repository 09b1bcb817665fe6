"""The bundled benchmarks, one TOML file each, and `schema.json`, which `leakfront schema` makes."""

from importlib import resources


def bundled() -> list[str]:
    """Names of the benchmarks that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in resources.files(__name__).iterdir() if p.name.endswith(".toml"))

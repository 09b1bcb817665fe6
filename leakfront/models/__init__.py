"""The model families; one file each."""

from leakfront.models.contract import DiffusionModel, Generator, ModelFamily, generates
from leakfront.registry import Registry

registry = Registry(
    "model",
    "leakfront.models",
    "leakfront.models",
    not_plugins={"contract", "diffusion", "flow", "own_network", "patches", "preconditioning", "sampling"},
)
register = registry.register

__all__ = ["DiffusionModel", "Generator", "ModelFamily", "generates", "register", "registry"]

"""What is trained; one file is one model family."""

from leakfront.registry import Registry
from models.contract import DiffusionModel, ModelFamily

registry = Registry(
    "model",
    "models",
    "leakfront.models",
    not_plugins={"contract", "diffusion", "foreign", "foreign_settings", "sampling"},
)
register = registry.register

__all__ = ["DiffusionModel", "ModelFamily", "register", "registry"]

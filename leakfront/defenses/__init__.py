"""The defenses against leakage; one file each."""

from leakfront.defenses.contract import (
    ONE_COPY,
    Defense,
    Guarantee,
    Stopping,
    TrainingSet,
    TrainingSetup,
    TrainingStep,
)
from leakfront.defenses.serving import Prompts, Sampler, Serving
from leakfront.registry import Registry

registry = Registry("defense", "leakfront.defenses", "leakfront.defenses", not_plugins={"contract", "serving"})
register = registry.register

__all__ = [
    "ONE_COPY",
    "Defense",
    "Guarantee",
    "Prompts",
    "Sampler",
    "Serving",
    "Stopping",
    "TrainingSet",
    "TrainingSetup",
    "TrainingStep",
    "register",
    "registry",
]  # fmt: skip

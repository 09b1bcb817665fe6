"""What is tried against leakage; one file is one defense."""

from leakfront.defenses.contract import (
    Defense,
    Guarantee,
    Sampler,
    Serving,
    Stopping,
    TrainingSet,
    TrainingSetup,
    TrainingStep,
)
from leakfront.registry import Registry

registry = Registry("defense", "leakfront.defenses", "leakfront.defenses", not_plugins={"contract"})
register = registry.register

__all__ = [
    "Defense", "Guarantee", "Sampler", "Serving", "Stopping", "TrainingSet", "TrainingSetup", "TrainingStep",
    "register", "registry",
]  # fmt: skip

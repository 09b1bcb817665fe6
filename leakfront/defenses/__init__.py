"""The defenses against leakage; one file each."""

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

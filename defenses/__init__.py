"""What is tried against leakage; one file is one defense."""

from defenses.contract import (
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

NOT_PLUGINS = {
    "contract", "plain_step", "conv_grad_sample", "private_step", "distill_step", "augment_conditioning", "ranks",
    "sharded",
}  # fmt: skip

registry = Registry("defense", "defenses", "leakfront.defenses", not_plugins=NOT_PLUGINS)
register = registry.register

__all__ = [
    "Defense", "Guarantee", "Sampler", "Serving", "Stopping", "TrainingSet", "TrainingSetup", "TrainingStep",
    "register", "registry",
]  # fmt: skip

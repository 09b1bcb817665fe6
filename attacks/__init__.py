"""What is tried against the model; one file is one attack."""

from attacks.contract import (
    Access,
    Attack,
    Generation,
    Outside,
    PoolView,
    Scores,
    Shadow,
    Signal,
    Signals,
    Target,
)
from leakfront.registry import Registry

registry = Registry(
    "attack",
    "attacks",
    "leakfront.attacks",
    not_plugins={
        "contract", "suites", "queries", "gradients", "views", "nearest", "shadow_choice", "shadow_fit", "one_run",
        "many_run",
    },
)  # fmt: skip
register = registry.register

__all__ = [
    "Access", "Attack", "Generation", "Outside", "PoolView", "Scores", "Shadow", "Signal", "Signals", "Target",
    "register", "registry",
]  # fmt: skip

"""What is tried against the model; one file is one attack."""

from leakfront.attacks.contract import (
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

registry = Registry("attack", "leakfront.attacks", "leakfront.attacks", not_plugins={"contract", "suites", "nearest"})
register = registry.register

__all__ = [
    "Access", "Attack", "Generation", "Outside", "PoolView", "Scores", "Shadow", "Signal", "Signals", "Target",
    "register", "registry",
]  # fmt: skip

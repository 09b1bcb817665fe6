"""What is tried against the model; one file is one attack."""

from attacks.contract import Access, Attack, PoolView, Scores, Shadow, Signal, Signals, Target
from leakfront.registry import Registry

registry = Registry(
    "attack",
    "attacks",
    "leakfront.attacks",
    not_plugins={"contract", "queries", "nearest", "shadow_choice", "ddim", "one_run"},
)
register = registry.register

__all__ = ["Access", "Attack", "PoolView", "Scores", "Shadow", "Signal", "Signals", "Target", "register", "registry"]

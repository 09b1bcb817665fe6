"""The attacks on a model; one file is one attack."""

from typing import TYPE_CHECKING, Any

from leakfront.attacks.contract import (
    Access,
    Attack,
    Generated,
    Generation,
    GenerationContext,
    Outside,
    PoolView,
    Scores,
    Shadow,
    Signal,
    Signals,
    Target,
    Timesteps,
)
from leakfront.registry import Registry

if TYPE_CHECKING:
    from leakfront.attacks.queries.queries import Queries

registry = Registry("attack", "leakfront.attacks", "leakfront.attacks", not_plugins={"contract", "suites", "nearest"})
register = registry.register

__all__ = [
    "Access", "Attack", "Generated", "Generation", "GenerationContext", "Outside", "PoolView", "Queries", "Scores",
    "Shadow", "Signal", "Signals", "Target", "Timesteps", "register", "registry",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "Queries":  # imports torch, so it comes late
        from leakfront.attacks.queries.queries import Queries

        return Queries
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

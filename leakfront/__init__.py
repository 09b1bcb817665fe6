"""Leakfront measures what a defense against training-data leakage buys: extractable images against image quality.

Importing it does two things only. It makes the public calls reachable (`run`, `attack`, `load`, `LeakMonitor`; they are
imported when first used), and it installs a patch for torchvision builds whose compiled operators do not fit torch:
without it `import torchvision`, and with it diffusers, fails there. Builds that fit are not touched, and torch is not
imported.
"""

from typing import TYPE_CHECKING, Any

from leakfront.harness.machine.torchvision_operators import install
from leakfront.version import __version__

if TYPE_CHECKING:
    from leakfront.harness.calls import Result, attack, load, run
    from leakfront.harness.monitor import LeakMonitor

__all__ = ["LeakMonitor", "Result", "__version__", "attack", "load", "run"]

install()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from leakfront.harness import calls, monitor

    return getattr(monitor if name == "LeakMonitor" else calls, name)

"""Completion in the shell: names of benchmarks and of plug-ins, settings with their values, and folders.

click asks these functions at every press of the key, so they import what they need for the word at hand, and never
torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

# settings that name a plug-in, and the room of each
_SETTINGS = {"model.name": "models", "data.dataset": "datasets", "metrics.features": "features"}


def benchmarks(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The bundled benchmarks, the studies, and the TOML files of this folder; any file where none of these fits.

    A single study is proposed after the word `studies`.
    """
    from leakfront.configs import STUDIES, bundled, bundled_studies

    files = sorted(path.name for path in Path().glob("*.toml"))
    studies = [STUDIES, *(bundled_studies() if incomplete.startswith(STUDIES) else [])]
    return _beginning([*bundled(), *studies, *files], incomplete) or _of_kind("file", incomplete)


def plugins(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The plug-ins of the room that stands before."""
    return _beginning(_plugins(context.params.get("what")), incomplete)


def suites(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The suites of attacks."""
    from leakfront.attacks.suites import SUITES

    return _beginning(list(SUITES), incomplete)


def settings(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """KEY=VALUE for settings that name a plug-in or a suite."""
    words = []
    if _meets("suite=", incomplete):
        words += [f"suite={item.value}" for item in suites(context, parameter, "")]
    for key, room in _SETTINGS.items():
        if _meets(f"{key}=", incomplete):
            words += [f"{key}={name}" for name in _plugins(room)]
    if _meets("attacks.", incomplete):
        words += [f"attacks.{name}={{}}" for name in _plugins("attacks")]
    return _beginning(words, incomplete)


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders, as without this completion."""
    return _of_kind("dir", incomplete)


def _plugins(room: str | None) -> list[str]:
    from leakfront.harness.rooms import ROOMS

    return ROOMS[room].names() if room in ROOMS else []


def _meets(key: str, incomplete: str) -> bool:
    """Whether a word that begins like this may become one that begins with the key."""
    return key.startswith(incomplete) or incomplete.startswith(key)


def _beginning(words: list[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _of_kind(kind: str, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type=kind)]

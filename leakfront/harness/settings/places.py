"""The paths in a config. A run's folder states only the last name of each; the rest may name people and projects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from leakfront import attacks, datasets, defenses, models
from leakfront.errors import InputError
from leakfront.harness.machine.user import user_names
from leakfront.registry import Registry
from leakfront.results import features, metrics

DATASET = "data.dataset"
USER = "USER"  # stands for the user's name
_TEXTS = ("name", "title", "label")  # never paths, whatever they begin with
_ABSOLUTE = re.compile(r"~?/|~\w[^/]*/|[A-Za-z]:[\\/]|\\\\")


def places(settings: Mapping[str, Any]) -> dict[str, str]:
    """The paths in the settings of a config (as TOML holds them), by their keys: {"data.params.path": "~/photos"}.

    These are the parameters that a plug-in calls its `places`, `generated`, the path after "folder:" or "npz:", and any
    other text that is an absolute path. Key parts after the first are joined by dots; those of lists are numbers.
    """
    declared = set(_declared(settings))
    found = []
    for key, text in _texts(settings):
        is_declared = key == DATASET or key in declared or key.rpartition(".")[0] in declared  # one of several values
        if is_declared or (key.rpartition(".")[2] not in _TEXTS and _ABSOLUTE.match(text)):
            found.append(key)
    return paths_at(settings, found)


def paths_at(settings: Mapping[str, Any], keys: Iterable[str]) -> dict[str, str]:
    """What stands for paths at these keys of other settings; a key that they do not have is left out."""
    wanted = set(keys)
    held = {key: text for key, text in _texts(settings) if key in wanted}
    found = {key: text.partition(":")[2] if key == DATASET else text for key, text in held.items()}
    return {key: path for key, path in found.items() if path}


def shortened(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the settings with the last name of each path in place of the path."""
    return filled(settings, {key: short_name(path) for key, path in places(settings).items()})


def filled(settings: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A copy of the settings with these paths at their keys. A key that the settings do not have is ignored."""

    def copied(value: Any, key: str) -> Any:
        if isinstance(value, str) and key in paths:
            return f"{value.partition(':')[0]}:{paths[key]}" if key == DATASET else paths[key]
        if isinstance(value, Mapping):
            return {name: copied(inner, _joined(key, name)) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [copied(inner, _joined(key, number)) for number, inner in enumerate(value)]
        return value

    changed: dict[str, Any] = copied(settings, "")
    return changed


def short_name(path: str) -> str:
    """The last name of a path; the user's name in it is masked."""
    try:
        name = Path(os.path.abspath(Path(path).expanduser())).name  # noqa: PTH100 (it must not follow links)
    except (OSError, RuntimeError, ValueError):  # a path that cannot be: the home of nobody, a null character
        name = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
    return without_user(name) or "root"


def without_user(text: str) -> str:
    """The text with the name of the user masked, where it stands as a word."""
    for name in user_names():
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", USER, text, flags=re.IGNORECASE)
    return text


def is_alike(stated: str, path: str) -> bool:
    """Whether a run's folder that states this name of a path may mean `path`; another user may have masked a name."""
    pattern = ".+".join(map(re.escape, short_name(stated).split(USER)))
    return re.fullmatch(pattern, short_name(path)) is not None


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All texts in a value, with their dotted keys."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping | list | tuple):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _texts(inner, _joined(path, key))


def _joined(key: str, last: str | int) -> str:
    return f"{key}.{last}" if key else str(last)


def _declared(settings: Mapping[str, Any]) -> Iterator[str]:
    """The keys that always hold a path: `generated`, and what a plug-in of these settings calls its places."""
    yield "generated"
    for key, registry, name in _plugins(settings):
        try:
            plugin = registry.get(name) if isinstance(name, str) else None
        except (InputError, ImportError):  # the settings are of another version, or of somebody else
            continue
        yield from (f"{key}.{place}" for place in getattr(plugin, "places", ()))


def _plugins(settings: Mapping[str, Any]) -> Iterator[tuple[str, Registry, Any]]:
    """Every plug-in that the settings name: the key of its parameters, its registry and its name."""
    data, model, utility = (_table(settings.get(key)) for key in ("data", "model", "metrics"))
    yield "data.params", datasets.registry, str(data.get("dataset")).partition(":")[0]
    yield "model", models.registry, model.get("name")
    yield "metrics.features_params", features.registry, utility.get("features")
    for number, entry in enumerate(_list(utility.get("names"))):
        yield f"metrics.names.{number}", metrics.registry, _table(entry).get("name")
    for label, entry in _table(settings.get("attacks")).items():
        yield f"attacks.{label}", attacks.registry, _table(entry).get("attack", label)
    for number, entry in enumerate(_list(settings.get("defenses"))):
        yield f"defenses.{number}", defenses.registry, _table(entry).get("name")
        for layer, inner in enumerate(_list(_table(entry).get("stack"))):
            yield f"defenses.{number}.stack.{layer}", defenses.registry, _table(inner).get("name")


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []

"""The settings of a run as they may be shown: a text that may hold a path or a name is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakfront.results.run.shown_names import LEFT_OUT, ShownNames


def shareable_config(
    config: Any, names: ShownNames, renamed: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, Any]:
    """The config of run.json without its paths and private names.

    renamed: what stands at keys of its top level. labels: what stands for labels of defenses and attacks.
    """

    def shown(value: Any, key: str) -> Any:
        last = key.rpartition(".")[2]
        if isinstance(value, str):
            if key in renamed:
                return renamed[key]
            if key == "data.dataset":
                return value.partition(":")[0] if value.partition(":")[0] in names.public else LEFT_OUT
            if last == "subjects" or ".class_order." in key:  # both may name people
                return LEFT_OUT
            if last == "label":
                return labels.get(value, LEFT_OUT)
            return value if key not in names.places and names.shows(value) else LEFT_OUT
        if isinstance(value, Mapping):
            return {
                _key(str(name), key, names, labels): shown(inner, f"{key}.{name}" if key else str(name))
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [shown(inner, f"{key}.{number}") for number, inner in enumerate(value)]
        return value

    found: dict[str, Any] = shown(config, "") if isinstance(config, Mapping) else {}
    return found


def _key(name: str, section: str, names: ShownNames, labels: Mapping[str, str]) -> str:
    """A key of a section: the label of an attack, the name of a parameter, or what a user called a resource."""
    if section == "attacks":
        return labels.get(name, LEFT_OUT)
    return name if names.shows(name) or (name.isidentifier() and section != "execution.ray.resources") else LEFT_OUT

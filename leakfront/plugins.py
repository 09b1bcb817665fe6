"""Plug-ins built from settings, with every parameter checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from leakfront.errors import InputError
from leakfront.registry import Registry


def build(registry: Registry, name: Any, params: Mapping[str, Any], where: str) -> Any:
    """An instance of the plug-in `name` with `params`, types checked strictly.

    `where` is the key of the config that is named in errors. Raises `InputError` for an unknown name or key (with the
    nearest right one), a wrong type, or a value that the plug-in refuses.
    """
    from pydantic import TypeAdapter, ValidationError

    plugin = find(registry, name, where)
    known = [field.name for field in dataclasses.fields(plugin)]
    for key in params:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known_text = ", ".join(known) or "none"
            raise InputError(f"{where}: {name!r} has no parameter {key!r}{hint} (its parameters: {known_text})")
    try:
        text = json.dumps(dict(params), allow_nan=False)
        return TypeAdapter(plugin).validate_json(text, strict=True)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{where}: {error}") from None
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, InputError):
                raise InputError(f"{where}: {cause}") from None
            key = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{where}: {key} = {first.get('input')!r} is wrong: {first['msg'].lower()}") from None
        raise InputError(f"{where}: the parameters of {name!r} must be finite numbers, strings or lists") from None
    except (OSError, RuntimeError) as error:  # of a path that a parameter names
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{where}: {name!r} cannot be set up with these parameters: {cause}") from error


def find(registry: Registry, name: Any, where: str) -> type:
    """The class of the plug-in `name`; `InputError` names the key `where` if there is none of that name."""
    if not isinstance(name, str):
        raise InputError(f"{where} must have a key 'name' with the name of a {registry.kind}")
    try:
        return registry.get(name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def parameters(plugin: Any) -> dict[str, Any]:
    """All parameters of a plug-in, as JSON holds them."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(plugin)))
    return values


def default_values(plugin: type) -> dict[str, Any]:
    """The defaults of a plug-in's parameters."""
    return {f.name: f.default for f in dataclasses.fields(plugin) if f.default is not dataclasses.MISSING}

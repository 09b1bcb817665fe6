"""The parameters of a plug-in as JSON Schema, from the annotations that check them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from leakfront.parameters import adapters

_TABLES_OF_SCHEMAS = ("properties", "$defs")
_VALUES = ("default", "enum", "const", "required")
_NOTHING = {"type": "null"}


def parameter_schemas(plugin: type) -> dict[str, dict[str, Any]]:
    """Type, range and default of each parameter, by name.

    A parameter without a default, or whose default is None, has no `default`: TOML has no null. A type of another
    package that JSON Schema cannot express is left open.
    """
    found = {}
    for field in dataclasses.fields(plugin):
        if field.init:
            default = default_of(field)
            found[field.name] = _type(plugin, field.name) | ({} if default is None else {"default": default})
    return found


def required_parameters(plugin: type) -> list[str]:
    """The names of the parameters that have no default."""
    missing = dataclasses.MISSING
    return [
        field.name
        for field in dataclasses.fields(plugin)
        if field.init and field.default is missing and field.default_factory is missing
    ]


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a parameter as JSON holds it; None if it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return json.loads(json.dumps(field.default_factory(), default=str))
    return None if field.default is dataclasses.MISSING else json.loads(json.dumps(field.default, default=str))


def _type(plugin: type, name: str) -> dict[str, Any]:
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        found: dict[str, Any] = for_toml(adapters(plugin)[name].json_schema())
    except PydanticInvalidForJsonSchema:
        return {}
    return found


def for_toml(schema: Any) -> Any:
    """A schema of pydantic's without null, which TOML has not, without titles, and in the words of draft 7."""
    if isinstance(schema, list):
        return [for_toml(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _TABLES_OF_SCHEMAS:
            found[key] = {name: for_toml(inner) for name, inner in value.items()}
        elif key in _VALUES:
            found[key] = value
        elif key == "prefixItems":
            found |= {"items": for_toml(value), "additionalItems": False}
        elif key == "anyOf":
            options = [for_toml(option) for option in value if option != _NOTHING]
            found |= options[0] if len(options) == 1 else {"anyOf": options}
        elif key != "title":
            found[key] = for_toml(value)
    if found.get("default", 0) is None:
        del found["default"]
    return {"$ref": found["$ref"]} if "$ref" in found else found  # draft 7 ignores what stands beside a reference

"""The JSON Schema of a config: its sections, and the parameters of every plug-in that it can name.

It says what can be said of each setting alone. What follows from several settings together, or from the data, is for
`leakfront run --dry-run` to check. It keeps to draft 7, which editors for TOML know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from leakfront import attacks, datasets, defenses, models
from leakfront.attacks.suites import SUITES
from leakfront.harness.schema.parameters import for_toml, parameter_schemas, required_parameters
from leakfront.harness.settings.sections import Config, Data, Metrics
from leakfront.labels import FORMULA, NAME_PATTERN
from leakfront.registry import Registry, default_values
from leakfront.results import features, metrics
from leakfront.results.figures import figures

DRAFT = "http://json-schema.org/draft-07/schema#"
_Schema = dict[str, Any]
_LABEL: _Schema = {"type": "string", "minLength": 1, "pattern": f"^[^{re.escape(''.join(FORMULA))}]"}


def config_schema() -> tuple[_Schema, list[str]]:
    """The schema, and a sentence on each plug-in of another package that cannot be loaded; its parameters are free."""
    plugins = _Plugins()
    schema: _Schema = for_toml(Config.model_json_schema())
    settings, sections = schema["properties"], schema["$defs"]
    settings["suite"]["enum"] = ["", *SUITES]
    settings["figures"] = _figures()
    settings["model"] = plugins.table(models.registry)
    settings["defenses"]["items"] = _defense(plugins)
    settings["attacks"] = _attacks(plugins)
    _add_dataset(sections["Data"], plugins)
    _add_features(sections["Metrics"], plugins)
    sections["Metrics"]["properties"]["names"]["items"] = {
        "if": {"type": "string"},
        "then": {"enum": metrics.registry.names()},
        "else": plugins.table(metrics.registry),
    }
    sections |= plugins.definitions
    return {"$schema": DRAFT, "title": "A benchmark of Leakfront", **schema}, plugins.not_loaded


class _Plugins:
    """The plug-ins of a config: one definition each, which all places that name it refer to."""

    def __init__(self) -> None:
        self.definitions: dict[str, _Schema] = {}
        self.not_loaded: list[str] = []

    def table(self, registry: Registry, key: str = "name", beside: Iterable[str] = ()) -> _Schema:
        """A table with the name of a plug-in at `key`, and its parameters. beside: other keys of it, of any value."""
        names = registry.names()
        refs = {name: self.parameters(registry, name, {key: {"const": name}, **dict.fromkeys(beside, _LABEL)})
                for name in names}  # fmt: skip
        return {
            "type": "object",
            "properties": {key: {"enum": names}},
            "required": [key],
            "allOf": [{"if": _is(key, name), "then": ref} for name, ref in refs.items()],
            **_suggested(refs.values()),
        }

    def parameters(self, registry: Registry, name: str, others: _Schema | None = None, without: str = "") -> _Schema:
        """A reference to the table of a plug-in's parameters.

        others: further keys of that table. without: a parameter that is given elsewhere.
        """
        title = _title(registry, name) + (f"_without_{without}" if without else "")
        if title not in self.definitions:
            self.definitions[title] = self._table_of(registry, name, others or {}, without)
        return {"$ref": f"#/$defs/{title}"}

    def definition(self, registry: Registry, name: str) -> _Schema:
        """The definition behind a reference that `parameters` gave."""
        return self.definitions[_title(registry, name)]

    def _table_of(self, registry: Registry, name: str, others: _Schema, without: str) -> _Schema:
        package = registry.offered_by(name)
        try:
            plugin = registry.get(name)
        except Exception as error:
            if not package:
                raise
            sentence = f"{registry.kind} {name!r} of {package} cannot be loaded, so its parameters are not checked"
            self.not_loaded.append(f"{sentence} ({type(error).__name__}: {error})")
            return {"type": "object"}
        found = {key: schema for key, schema in parameter_schemas(plugin).items() if key != without}
        if registry is defenses.registry:
            found = {key: _swept(plugin, key, schema) for key, schema in found.items()}
        required = [key for key in required_parameters(plugin) if key != without]
        summary = getattr(plugin, "summary", "")
        return {
            "type": "object",
            **({"description": summary} if summary else {}),
            "properties": {**others, **found},
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }


def _title(registry: Registry, name: str) -> str:
    return f"{registry.kind} {name}".replace(" ", "_")


def _swept(plugin: type, key: str, schema: _Schema) -> _Schema:
    """A parameter of a defense: one value, or a list of values to sweep over."""
    if isinstance(default_values(plugin).get(key), tuple):
        return schema
    default = {"default": schema["default"]} if "default" in schema else {}
    one = {word: value for word, value in schema.items() if word != "default"}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}], **default}


def _defense(plugins: _Plugins) -> _Schema:
    one = plugins.table(defenses.registry, beside=["label"])
    plugins.definitions["defense"] = one
    layer = {"allOf": [{"$ref": "#/$defs/defense"}, {"not": {"required": ["label"]}}]}
    stack = {
        "type": "object",
        "properties": {"label": _LABEL, "stack": {"type": "array", "items": layer, "minItems": 1}},
        "additionalProperties": False,
    }
    reference = {"$ref": "#/$defs/defense"}
    return {"if": {"required": ["stack"]}, "then": stack, "else": reference, **_suggested([stack, reference])}


def _attacks(plugins: _Plugins) -> _Schema:
    """A table of attacks by their labels; a label that says which attack it is needs no `attack`."""
    registry = attacks.registry
    plugins.definitions["attack"] = plugins.table(registry, key="attack")
    of_label = {label: str(params.get("attack", label)) for suite in SUITES.values() for label, params in suite.items()}
    of_label |= {name: name for name in registry.names()}
    tables = {}
    for label, name in sorted(of_label.items()):
        of_name = plugins.parameters(registry, name)
        chosen = {"if": {"required": ["attack"]}, "then": {"$ref": "#/$defs/attack"}, "else": of_name}
        tables[label] = {"type": "object", **chosen, **_suggested([of_name])}
    return {
        "type": "object",
        "description": "Attacks by label: a table of parameters, and the attack's name if the label is another.",
        "propertyNames": {"pattern": NAME_PATTERN},
        "properties": tables,
        "additionalProperties": {"$ref": "#/$defs/attack"},
    }


def _add_dataset(section: _Schema, plugins: _Plugins) -> None:
    """Add the names of data sets, "NAME:PATH" for those that have a path, and the parameters of each."""
    registry, cases = datasets.registry, []
    with_path = []
    for name in registry.names():
        then: _Schema = {"properties": {"params": plugins.parameters(registry, name)}}
        if plugins.definition(registry, name).get("required"):
            then["required"] = ["params"]
        cases.append({"if": _is("dataset", name, Data.model_fields["dataset"].default), "then": then})
        if "path" in plugins.definition(registry, name).get("properties", {}):
            with_path.append(name)
            begins = {"properties": {"dataset": {"pattern": f"^{name}:"}}, "required": ["dataset"]}
            params = plugins.parameters(registry, name, without="path")
            cases.append({"if": begins, "then": {"properties": {"params": params}}})
    section["properties"]["dataset"] |= {
        "if": {"pattern": f"^({'|'.join(with_path)}):"},
        "else": {"enum": registry.names()},
        **_suggested([{"enum": registry.names()}]),
    }
    section["allOf"] = cases


def _add_features(section: _Schema, plugins: _Plugins) -> None:
    registry, default = features.registry, Metrics.model_fields["features"].default
    section["properties"]["features"]["enum"] = registry.names()
    section["allOf"] = [
        {"if": _is("features", name, default),
         "then": {"properties": {"features_params": plugins.parameters(registry, name)}}}
        for name in registry.names()
    ]  # fmt: skip


def _figures() -> _Schema:
    """Only figures of other packages are named; those that are built in are always drawn."""
    offered = [name for name in figures.names() if figures.offered_by(name)]
    return {"type": "array", **({"items": {"enum": offered}} if offered else {"maxItems": 0}), "default": []}


def _is(key: str, name: str, default: str | None = None) -> _Schema:
    """The condition that a table names a plug-in; without the key, it names the default."""
    return {"properties": {key: {"const": name}}, **({} if name == default else {"required": [key]})}


def _suggested(options: Iterable[_Schema]) -> _Schema:
    """Options that an editor may propose. They refuse nothing, since the first one accepts everything."""
    return {"anyOf": [{}, *options]}

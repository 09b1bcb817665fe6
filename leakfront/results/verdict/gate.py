"""The gate: rules that say how large a number of a run may be, read from TOML."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leakfront.documents import load_json, load_toml, parse_toml
from leakfront.errors import InputError
from leakfront.labels import is_label

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

VERDICT = "verdict.json"
Text = Annotated[str, Field(max_length=300)]
Label = Annotated[str, Field(min_length=1, max_length=300)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Rule(_Form):
    """One number of a run may be at most so much.

    metric, level, source: those of a row; without a source, the rows of all attacks count, but of no control. at_most:
    the limit. share: whether value and interval are divided by the row's n. warns: whether a rule that fails only
    warns. halved: whether chance gives each further one half as often; then one of m numbers of a model, from attacks
    and splits, must be log2(m) above the limit to fail (Bonferroni). what, why: the quantity and the limit in words.
    """

    metric: Label
    at_most: Annotated[float, Field(allow_inf_nan=False)]
    level: Annotated[float, Field(allow_inf_nan=False)] | None = None
    source: Label | None = None
    share: bool = False
    warns: bool = False
    halved: bool = False
    what: Text = ""
    why: Text = ""

    @property
    def name(self) -> str:
        """What it is about: in its words, in those of the default gate, or by metric, level and source of its rows."""
        if words := self.what or _default_words().get((self.metric, self.level)):
            return words
        level = "" if self.level is None else f" {self.level:g}"
        return f"{self.metric}{level}{f' of {self.source}' if self.source else ''}"


class Gate(_Form):
    """The rules of a release. attacker, undecided, models: as the comments of the default gate, gate.toml, say."""

    attacker: Literal["weights", "samples"] = "weights"
    undecided: Literal["pass", "fail"] = "pass"
    models: tuple[Label, ...] = ()
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=100)]


def default_gate() -> Gate:
    """The gate that is used where no other is named."""
    return _checked(parse_toml((files(__package__) / "gate.toml").read_text(encoding="utf-8")), "gate.toml")


@cache
def _default_words() -> dict[tuple[str, float | None], str]:
    """The words of the default gate's rules, by metric and level."""
    return {(rule.metric, rule.level): rule.what for rule in default_gate().rules}


def read_gate(path: Path) -> Gate:
    """The gate in a TOML file. Raises `InputError` that names the file and the key that is not as it should be."""
    try:
        found = load_toml(path)
    except ValueError as error:
        raise InputError(
            f"{path} cannot be read as a gate ({error}); the documentation has one to start from"
        ) from None
    return _checked(found, str(path))


def stored_gate(folder: Path) -> Gate | None:
    """The gate in a run's `verdict.json`; None if there is none. Raises `InputError` as `read_gate`."""
    path = folder / VERDICT
    if not path.exists():
        return None
    try:
        return _checked(load_json(path)["gate"], str(path))
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it, or make it again with: leakfront gate") from None


def gate_of(run: RunData) -> Gate:
    """The gate of a run: the one that its `verdict.json` states, or the default one.

    Where a run may be shared, models have the names that may be shown, and texts that others wrote are left out.
    """
    gate, own = stored_gate(run.folder) or default_gate(), default_gate()
    if not run.may_be_shared:
        return gate
    known = {text for rule in own.rules for text in (rule.what, rule.why)}
    texts = [
        {key: text if (text := getattr(rule, key)) in known else "" for key in ("what", "why")} for rule in gate.rules
    ]
    rules = tuple(rule.model_copy(update=update) for rule, update in zip(gate.rules, texts, strict=True))
    return gate.model_copy(update={"rules": rules, "models": tuple(run.shown(label) for label in gate.models)})


def _checked(content: Any, where: str) -> Gate:
    try:
        gate = Gate.model_validate_json(json.dumps(content))  # as JSON, so that lists may stand for tuples
    except (ValidationError, TypeError, ValueError) as error:
        raise InputError(f"{where}: {_first(error)}") from None
    texts = [*gate.models, *(text for rule in gate.rules for text in (rule.metric, rule.source, rule.what, rule.why))]
    for text in texts:
        if text and not is_label(text):
            raise InputError(f"{where}: {text!r} must be printable and must not begin like a formula")
    return gate


def _first(error: Exception) -> str:
    """The first key that is wrong, and what would be right."""
    if not isinstance(error, ValidationError):
        return f"it is no gate ({error})"
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the whole"
    return f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}"

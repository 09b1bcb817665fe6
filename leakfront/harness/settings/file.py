"""Read a benchmark's TOML file, bundled or from a path; apply overrides, and shrink it for a smoke run."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from leakfront.configs import bundled, bundled_studies
from leakfront.documents import parse_toml
from leakfront.errors import InputError
from leakfront.harness.settings.sections import Config, parse_config

MAX_BYTES = 64 * 2**10  # of a config; the largest bundled one has 3 KiB
MAX_DEPTH = 16  # of nested sections and lists; no meaningful config has more than 6
INT64 = 2**63  # TOML's integers

# --smoke lowers these settings to these values if they are higher or not set
SMOKE = {
    "splits": 2,
    "data.pool": 96,
    "data.reference": 200,
    "training.steps": 40,
    "training.batch_size": 32,
    "sampling.images": 128,
    "sampling.steps": 5,
    "probe.outside": 40,
}
INSTEAD = {"training.steps": "epochs", "training.epochs": "steps"}  # what an override takes the place of
SMOKE_BASE_STEPS = 40  # of a base that is fine-tuned
SMOKE_GUESSES = 40  # of the one-run audit
SMOKE_GROUPS = 8  # of planted duplicates
SMOKE_SIDE = 5  # of the features "pixels": 75 values of a coloured image, fewer than the pool has images, for FID


def load_config(source: str, overrides: tuple[str, ...] = (), smoke: bool = False) -> Config:
    """Read a benchmark.

    source: a path to a TOML file, or the name of a bundled benchmark or study. overrides: "dotted.key=value", the value
    in TOML (a bare word is a string). smoke: shrink it to a size that only tests that it runs. Raises `InputError`.
    """
    return overridden(read_settings(source), overrides, smoke)


def overridden(settings: dict[str, Any], overrides: tuple[str, ...] = (), smoke: bool = False) -> Config:
    """Shrink settings as TOML holds them, if asked to, apply overrides, and check them; see `load_config`.

    The settings are changed in place. Raises `InputError`.
    """
    if smoke:
        _shrink(settings)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {override!r} must have the form key=value, for example training.steps=500")
        _set(settings, key.strip(), _toml_value(key.strip(), text.strip()))
    check_values(settings)
    return parse_config(settings)


def _shrink(settings: dict[str, Any]) -> None:
    """Shrink a benchmark as far as all its parts still run."""
    for key, small in SMOKE.items():
        *path, last = key.split(".")
        place: Any = settings
        for part in path:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
        _lower(place, last, small, otherwise=small)
    if isinstance(settings["training"], dict):
        settings["training"].pop("epochs", None)  # the steps above take their place
    _lower(settings.get("model"), "base_steps", SMOKE_BASE_STEPS)
    _lower_guesses(settings.setdefault("statistics", {}))
    duplicates = settings["data"].get("duplicates") if isinstance(settings["data"], dict) else None
    copies = duplicates.get("copies") if isinstance(duplicates, dict) else None
    _lower(duplicates, "groups", max(SMOKE_GROUPS, len(copies)) if isinstance(copies, list) else SMOKE_GROUPS)
    metrics = settings.get("metrics")
    if isinstance(metrics, dict) and metrics.get("features") == "pixels":
        _lower(metrics.setdefault("features_params", {}), "side", SMOKE_SIDE, otherwise=SMOKE_SIDE)
    name = settings.get("name", "run")
    title = settings.get("title", name)
    if isinstance(name, str) and isinstance(title, str):
        settings["name"] = f"{name}-smoke"
        settings["title"] = f"{title or name} (smoke run: shrunk until its numbers mean nothing)"
    defenses = settings.get("defenses")
    for entry in defenses if isinstance(defenses, list) else []:
        stack = entry.get("stack") if isinstance(entry, dict) else None
        for layer in stack if isinstance(stack, list) else [entry]:
            for key in ("steps", "batch_size", "physical_batch_size"):
                _lower(layer, key, SMOKE["training.steps" if key == "steps" else "training.batch_size"])


def _lower(place: Any, key: str, most: int, otherwise: int | None = None) -> None:
    """Lower a number to `most`, or set it to `otherwise` if it is missing.

    Values of a wrong type are left for the later check to report.
    """
    if not isinstance(place, dict):
        return
    if isinstance(held := place.get(key, otherwise), int) and not isinstance(held, bool):
        place[key] = min(held, most)


def _lower_guesses(statistics: Any) -> None:
    """Lower the numbers of guesses, one or several; by default, they are this number and a third of the coins."""
    if not isinstance(statistics, dict):
        return
    if isinstance(held := statistics.get("audit_guesses", [SMOKE_GUESSES, "1/3"]), list):
        whole = [isinstance(entry, int) and not isinstance(entry, bool) for entry in held]
        held = [min(entry, SMOKE_GUESSES) if is_whole else entry for entry, is_whole in zip(held, whole, strict=True)]
    statistics["audit_guesses"] = held
    _lower(statistics, "audit_guesses", SMOKE_GUESSES)


def read_settings(source: str) -> dict[str, Any]:
    """The settings in a TOML file, or of a bundled benchmark or study, unchecked. Raises `InputError`."""
    path, names = Path(source), [*bundled(), *bundled_studies()]
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
        if is_file:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise InputError(f"config {source!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not is_file and source in names:
        content = resources.files("leakfront.configs").joinpath(f"{source}.toml").read_bytes()
    elif is_folder:
        raise InputError(f"config {source!r} is a folder; give a TOML file")
    elif path.suffix == ".toml" and not is_file:
        raise InputError(f"config file {source!r} does not exist (bundled benchmarks: {', '.join(names)})")
    elif not is_file:
        near = get_close_matches(source, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"no config file and no bundled benchmark {source!r}{hint} (bundled: {', '.join(names)})")
    if len(content) > MAX_BYTES:
        raise InputError(f"config {source!r} is larger than {MAX_BYTES // 1024} KiB; give a smaller TOML file")
    try:
        return parse_toml(content.decode("utf-8-sig"))
    except ValueError as error:
        raise InputError(f"config {source!r} is not valid TOML: {error}") from None


def check_values(value: Any, path: tuple[str, ...] = ()) -> None:
    """Raise `InputError` for integers that TOML does not have, and for nesting too deep for the code that follows."""
    if len(path) > MAX_DEPTH:
        raise InputError(f"{path[0]!r} in the config is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            check_values(inner, (*path, str(name)))
    elif isinstance(value, int) and not -INT64 <= value < INT64:
        raise InputError(f"{'.'.join(path)!r} in the config is an integer beyond 64 bits; TOML has none")


def _toml_value(key: str, text: str) -> Any:
    try:
        settings = parse_toml(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    except ValueError as error:
        raise InputError(f"--set {key}: {text!r} is not a TOML value: {error}") from None
    return settings["value"] if len(settings) == 1 else text


def _set(settings: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    place = settings
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise InputError(f"--set {dotted}: {part!r} is not a section of the config")
    place[last] = value
    if dotted in INSTEAD:
        place.pop(INSTEAD[dotted], None)

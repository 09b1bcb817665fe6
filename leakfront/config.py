"""The benchmark's settings: a TOML file, checked key by key."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leakfront.errors import InputError

Positive = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Duplicates(_Section):
    """Images planted more than once in the training set; `kind` says how the copies differ from the original."""

    groups: int = Field(0, ge=0)
    copies: Positive = 10
    kind: Literal["exact", "shifted", "noised", "recompressed"] = "exact"


class Data(_Section):
    """The pool and what lies outside it. `coin` is the probability of membership; `params` go to the data set."""

    dataset: str = "digits"
    params: dict[str, Any] = {}
    pool: Positive = 1024
    coin: float = Field(0.5, gt=0, lt=1)
    reference: Positive | None = None
    duplicates: Duplicates = Duplicates()


class Training(_Section):
    """The budget that every model gets, unless its defense says otherwise."""

    steps: Positive = 2000
    batch_size: Positive = 64
    learning_rate: float = Field(3e-3, gt=0)
    ema_decay: float = Field(0.999, ge=0, lt=1)
    checkpoint_seconds: float = Field(60, gt=0)


class Sampling(_Section):
    """How many images each model generates, and how."""

    images: Positive = 2048
    scheduler: Literal["ddim", "ddpm", "dpm_solver++"] = "ddim"
    steps: Positive = 50
    eta: float = Field(0.0, ge=0, le=1)
    batch_size: Positive = 256


class Probe(_Section):
    """How the model is queried. outside: how many images from outside the pool (of the reference) attacks may ask
    about."""

    batch_size: Positive = 256
    gradient_batch_size: Positive = 64
    outside: Positive = 256


class Statistics(_Section):
    """false_discovery_rate: of the extracted count. guesses, delta: of the one-run audit, fixed beforehand."""

    false_discovery_rate: float = Field(0.05, gt=0, lt=1)
    audit_guesses: Positive = 100
    audit_delta: float = Field(1e-5, gt=0, lt=1)


class Metrics(_Section):
    """The feature extractor with its parameters, and the metrics computed from its features: names, or tables of a name
    and parameters."""

    features: str = "embedded"
    features_params: dict[str, Any] = {}
    names: tuple[str | dict[str, Any], ...] = ("fid", "kid")


class Execution(_Section):
    """threads: of each worker process; device: cpu, cuda or cuda:N."""

    threads: Positive = 1
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")


class Config(_Section):
    """One benchmark.

    `defenses` hold names with parameters; a list of values sweeps a parameter. `suite` names a fixed list of attacks;
    `attacks` adds to it, or changes it: what rows call an attack, with its parameters, and with its name as `attack`
    where that is another. Without a suite the attacks are those of `attacks` alone, or the suite "quick" if there are
    none.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = ""
    seed: int = Field(0, ge=0)
    splits: Positive = 3
    suite: str = ""
    data: Data = Data()
    model: dict[str, Any] = {"name": "unet"}
    training: Training = Training()
    sampling: Sampling = Sampling()
    probe: Probe = Probe()
    defenses: tuple[dict[str, Any], ...] = ({"name": "none"},)
    attacks: dict[str, dict[str, Any]] = {}
    metrics: Metrics = Metrics()
    statistics: Statistics = Statistics()
    execution: Execution = Execution()


# what --smoke lowers: to these values where they are higher, or were not given
SMOKE = {
    "splits": 2,
    "data.pool": 96,
    "data.reference": 200,
    "training.steps": 40,
    "training.batch_size": 32,
    "sampling.images": 128,
    "sampling.steps": 5,
    "probe.outside": 40,
    "statistics.audit_guesses": 40,
}
SMOKE_GROUPS = 8  # of planted duplicates


def load_config(source: str, overrides: tuple[str, ...] = (), smoke: bool = False) -> Config:
    """Read a benchmark.

    source: a path to a TOML file, or the name of a bundled benchmark. overrides: "dotted.key=value", the value in
    TOML (a bare word is a string). smoke: shrink it so that it only shows that everything runs. Raises `InputError`.
    """
    settings = _read_toml(source)
    if smoke:
        _shrink(settings)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {override!r} must have the form key=value, for example training.steps=500")
        _set(settings, key.strip(), _toml_value(text.strip()))
    return parse_config(settings)


def _shrink(settings: dict[str, Any]) -> None:
    """Make a benchmark as small as it can be and still run every part of itself."""
    for key, small in SMOKE.items():
        _set(settings, key, min(small, _get(settings, key, small)))
    if _get(settings, "data.duplicates.groups", 0) > SMOKE_GROUPS:
        _set(settings, "data.duplicates.groups", SMOKE_GROUPS)
    settings["name"] = f"{settings.get('name', 'run')}-smoke"
    for entry in settings.get("defenses", []):
        for layer in entry.get("stack", [entry]):
            for key in ("steps", "batch_size", "physical_batch_size"):
                if isinstance(layer.get(key), int):
                    layer[key] = min(layer[key], SMOKE["training.steps" if key == "steps" else "training.batch_size"])


def _get(settings: dict[str, Any], dotted: str, otherwise: int) -> int:
    """A number of the settings; what is no number is left for the check of the whole to complain about."""
    place: Any = settings
    for part in dotted.split("."):
        place = place.get(part) if isinstance(place, dict) else None
    return place if isinstance(place, int) else otherwise


def parse_config(settings: dict[str, Any]) -> Config:
    """Check settings read from TOML or JSON; one sentence for the first thing that is wrong."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


def bundled() -> list[str]:
    """Names of the benchmarks that come with the package."""
    return sorted(
        p.name.removesuffix(".toml") for p in resources.files("configs").iterdir() if p.name.endswith(".toml")
    )


def _read_toml(source: str) -> dict[str, Any]:
    path = Path(source)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise InputError(f"config file {source!r} does not exist (bundled benchmarks: {', '.join(bundled())})")
        content = path.read_bytes()
    elif source in bundled():
        content = resources.files("configs").joinpath(f"{source}.toml").read_bytes()
    else:
        near = get_close_matches(source, bundled(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"no config file and no bundled benchmark {source!r}{hint} (bundled: {', '.join(bundled())})")
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config {source!r} is not valid TOML: {error}") from None


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(settings: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    place = settings
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise InputError(f"--set {dotted}: {part!r} is not a section of the config")
    place[last] = value


def _sentence(error: ValidationError) -> str:
    """The first of pydantic's complaints as one sentence that names the key."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = get_close_matches(place[-1], known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"unknown key {key!r} in the config{hint} (known there: {', '.join(known)})"
    if first["type"] == "missing":
        return f"the config lacks the key {key!r}"
    return f"{key} = {first.get('input')!r} in the config is wrong: {first['msg'].lower()}"


def _known_keys(path: list[str]) -> list[str]:
    section: Any = Config
    for part in path:
        section = section.model_fields[part].annotation
    return sorted(section.model_fields)

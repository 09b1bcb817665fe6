"""The benchmark's settings, checked key by key."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from leakfront.errors import InputError

# strict: "5" and true are no numbers
Whole = Annotated[int, Field(strict=True)]
Positive = Annotated[Whole, Field(ge=1)]
Number = Annotated[float, Field(strict=True)]

MAX_SPLITS = 1000  # of one defense; every one is a model, and LiRA's study of shadow models has 256


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Duplicates(_Section):
    """Images planted more than once in the training set; `kind` says how the copies differ from the original."""

    groups: Whole = Field(0, ge=0)
    copies: Positive = 10
    kind: Literal["exact", "shifted", "noised", "recompressed"] = "exact"


class Data(_Section):
    """The pool and what lies outside it. `coin` is the probability of membership (of a data set that states who the
    members are there is none, and `pool` is how many images it has); `params` go to the data set."""

    dataset: str = "digits"
    params: dict[str, Any] = {}
    pool: Positive = 1024
    coin: Number = Field(0.5, gt=0, lt=1)
    reference: Positive | None = None
    duplicates: Duplicates = Duplicates()


class Training(_Section):
    """The budget that every model gets, unless its defense says otherwise."""

    steps: Positive = 2000
    batch_size: Positive = 64
    learning_rate: Number = Field(3e-3, gt=0)
    ema_decay: Number = Field(0.999, ge=0, lt=1)
    checkpoint_seconds: Number = Field(60, gt=0)


class Sampling(_Section):
    """How many images each model generates, and how."""

    images: Positive = 2048
    scheduler: Literal["ddim", "ddpm", "dpm_solver++"] = "ddim"
    steps: Positive = 50
    eta: Number = Field(0.0, ge=0, le=1)
    batch_size: Positive = 256


class Probe(_Section):
    """How the model is queried. outside: how many images from outside the pool (of the reference) attacks may ask
    about."""

    batch_size: Positive = 256
    gradient_batch_size: Positive = 64
    outside: Positive = 256


class Statistics(_Section):
    """false_discovery_rate: of the extracted count. guesses, delta: of the one-run audit, fixed beforehand."""

    false_discovery_rate: Number = Field(0.05, gt=0, lt=1)
    audit_guesses: Positive = 100
    audit_delta: Number = Field(1e-5, gt=0, lt=1)


class Metrics(_Section):
    """The feature extractor with its parameters, and the metrics computed from its features: names, or tables of a name
    and parameters."""

    features: str = "embedded"
    features_params: dict[str, Any] = {}
    names: tuple[str | dict[str, Any], ...] = ("fid", "kid")


class RayNeeds(_Section):
    """What a task on Ray asks of a node beside its threads and its GPU: memory, and the cluster's own resources."""

    memory_gib: Number | None = Field(None, gt=0)
    resources: dict[str, Annotated[Number, Field(gt=0)]] = {}


class Execution(_Section):
    """threads: of each process; device: cpu, cuda or cuda:N. processes: that train one model together, on as many GPUs
    if the device is cuda."""

    threads: Positive = 1
    processes: Positive = 1
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    ray: RayNeeds = RayNeeds()

    @model_validator(mode="after")
    def _one_gpu_for_each_process(self) -> Execution:
        if self.processes > 1 and self.device.startswith("cuda:"):
            raise ValueError(f"with {self.processes} processes, each on a GPU of its own, device must be cuda")
        return self


class Config(_Section):
    """One benchmark.

    `defenses` hold names with parameters; a list of values sweeps a parameter. `suite` names a fixed list of attacks;
    `attacks` adds to it, or changes it: what rows call an attack, with its parameters, and with its name as `attack`
    where that is another. Without a suite the attacks are those of `attacks` alone, or the suite "quick" if there are
    none.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = ""
    seed: Whole = Field(0, ge=0)
    splits: Positive = Field(3, le=MAX_SPLITS)
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


def parse_config(settings: dict[str, Any]) -> Config:
    """Check settings read from TOML or JSON; one sentence for the first thing that is wrong."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


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

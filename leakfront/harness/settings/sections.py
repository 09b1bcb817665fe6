"""The settings of a benchmark, checked key by key."""

from __future__ import annotations

import re
from difflib import get_close_matches
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from leakfront.errors import InputError
from leakfront.harness.settings.duplicates import Duplicates
from leakfront.harness.settings.study import Study

# strict: "5" and true are not numbers
Whole = Annotated[int, Field(strict=True)]
Positive = Annotated[Whole, Field(ge=1)]
Number = Annotated[float, Field(strict=True)]

SHARE = r"^[1-9][0-9]{0,5}/[1-9][0-9]{0,5}$"  # a share of the coins, such as 1/3

DEFAULT_STEPS = 2000
MAX_SPLITS = 1000  # per defense; each is a model to train, and LiRA's study of shadow models has 256


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Section):
    """The pool and the images outside it.

    params: parameters of the data set. pool: the number of images in the pool. coin: the probability of membership. For
    a data set that states who the members are, `pool` is the number of members and decoys, and there is no coin.
    reference: the number of images outside the pool for FID. labels: what class-conditional models are told of each
    image: its class, "none", one of ten drawn at random, or a "unique" one.
    """

    dataset: str = "digits"
    params: dict[str, Any] = {}
    pool: Positive = 1024
    coin: Number = Field(0.5, gt=0, lt=1)
    reference: Positive | None = None
    labels: Literal["class", "none", "random", "unique"] = "class"
    duplicates: Duplicates = Duplicates()


class Training(_Section):
    """The training budget of every model, unless its defense changes it.

    steps or epochs: how long, one of them; 2,000 steps if neither is given. An epoch is as many images as the training
    set has after defenses such as dedup, or, where its size is private, as it is expected to have.
    """

    steps: Positive | None = None
    epochs: Number | None = Field(None, gt=0)
    batch_size: Positive = 64
    learning_rate: Number = Field(3e-3, gt=0)
    ema_decay: Number = Field(0.999, ge=0, lt=1)
    checkpoint_seconds: Number = Field(60, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _steps_or_epochs(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = [key for key in ("steps", "epochs") if value.get(key) is not None]
        if len(given) > 1:
            raise ValueError("training.steps and training.epochs are both given; give one of them")
        return value if given else {**value, "steps": DEFAULT_STEPS}

    def in_steps(self, images: float) -> int:
        """The number of steps, for a training set of this size; at least 1."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * images / self.batch_size))


class Sampling(_Section):
    """How many images each model generates, and how.

    guidance: the scale of classifier-free guidance, 1 for none; only for models that know a null condition.
    """

    images: Positive = 2048
    scheduler: Literal["ddim", "ddpm", "dpm_solver++"] = "ddim"
    steps: Positive = 50
    eta: Number = Field(0.0, ge=0, le=1)
    guidance: Number = Field(1.0, ge=0, le=100)
    batch_size: Positive = 256


class Probe(_Section):
    """How the model is queried. outside: the number of reference images that attacks may query."""

    batch_size: Positive = 256
    gradient_batch_size: Positive = 64
    outside: Positive = 256


_NUMBER = {"type": "integer", "minimum": 2, "multipleOf": 2}
_SHARE = {"type": "string", "pattern": SHARE}
_SEVERAL = {"type": "array", "items": {"anyOf": [_NUMBER, _SHARE]}, "minItems": 1}
_GUESSES = {"anyOf": [_NUMBER, _SHARE, _SEVERAL]}  # what the check below takes, for editors


class Statistics(_Section):
    """The level of the extracted count, and the guesses and delta of the one-run audit, all fixed in advance.

    audit_guesses: a number of guesses, a share of the coins ("1/3"), or a list of these, of which the best counts.
    """

    false_discovery_rate: Number = Field(0.05, gt=0, lt=1)
    audit_guesses: Annotated[int | str | tuple[int | str, ...], WithJsonSchema(_GUESSES)] = (100, "1/3")
    audit_delta: Number = Field(1e-5, gt=0, lt=1)

    @field_validator("audit_guesses", mode="before")
    @classmethod
    def _numbers_or_shares(cls, value: Any) -> Any:
        several = isinstance(value, list | tuple)
        entries = value if several else [value]
        if not entries or not all(map(_is_number_of_guesses, entries)):
            raise PydanticCustomError(
                "guesses",
                'it must be an even number of guesses (100), a share of the coins ("1/3"), or a list of these',
            )
        return tuple(value) if several else value

    def guesses(self, coins: int) -> tuple[int, ...]:
        """The different numbers of guesses for this many coins; a share is rounded down to an even number."""
        entries = self.audit_guesses if isinstance(self.audit_guesses, tuple) else (self.audit_guesses,)
        numbers = (e if isinstance(e, int) else int(Fraction(e) * coins / 2) * 2 for e in entries)
        return tuple(dict.fromkeys(numbers))


def _is_number_of_guesses(value: Any) -> bool:
    """Whether it is an even whole number from 2 up, or a text like "1/3" for a share above 0 and up to 1."""
    if isinstance(value, str) and re.fullmatch(SHARE, value):
        return Fraction(value) <= 1
    return isinstance(value, int) and not isinstance(value, bool) and value >= 2 and value % 2 == 0


class Metrics(_Section):
    """The feature extractor with its parameters, and the metrics on its features.

    names: each a name, or a table with `name` and parameters.
    """

    features: str = "embedded"
    features_params: dict[str, Any] = {}
    names: tuple[str | dict[str, Any], ...] = ("fid", "kid")


class RayNeeds(_Section):
    """What a Ray task needs of a node in addition to threads and GPUs: memory, and custom resources of the cluster."""

    memory_gib: Number | None = Field(None, gt=0)
    resources: dict[str, Annotated[Number, Field(gt=0)]] = {}


class Execution(_Section):
    """How the work is executed.

    threads: per process. processes: how many train one model together; with device cuda, each on its own GPU. device:
    cpu, cuda or cuda:N.
    """

    threads: Positive = 1
    processes: Positive = 1
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    ray: RayNeeds = RayNeeds()

    @model_validator(mode="after")
    def _one_gpu_for_each_process(self) -> Execution:
        if self.processes > 1 and self.device.startswith("cuda:"):
            raise ValueError(f"with {self.processes} processes, each on its own GPU, device must be cuda")
        return self


class Config(_Section):
    """One benchmark.

    defenses: tables of a `name` and parameters; a list of values sweeps a parameter. suite: the name of a fixed list of
    attacks. attacks: adds attacks to the suite, or changes them. Each key is an attack's label in the rows, and its
    table holds the parameters, and the attack's name as `attack` if the label differs from it. Without a suite, the
    attacks are those in `attacks`, or the suite "quick-v2" if there are none. generated: a folder of images that are
    judged in place of samples of the model; with model.name = "no_model" they are judged alone. halves: whether a
    second model is trained for each, on the decoys, and compared with it on the same noise. figures: the names of
    figures of other packages that the report draws after its own. privacy_seed: what private models draw from, if their
    draws are to be repeated; by default a secret that is drawn for the run. It is never written to the run's config,
    rows or report, and the guarantees hold only while it stays secret. study: what is asked of the run, and expected.
    """

    name: str = Field(pattern=r"^[^\W_][\w.-]*$")
    title: str = ""
    seed: Whole = Field(0, ge=0)
    privacy_seed: Whole | None = Field(None, ge=0)
    splits: Positive = Field(3, le=MAX_SPLITS)
    suite: str = ""
    data: Data = Data()
    model: dict[str, Any] = {"name": "unet"}
    generated: str | None = None
    halves: bool = Field(False, strict=True)
    training: Training = Training()
    sampling: Sampling = Sampling()
    probe: Probe = Probe()
    defenses: tuple[dict[str, Any], ...] = ({"name": "none"},)
    attacks: dict[str, dict[str, Any]] = {}
    figures: tuple[str, ...] = ()
    metrics: Metrics = Metrics()
    statistics: Statistics = Statistics()
    execution: Execution = Execution()
    study: Study | None = None


def parse_config(settings: dict[str, Any]) -> Config:
    """Check settings read from TOML or JSON. Raises `InputError` with one sentence on the first error."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise InputError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """The first of pydantic's errors as one sentence that names the key."""
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
    value = "" if isinstance(first.get("input"), dict) else f" = {first.get('input')!r}"
    return f"{key}{value} in the config is wrong: {first['msg'].lower()}"


def _known_keys(path: list[str]) -> list[str]:
    section: Any = Config
    for part in path:  # a number stands in a list, whose entries are sections
        section = section if part.isdigit() else _section_in(section.model_fields[part].annotation)
    return sorted(section.model_fields)


def _section_in(annotation: Any) -> Any:
    """The section that an annotation is, may be (`Study | None`), or has several of (`tuple[Question, ...]`)."""
    options = [annotation, *get_args(annotation)]
    return next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))

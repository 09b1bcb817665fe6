"""A parameter out of its range is refused in one sentence that names it, from a config and from Python alike."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MinLen, MultipleOf

from leakfront.errors import InputError
from leakfront.registry import Plugin, Registry, build, parameters

registry = Registry("toy", "tests", "leakfront.toys")

Share = Annotated[float, Interval(ge=0, le=1)]


@registry.register("toy")
@dataclass(frozen=True)
class Toy(Plugin):
    section = "toys"

    steps: Annotated[int, Ge(1)] = 1
    share: Annotated[float, Gt(0), Le(1)] = 0.5
    rate: Annotated[float, Gt(0), Lt(1)] = 0.5
    scale: Annotated[float, Gt(0)] = 1.0
    bits: Annotated[int, Interval(ge=0, le=63)] = 8
    even: Annotated[int, MultipleOf(2)] = 2
    kind: Literal["flat", "round"] = "flat"
    form: Literal[1, 2] = 1
    times: Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)] = (1,)
    sizes: Annotated[tuple[int, ...], Len(1, 3)] = (1,)
    pair: tuple[float, float] = (0.0, 1.0)
    boxes: tuple[tuple[int, int], ...] = ()
    shares: tuple[Share, ...] = ()
    either: int | tuple[int, ...] = 1
    patience: Annotated[int, Ge(1)] | None = None
    mode: Literal["grey", "rgb"] | None = None
    name_of: Annotated[str, MinLen(1)] = "x"
    free: float = 0.0
    loud: bool = False
    weights: dict[str, float] = field(default_factory=dict)

    def validate(self) -> None:
        if self.steps > self.bits:
            raise InputError(f"toys.toy.steps is {self.steps}; it must not exceed bits, {self.bits}")


WRONG: list[tuple[str, Any, str]] = [
    # out of range
    ("steps", 0, "0; it must be at least 1"),
    ("share", 0, "0; it must be above 0 and at most 1"),
    ("rate", 1.0, "1.0; it must lie between 0 and 1"),
    ("bits", 64, "64; it must lie in 0 … 63"),
    ("even", 3, "3; it must be a multiple of 2"),
    ("kind", "square", "'square'; it must be 'flat' or 'round'"),
    ("form", 3, "3; it must be 1 or 2"),
    ("patience", 0, "0; it must be at least 1"),
    ("mode", "red", "'red'; it must be 'grey' or 'rgb'"),
    ("name_of", "", "''; it must not be empty"),
    # of another type
    ("steps", "5", "'5'; it must be a whole number and at least 1"),
    ("steps", True, "True; it must be a whole number and at least 1"),
    ("steps", 1000.0, "1000.0; it must be a whole number and at least 1: write 1000"),
    ("steps", 1.5, "1.5; it must be a whole number and at least 1"),
    ("steps", None, "None; it must be a whole number and at least 1"),
    ("steps", [1], "[1]; it must be a whole number and at least 1"),
    ("form", True, "True; it must be 1 or 2"),
    ("share", "half", "'half'; it must be a number and above 0 and at most 1"),
    ("share", True, "True; it must be a number and above 0 and at most 1"),
    ("loud", 1, "1; it must be true or false"),
    ("name_of", 5, "5; it must be a text and not be empty"),
    ("kind", 5, "5; it must be 'flat' or 'round'"),
    ("patience", "5", "'5'; it must be a whole number and at least 1"),
    ("either", "5", "'5'; it must be a whole number or be a list of whole numbers"),
    ("weights", 5, "5; it must be a table"),
    # lists
    ("times", (), "[]; it must be a list of one or more whole numbers, each of which must be at least 0"),
    ("times", (3, -1), "[3, -1]; it must be a list of one or more whole numbers, each of which must be at least 0"),
    ("times", 5, "5; it must be a list of one or more whole numbers, each of which must be at least 0"),
    ("times", "5", "'5'; it must be a list of one or more whole numbers, each of which must be at least 0"),
    ("sizes", (1, 2, 3, 4), "[1, 2, 3, 4]; it must be a list of 1 to 3 whole numbers"),
    ("pair", (1.0,), "[1.0]; it must be a list of 2 numbers"),
    ("boxes", ((1, 2), (3,)), "[[1, 2], [3]]; it must be a list of lists of 2 whole numbers"),
    ("shares", (0.5, 2), "[0.5, 2]; it must be a list of numbers, each of which must lie in [0, 1]"),
    # not finite
    ("free", math.nan, "nan; it must be a finite number"),
    ("scale", math.inf, "inf; it must be a finite number and above 0"),
    ("free", 10**400, f"1{'0' * 400}; it must be a finite number"),
    ("pair", (0.0, math.inf), "[0.0, inf]; it must be a list of 2 numbers"),
    # of several parameters
    ("steps", 9, "9; it must not exceed bits, 8"),
]


def refusal(make: Any) -> str:
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_wrong_value_is_refused_from_python_and_from_a_config(name: str, value: Any, says: str) -> None:
    told = f"toys.toy.{name} is {says}"
    assert refusal(lambda: Toy(**{name: value})) == told
    in_config = [list(v) if isinstance(v, tuple) else v for v in value] if isinstance(value, tuple) else value
    assert refusal(lambda: build(registry, "toy", {name: in_config}, "toys")) == told
    assert refusal(lambda: build(registry, "toy", {name: in_config}, "study[3]")) == f"study[3]: {told}"


def test_a_value_is_stored_in_the_type_of_its_annotation() -> None:
    from_python = Toy(times=[0, 5], patience=3, share=1, boxes=[[1, 2], (3, 4)], mode=None)  # type: ignore[arg-type]
    from_config = build(registry, "toy", {"times": [0, 5], "patience": 3, "share": 1, "boxes": [[1, 2], [3, 4]]}, "")
    assert from_python == from_config
    assert (from_python.times, from_python.boxes) == ((0, 5), ((1, 2), (3, 4)))
    assert type(from_python.share) is float
    assert parameters(from_python) == parameters(from_config)


def test_numbers_arrays_and_paths_of_other_libraries_are_accepted_from_python() -> None:
    toy = Toy(
        steps=np.int64(3), share=np.float32(0.5), loud=np.bool_(True), times=np.arange(2), name_of=Path("a") / "b",
        pair=np.array([1, 2]), even=np.array(4),
    )  # type: ignore[arg-type]  # fmt: skip
    assert toy == Toy(steps=3, share=0.5, loud=True, times=(0, 1), name_of=str(Path("a") / "b"), pair=(1, 2), even=4)
    assert {type(value) for value in (toy.steps, toy.times[1], toy.even)} == {int}
    assert (type(toy.share), type(toy.pair[0]), type(toy.loud), type(toy.name_of)) == (float, float, bool, str)
    assert "steps is 0; it must be at least 1" in refusal(lambda: Toy(steps=np.int64(0)))  # type: ignore[arg-type]
    assert "steps is 3.0; it must be a whole number" in refusal(lambda: Toy(steps=np.float64(3)))  # type: ignore[arg-type]


def test_sets_and_generators_have_no_order_and_are_refused() -> None:
    assert "times is {1, 2}; it must be a list" in refusal(lambda: Toy(times={1, 2}))  # type: ignore[arg-type]
    assert "it must be a list" in refusal(lambda: Toy(times=(t for t in (1, 2))))  # type: ignore[arg-type]


@registry.register("pickle")
@dataclass(frozen=True)
class Jar(Plugin):
    """A plug-in as another package might write it: a parameter without a default, and an error of its own."""

    path: str
    size: int = 1

    def validate(self) -> None:
        if self.size > 5:
            raise ValueError("too large")
        if self.size < 0:
            raise FileNotFoundError(2, "No such file or directory")


def test_errors_in_a_config_name_what_is_missing_unknown_or_refused() -> None:
    def said(params: dict[str, Any]) -> str:
        return refusal(lambda: build(registry, "pickle", params, "toys.mine"))

    assert said({}) == "toys.mine: 'pickle' needs the parameter 'path'"
    unknown = "toys.mine: 'pickle' has no parameter 'sise'; did you mean 'size'? (its parameters: path, size)"
    assert said({"path": "a", "sise": 1}) == unknown
    assert said({"path": "a", "size": 6}) == "toys.mine: 'pickle' refuses these parameters: too large"
    assert said({"path": "a", "size": -1}).endswith("cannot be set up with these parameters: No such file or directory")
    assert said({"path": "a", "size": "b"}) == "toys.mine: pickle.size is 'b'; it must be a whole number"


def test_a_plug_in_that_is_not_registered_is_named_by_its_class() -> None:
    @dataclass(frozen=True)
    class Nameless(Plugin):
        section = "toys"
        size: int = 1

    assert refusal(lambda: Nameless(size="b")) == "toys.Nameless.size is 'b'; it must be a whole number"  # type: ignore[arg-type]


def test_pydantic_and_numpy_are_not_loaded_before_a_plug_in_is_made() -> None:
    code = (
        "import sys; import leakfront.registry, leakfront.parameters\n"
        "sys.exit(', '.join({'pydantic', 'numpy'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""A parameter out of its range is refused in one sentence that names it, from a config and from Python alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen, MultipleOf

from leakfront.errors import InputError
from leakfront.registry import Plugin, Registry, build

registry = Registry("toy", "tests", "leakfront.toys")


@registry.register("toy")
@dataclass(frozen=True)
class Toy(Plugin):
    section = "toys"

    steps: Annotated[int, Ge(1)] = 1
    share: Annotated[float, Gt(0), Le(1)] = 0.5
    rate: Annotated[float, Gt(0), Lt(1)] = 0.5
    bits: Annotated[int, Interval(ge=0, le=63)] = 8
    even: Annotated[int, MultipleOf(2)] = 2
    kind: Literal["flat", "round"] = "flat"
    times: Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)] = (1,)
    patience: Annotated[int, Ge(1)] | None = None
    free: float = 0.0
    scale: Annotated[float, Gt(0)] = 1.0

    def validate(self) -> None:
        if self.steps > self.bits:
            raise InputError(f"toys.toy.steps is {self.steps}; it must not exceed bits, {self.bits}")


WRONG: list[tuple[str, Any, str]] = [
    ("steps", 0, "toys.toy.steps is 0; it must be at least 1"),
    ("steps", "x", "toys.toy.steps is 'x'; it must be a whole number and at least 1"),
    ("share", 0, "toys.toy.share is 0; it must be above 0 and at most 1"),
    ("rate", 1.0, "toys.toy.rate is 1.0; it must lie between 0 and 1"),
    ("bits", 64, "toys.toy.bits is 64; it must lie in 0 … 63"),
    ("even", 3, "toys.toy.even is 3; it must be a multiple of 2"),
    ("kind", "square", "toys.toy.kind is 'square'; it must be 'flat' or 'round'"),
    ("times", (), "toys.toy.times is []; it must be a list of one or more whole numbers, each of which must be at"),
    ("times", (3, -1), r"toys.toy.times is \[3, -1\]; it must be a list of one or more whole numbers, each of which"),
    ("patience", 0, "toys.toy.patience is 0; it must be at least 1"),
    ("steps", 9, "toys.toy.steps is 9; it must not exceed bits, 8"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_wrong_value_is_refused_from_python_and_from_a_config(name: str, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("[]", r"\[\]")):
        Toy(**{name: value})
    given = list(value) if isinstance(value, tuple) else value
    with pytest.raises(InputError, match="toys: " + says.replace("[]", r"\[\]")):
        build(registry, "toy", {name: given}, "toys")


def test_what_is_in_range_is_taken_as_it_is() -> None:
    assert Toy(times=(0, 5), patience=3, share=1) == build(
        registry, "toy", {"times": [0, 5], "patience": 3, "share": 1}, "toys"
    )


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(InputError, match=r"toys\.toy\.free is (inf|nan); it must be a finite number"):
        Toy(free=value)
    with pytest.raises(InputError, match=r"toys\.toy\.scale is (inf|nan); it must be finite and above 0"):
        Toy(scale=value)

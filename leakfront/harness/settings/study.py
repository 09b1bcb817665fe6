"""The section `study` of a config: what is asked, and what is expected, written before anything runs."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leakfront.labels import NAME_PATTERN

MAX_QUESTIONS = 20
_Number = Annotated[float, Field(strict=True)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Question(_Section):
    """One question of a study.

    asks: the effect in words, "planted images extracted: deduplicated minus undefended". effect: its `name` (a file of
    leakfront/results/studies/) and parameters. expected: whether the effect lies "above" or "below" the margin, is
    "equal" to `around` within the margin, or "either", which expects nothing. For a test without an interval, "above"
    is a rise and "below" a fall. margin: the smallest effect that counts: 0 or more for "above", 0 or less for "below",
    more than 0 for "equal". holds: for "equal", whether the interval must also hold `around`; one that does not then
    disagrees.
    """

    asks: str = Field(min_length=1, max_length=300)
    effect: dict[str, Any]
    expected: Literal["above", "below", "equal", "either"]
    margin: _Number = 0.0
    around: _Number = 0.0
    holds: bool = False

    @model_validator(mode="after")
    def _margin_on_its_side(self) -> Question:
        sign = {"above": 1.0, "below": -1.0}.get(self.expected, 0.0)
        if sign * self.margin < 0:
            raise ValueError(f"expected = {self.expected!r} needs a margin on that side of 0, not {self.margin:g}")
        if self.expected == "equal" and not self.margin > 0:
            raise ValueError('expected = "equal" needs a margin above 0')
        if self.expected == "either" and self.margin:
            raise ValueError('expected = "either" has no margin')
        if self.expected != "equal" and not math.isclose(self.around, 0):
            raise ValueError('only expected = "equal" has `around`')
        if self.expected != "equal" and self.holds:
            raise ValueError('only expected = "equal" has `holds`')
        return self


class Study(_Section):
    """A question about the world, asked of this benchmark.

    statement: what the paper says, in a sentence. source: the paper and its section. questions: the first one is the
    study's answer; the others accompany it. arms: what is changed in the config for each of several runs, by name; a
    table with a `name` replaces the one there, other tables are merged. Without arms there is one run. cannot: what
    cannot be concluded at this size. scale: what to run on MNIST and CIFAR-10 on a GPU.
    """

    statement: str = Field(min_length=1)
    source: str = Field(min_length=1)
    questions: tuple[Question, ...] = Field(min_length=1, max_length=MAX_QUESTIONS)
    arms: dict[str, dict[str, Any]] = Field({}, json_schema_extra={"propertyNames": {"pattern": NAME_PATTERN}})
    cannot: str = ""
    scale: str = ""

    @model_validator(mode="after")
    def _the_first_question_expects_something(self) -> Study:
        if self.questions[0].expected == "either":
            raise ValueError('the first question is the study\'s answer, so it must expect something, not "either"')
        return self

"""The settings of planted duplicates: how many images, and how often each occurs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

MAX_LEVELS = 100  # different numbers of copies in one pool

_ONE = {"type": "integer", "minimum": 1}
_SEVERAL = {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MAX_LEVELS, "uniqueItems": True}
_COPIES = {"anyOf": [_ONE, _SEVERAL]}  # what the check below takes, for editors


class Duplicates(BaseModel):
    """Duplicates planted in the training set.

    groups: how many images are planted. copies: how often each occurs, or a list of such numbers, which are dealt to
    the images at random and evenly. kind: how the copies differ from the original.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: Annotated[int, Field(strict=True, ge=0)] = 0
    copies: Annotated[int | tuple[int, ...], WithJsonSchema(_COPIES)] = 10
    kind: Literal["exact", "shifted", "noised", "recompressed"] = "exact"

    @field_validator("copies", mode="before")
    @classmethod
    def _number_or_several(cls, value: Any) -> Any:
        several = isinstance(value, list | tuple)
        entries = value if several else [value]
        if not 1 <= len(entries) <= MAX_LEVELS or not all(map(_is_count, entries)) or len({*entries}) < len(entries):
            raise PydanticCustomError(
                "copies",
                f"it must be a whole number from 1 up, or a list of at most {MAX_LEVELS} different ones",
            )
        return tuple(value) if several else value

    @property
    def levels(self) -> tuple[int, ...]:
        """The different numbers of copies."""
        return self.copies if isinstance(self.copies, tuple) else (self.copies,)

    @property
    def of_levels(self) -> dict[int, int]:
        """How many images are planted, by their number of copies: equally many, but the first ones may be one more."""
        each, more = divmod(self.groups, len(self.levels))
        return {copies: each + (place < more) for place, copies in enumerate(self.levels)}

    @property
    def images(self) -> int:
        """The images that planting makes in all, if every planted image is a member."""
        return sum(copies * groups for copies, groups in self.of_levels.items())

    @property
    def repeated(self) -> int:
        """How many of the planted images occur more than once; the others are like images that are not planted."""
        return self.groups - self.of_levels.get(1, 0)

    @model_validator(mode="after")
    def _an_image_for_each_level(self) -> Duplicates:
        if 0 < self.groups < len(self.levels):
            raise ValueError(f"groups must be 0 or at least {len(self.levels)}, one for each number of copies")
        return self


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1

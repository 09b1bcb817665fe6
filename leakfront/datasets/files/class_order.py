"""The numbers of classes that are told apart by the names of folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from annotated_types import MinLen

from leakfront.errors import InputError

# a parameter `class_order`: how names are sorted, or all of them in order
ClassOrder = Literal["text", "numeric"] | Annotated[tuple[str, ...], MinLen(1)]


def numbered(names: Iterable[str], order: ClassOrder | None) -> tuple[str, ...]:
    """The names of classes in the order of their numbers, 0, 1, …

    order: "text" (also None) sorts 1, 10, 2; "numeric" 1, 2, 10. A list gives the names in order, and may have more of
    them: a class without images. Raises `InputError` for a list that lacks a name or has one twice.
    """
    found = sorted(set(names))
    if isinstance(order, tuple):
        missing = [name for name in found if name not in order]
        if missing or len(set(order)) < len(order):
            what = f"lacks the class folder {missing[0]!r}" if missing else "has a name twice"
            raise InputError(f"data.params.class_order {what}; list each class once, in the order of their numbers")
        return order
    return tuple(sorted(found, key=_by_number) if order == "numeric" else found)


def order_question(names: Iterable[str]) -> str:
    """A sentence if sorting by text and by number give the classes other numbers; else empty."""
    by_text, by_number = numbered(names, "text"), numbered(names, "numeric")
    if by_text == by_number:
        return ""
    at = next(i for i, (a, b) in enumerate(zip(by_text, by_number, strict=True)) if a != b)
    return (
        f"the class folders are numbered in two ways: sorted as text, class {at} is {by_text[at]!r}, and by number "
        f'{by_number[at]!r}; set data.params.class_order to "text" or "numeric", as the model was trained (torchvision '
        "sorts as text), or to the list of all folders in order"
    )


def _by_number(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts digits by their value; names that differ in leading zeros alone are sorted as text."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if number % 2 else (1, 0, part) for number, part in enumerate(parts)], name

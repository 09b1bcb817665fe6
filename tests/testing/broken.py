"""Plug-ins that break their contract on purpose: a good one with some members changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

Cases = list[tuple[Any, str]]  # a broken plug-in, and what must be said about it


def broken(base: type, **members: Any) -> Any:
    """The plug-in `base` with some members changed."""
    made = type("Broken", (base,), {"__doc__": base.__doc__, "__module__": __name__, **members})
    return dataclass(frozen=True)(made)


def each_of(cases: Cases) -> Any:
    """Run a test on each case."""
    return pytest.mark.parametrize(("plugin", "says"), cases, ids=[says[:50] for _, says in cases])


def refused(check: Callable[..., None], says: str, *arguments: Any) -> None:
    """The check fails with one sentence in one line, which matches `says`."""
    with pytest.raises(AssertionError, match=says) as caught:
        check(*arguments)
    assert "\n" not in str(caught.value)

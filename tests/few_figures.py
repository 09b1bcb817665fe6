"""Reports with the figures that a test looks at alone: to draw all of them takes longer than all else in a report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from leakfront.results.figures import figures


@contextmanager
def only(*names: str) -> Iterator[None]:
    """In the block, reports of this process hold these figures."""
    assert set(names) <= set(figures.names())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leakfront.results.report.drawn_names", lambda runs: list(names))
        yield

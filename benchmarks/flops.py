"""The limit of a computation: matrix products of as many floating-point operations, on the same machine."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE = 512  # of the square matrices; one product has 2 SIDE^3 operations
LIMIT = "matrix products of as many FLOPs"


def flops_of(work: Callable[[], object]) -> int:
    """The floating-point operations of the matrix products and convolutions of `work`, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def matrix_products(flops: float) -> Callable[[], object]:
    """A function that spends this many operations on float32 matrix products; rounded to whole products."""
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    out, products = torch.empty(SIDE, SIDE), max(1, round(flops / (2 * SIDE**3)))

    def work() -> None:
        for _ in range(products):
            torch.mm(a, b, out=out)

    return work

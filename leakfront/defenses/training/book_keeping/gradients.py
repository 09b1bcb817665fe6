"""A layer's call, and the two forms that the per-example gradients of its parameters can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

Form = Literal["kept", "ghost"]

FLOAT_COST = 6.0  # cost of writing or reading a number of a kept gradient, in multiply-adds of a matrix product
KEPT_OVER_BOOKED = 4.0  # kept gradients may take so many times the memory of the layer's input and output
GHOST_POSITIONS = 256  # to save memory, a Gram matrix of so many positions at most is chosen


@dataclass
class Call:
    """A call of a layer. x, g: its input and the gradient of its output, [B K, ...].

    statistics: the mean and the inverse standard deviation of a GroupNorm's groups, if they are known. shared: whether
    another call used one of the layer's parameters as well.
    """

    layer: Any  # an nn.Module; Any, since functions for Linear and others read the attributes of theirs
    x: torch.Tensor
    g: torch.Tensor
    statistics: tuple[torch.Tensor, torch.Tensor] | None = None
    shared: bool = False


@dataclass
class Kept:
    """The gradients [parts, B, n] of a parameter; `shape` brings a sum [parts, n] into the parameter's shape."""

    parameter: nn.Parameter
    gradients: torch.Tensor
    shape: Callable[[torch.Tensor], torch.Tensor] | None = None

    def squared_norms(self) -> torch.Tensor:
        """[B]."""
        norms: torch.Tensor = torch.linalg.vector_norm(self.gradients, dim=2)
        return norms.square_().sum(0)

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """The sum of the examples' gradients with weights [B]."""
        total = torch.matmul(weights, self.gradients)
        return self.shape(total) if self.shape else total.view_as(self.parameter)

    def forget(self, examples: torch.Tensor) -> None:
        """Set the gradients of examples to zero; bool [B]."""
        self.gradients[:, examples] = 0


@dataclass
class Ghost:
    """The squared norms [B] of a parameter's gradients, and `total(x, g)`, which gives their sum."""

    parameter: nn.Parameter
    norms: torch.Tensor
    x: torch.Tensor
    g: torch.Tensor
    total: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def squared_norms(self) -> torch.Tensor:
        """[B]."""
        return self.norms

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """The sum of the examples' gradients with weights [B]."""
        return self.total(self.x, self.g * _of_rows(weights, self.g))

    def forget(self, examples: torch.Tensor) -> None:
        """Set the gradients of examples to zero; bool [B]."""
        self.x = self.x.masked_fill(_of_rows(examples, self.x), 0)
        self.g = self.g.masked_fill(_of_rows(examples, self.g), 0)
        self.norms = self.norms.masked_fill(examples, 0)


def cheaper_form(positions: int, inputs: int, outputs: int, gram_inputs: int) -> Form:
    """The form for per-example gradients of inputs x outputs numbers, summed over positions.

    gram_inputs: the length of the vectors whose Gram matrix gives the norms, on the side of the input.
    """
    numbers = inputs * outputs
    if numbers > KEPT_OVER_BOOKED * positions * (gram_inputs + outputs) and positions <= GHOST_POSITIONS:
        return "ghost"
    ghost_cost = positions**2 * (gram_inputs + outputs + 3 * FLOAT_COST)
    return "ghost" if ghost_cost < 3 * FLOAT_COST * numbers else "kept"


def _of_rows(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """[B] -> [B K, 1, ...] for rows [B K, ...]."""
    draws = len(rows) // len(values)
    repeated = values if draws == 1 else values.repeat_interleave(draws)
    return repeated.view(-1, *[1] * (rows.ndim - 1))

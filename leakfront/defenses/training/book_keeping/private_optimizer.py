"""Opacus' optimizer for clipped sums that lie in `.grad`, with the noise of all parameters in one draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.optimizers.optimizer import _check_processed_flag, _generate_noise, _mark_as_processed


class PrivateOptimizer(DPOptimizerFastGradientClipping):  # type: ignore[misc]
    """Adds noise of standard deviation noise_multiplier x max_grad_norm to the sums, and divides by the batch size.

    A parameter without a sum counts as one whose sum is zero. add_up: called with all sums in one vector before the
    noise is added, to replace it by its sum over processes; all of them then have to draw equal noise.

    Opacus draws and scales the noise tensor by tensor, which takes several times as long for many small tensors. The
    accountant's hook and all else are Opacus' own.
    """

    def __init__(self, *arguments: Any, add_up: Callable[[torch.Tensor], None] | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._add_up = add_up

    def accumulate(self) -> None:
        """The sums are complete, since all chunks of a batch add to `.grad`.

        Raises `ValueError` if a gradient is that of the last step, which has its noise.
        """
        for parameter in self.params:
            _check_processed_flag(parameter.grad)
            parameter.summed_grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad

    def add_noise(self) -> None:
        """Put the noised mean into `.grad`."""
        flat = torch.cat([parameter.summed_grad.reshape(-1) for parameter in self.params])
        if self._add_up is not None:
            self._add_up(flat)
        std = self.noise_multiplier * self.max_grad_norm
        flat += _generate_noise(std, flat, generator=self.generator, secure_mode=self.secure_mode)
        if self.loss_reduction == "mean":
            flat /= self.expected_batch_size
        parts = torch.split(flat, [parameter.numel() for parameter in self.params])
        for parameter, part in zip(self.params, parts, strict=True):
            parameter.grad = part.view_as(parameter)
            _mark_as_processed(parameter.grad)

    def scale_grad(self) -> None:
        """Done with the noise."""

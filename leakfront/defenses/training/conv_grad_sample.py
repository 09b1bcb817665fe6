"""Per-example gradients of convolutions that are correct for tensors of any memory layout.

Opacus 1.6.0 unfolds a convolution's input with `as_strided` and computes the strides as if the input were contiguous.
diffusers' attention blocks return channels-last tensors, which have other strides. The convolutions behind them get
wrong per-example gradients without any error: with hooks, the sum of the clipped gradients has a wrong direction; with
ghost clipping, the clipping bound, and so the claimed epsilon, is broken as well. At batch size 1 the two layouts are
the same, and the error does not show. `install` registers a sampler that makes the tensors contiguous and then calls
Opacus' own.
"""

from __future__ import annotations

import torch
from opacus.grad_sample import register_grad_sampler
from opacus.grad_sample.conv import compute_conv_grad_sample
from torch import nn


def contiguous_conv_grad_sample(
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, activations: list[torch.Tensor], backprops: torch.Tensor
) -> dict[nn.Parameter, torch.Tensor]:
    """The gradients [n, *parameter.shape] of `layer` from its inputs [n, ...] and the gradient of its output."""
    contiguous = [activation.contiguous() for activation in activations]
    gradients: dict[nn.Parameter, torch.Tensor] = compute_conv_grad_sample(layer, contiguous, backprops.contiguous())
    return gradients


def install() -> None:
    """Replace Opacus' own sampler by the one above, for the whole process; calling it again changes nothing."""
    register_grad_sampler([nn.Conv1d, nn.Conv2d, nn.Conv3d])(contiguous_conv_grad_sample)

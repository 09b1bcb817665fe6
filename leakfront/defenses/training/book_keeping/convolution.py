"""Per-example gradients of nn.Conv2d, without groups.

x [B K, C, H, W] is the layer's input and g [B K, O, H', W'] the gradient of its output, in any memory layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from leakfront.defenses.training.book_keeping.gradients import Call, Form, Ghost, Kept, cheaper_form
from leakfront.defenses.training.book_keeping.windows import row_windows, window_gram, windows
from leakfront.defenses.training.book_keeping.workspace import SCRATCH, Workspace

TOGETHER = 32  # positions of a row, below which one product for all rows of an example beats one for each row


def is_supported(layer: Any) -> bool:
    """Whether the functions here hold for the layer: no groups, and zeros of a known number around the image."""
    return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def likeness(call: Call) -> tuple[object, ...]:
    """Equal for calls that can be computed together."""
    layer = call.layer
    geometry = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    return *geometry, call.x.shape, call.g.shape, call.x.dtype, layer.weight.requires_grad


def per_example(calls: Sequence[Call], workspace: Workspace, form: Form | None) -> list[Kept | Ghost]:
    """The gradients of biases and weights; norms of several small layers come from one Gram matrix."""
    layer, (rows, outputs), size = calls[0].layer, calls[0].g.shape[:2], calls[0].g[0, 0].numel()
    found: list[Kept | Ghost] = []
    for call in calls:
        if call.layer.bias is not None and call.layer.bias.requires_grad:
            # a product with ones is several times as fast as a sum over positions
            of_rows = torch.mv(call.g.reshape(-1, size), call.g.new_ones(size)).view(rows, outputs)
            found.append(Kept(call.layer.bias, workspace.added(of_rows)[None]))
    if not layer.weight.requires_grad:
        return found
    inputs, same = layer.weight[0].numel(), _is_same_3x3(layer)
    if form is None:
        form = cheaper_form(size * workspace.draws, inputs, outputs, layer.in_channels if same else inputs)
    if form == "kept":
        parts = 3 if same and not calls[0].shared and (workspace.draws == 1 or size >= TOGETHER) else 1
        for call in calls:
            out = workspace.keep((parts, rows // workspace.draws, outputs, inputs // parts), call.g)
            _weight_gradients(call, out, workspace)
            found.append(_kept(call, out))
        return found
    x, g = (
        torch.cat([getattr(call, name) for call in calls]) if calls[1:] else getattr(calls[0], name) for name in "xg"
    )
    for call, norms in zip(calls, _squared_norms(layer, x, g, workspace).chunk(len(calls)), strict=True):
        found.append(Ghost(call.layer.weight, norms, call.x, call.g, partial(_plain_weight_gradient, call.layer)))
    return found


def _kept(call: Call, gradients: torch.Tensor) -> Kept:
    """From gradients as `_weight_gradients` writes them. Those of a shared weight get its own order of dimensions."""
    weight, parts = call.layer.weight, len(gradients)
    if call.shared:
        outputs, inputs, kh, kw = weight.shape
        return Kept(weight, gradients.view(1, -1, outputs, kh, kw, inputs).permute(0, 1, 2, 5, 3, 4).flatten(2))
    return Kept(weight, gradients.flatten(2), partial(_weight_sum, call.layer, parts))


def _is_same_3x3(layer: nn.Conv2d) -> bool:
    """Whether the kernel is 3x3 and the output has the input's size."""
    return (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))


def _weight_gradients(call: Call, out: torch.Tensor, workspace: Workspace) -> None:
    """Write per-example gradients to out [parts, B, O, kh kw C / parts], a few examples at a time.

    With 3 parts, one for each row of a 3x3 kernel, the input is unfolded along its rows only.
    """
    layer, x, g, draws, (parts, examples) = call.layer, call.x, call.g, workspace.draws, out.shape[:2]
    flat = g.reshape(*g.shape[:2], -1)
    positions, inputs = flat.shape[2], layer.weight[0].numel()
    at_once = max(1, min(examples, SCRATCH * parts // (draws * positions * inputs)))
    at_once = -(-examples // -(-examples // at_once))  # chunks of nearly equal size
    for start in range(0, examples, at_once):
        rows = slice(start * draws, (start + at_once) * draws)
        some, into = flat[rows], out[:, start : start + at_once]
        if parts == 1:
            unfolded = workspace.of_examples(windows(layer, x[rows], workspace))
            if draws > 1:
                some = workspace.of_examples(some.transpose(1, 2)).transpose(1, 2)
            torch.bmm(some, unfolded, out=into[0])
            continue
        wide, width = row_windows(x[rows], workspace), x.shape[3]
        for part in range(parts):
            shifted = wide[:, part * width : part * width + positions]
            torch.bmm(some[::draws], shifted[::draws], out=into[part])
            for draw in range(1, draws):
                into[part].baddbmm_(some[draw::draws], shifted[draw::draws])


def _weight_sum(layer: nn.Conv2d, parts: int, total: torch.Tensor) -> torch.Tensor:
    """Bring a sum [parts, O kh kw C / parts] of such gradients into the shape [O, C, kh, kw] of the weight."""
    outputs, inputs, kh, kw = layer.weight.shape
    if parts == 1:
        return total.view(outputs, kh, kw, inputs).permute(0, 3, 1, 2)
    return total.view(kh, outputs, kw, inputs).permute(1, 3, 0, 2)


def _squared_norms(layer: nn.Conv2d, x: torch.Tensor, g: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """|sum over positions of g x^T|^2 [B] as the sum over pairs of positions of (g . g') (window . window')."""
    wide = workspace.of_examples(g.flatten(2).transpose(1, 2))
    grams = torch.bmm(wide, wide.transpose(1, 2))
    if _is_same_3x3(layer):
        grams.mul_(window_gram(x, workspace))
    else:
        unfolded = workspace.of_examples(windows(layer, x, workspace))
        grams.mul_(torch.bmm(unfolded, unfolded.transpose(1, 2)))
    return grams.sum((1, 2)).clamp_(min=0)


def _plain_weight_gradient(layer: nn.Conv2d, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """The gradient of the weight, added up over all rows, as a plain step computes it."""
    geometry = (layer.stride, layer.padding, layer.dilation, False, (0, 0), layer.groups)
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        g, x, layer.weight, None, *geometry, (False, True, False)
    )[1]
    return found

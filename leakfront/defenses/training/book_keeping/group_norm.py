"""Per-example gradients of nn.GroupNorm."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from leakfront.defenses.training.book_keeping.gradients import Call, Ghost, Kept
from leakfront.defenses.training.book_keeping.workspace import Workspace


def likeness(call: Call) -> tuple[object, ...]:
    """Equal for calls that can be computed together."""
    return call.layer.num_groups, call.x.shape, call.x.dtype


def per_example(calls: Sequence[Call], workspace: Workspace) -> list[Kept | Ghost]:
    """One call of PyTorch's kernel for all rows of all layers.

    The kernel adds up examples. So it gets one example with the groups and channels of all rows, and adds up nothing.
    """
    rows, channels = calls[0].x.shape[:2]
    x, g = (_joined([getattr(call, name) for call in calls]).reshape(len(calls) * rows, channels, -1) for name in "xg")
    # the statistics are there; see `layers.per_example`
    mean, rate = (_joined([call.statistics[i] for call in calls]) for i in (0, 1))  # type: ignore[index]
    total, size, groups = len(x), x.shape[2], calls[0].layer.num_groups
    ones = x.new_ones(total * channels)
    _, weights, biases = torch.ops.aten.native_group_norm_backward(
        g.reshape(1, -1, size), x.reshape(1, -1, size), mean.reshape(1, -1), rate.reshape(1, -1), ones,
        1, total * channels, size, total * groups, [False, True, True],
    )  # fmt: skip
    found: list[Kept | Ghost] = []
    for call, weight, bias in zip(calls, weights.chunk(len(calls)), biases.chunk(len(calls)), strict=True):
        for parameter, gradients in ((call.layer.weight, weight), (call.layer.bias, bias)):
            if parameter is not None and parameter.requires_grad:
                found.append(Kept(parameter, workspace.added(gradients.view(rows, channels))[None]))
    return found


def _joined(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Like `torch.cat`, which would copy a single tensor."""
    return torch.cat(tensors) if len(tensors) > 1 else tensors[0]

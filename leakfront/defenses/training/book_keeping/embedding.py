"""Per-example gradients of nn.Embedding."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from leakfront.defenses.training.book_keeping.gradients import Call, Ghost
from leakfront.defenses.training.book_keeping.workspace import Workspace


def is_supported(layer: Any) -> bool:
    """Whether the gradient of a row is the sum of its own uses."""
    return layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse


def per_example(call: Call, workspace: Workspace) -> list[Ghost]:
    """Indices [B K, ...] and gradients of outputs [B K, ..., D]; a table of any length costs nothing more."""
    if not call.layer.weight.requires_grad:
        return []
    indices = workspace.of_examples(call.x.reshape(len(call.x), -1, 1))
    g = workspace.of_examples(call.g.reshape(len(call.g), -1, call.g.shape[-1]))
    if call.layer.padding_idx is not None:
        g = g.masked_fill(indices == call.layer.padding_idx, 0)
    # positions that use the same row add up, others are orthogonal
    pairs = torch.bmm(g, g.transpose(1, 2)).mul_(indices == indices.transpose(1, 2))
    total = partial(_table_gradient, call.layer.weight)
    return [Ghost(call.layer.weight, pairs.sum((1, 2)).clamp_(min=0), indices, g, total)]


def _table_gradient(weight: torch.Tensor, indices: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(weight).index_add_(0, indices.flatten(), g.reshape(-1, g.shape[-1]))

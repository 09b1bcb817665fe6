"""Per-example gradients of nn.Linear."""

from __future__ import annotations

import torch

from leakfront.defenses.training.book_keeping.gradients import Call, Form, Ghost, Kept, cheaper_form
from leakfront.defenses.training.book_keeping.workspace import Workspace


def per_example(call: Call, workspace: Workspace, form: Form | None) -> list[Kept | Ghost]:
    """Inputs [B K, ..., I] and gradients of outputs [B K, ..., O]; every dimension in between is one of positions."""
    layer, inputs, outputs = call.layer, call.x.shape[-1], call.g.shape[-1]
    x = workspace.of_examples(call.x.reshape(len(call.x), -1, inputs))
    g = workspace.of_examples(call.g.reshape(len(call.g), -1, outputs))
    positions, found = x.shape[1], list[Kept | Ghost]()
    if layer.bias is not None and layer.bias.requires_grad:
        found.append(Kept(layer.bias, (g.sum(1) if positions > 1 else g[:, 0])[None]))
    if layer.weight.requires_grad:
        if form is None:
            form = "ghost" if positions == 1 else cheaper_form(positions, inputs, outputs, inputs)
        if form == "kept":
            out = workspace.keep((len(x), outputs, inputs), g)
            found.append(Kept(layer.weight, torch.bmm(g.transpose(1, 2), x, out=out).flatten(1)[None]))
        else:
            found.append(Ghost(layer.weight, _squared_norms(x, g), x, g, _weight_gradient))
    return found


def _squared_norms(x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """|sum over t of g_t x_t^T|^2 = sum over pairs of positions of (g_s . g_t) (x_s . x_t)."""
    if x.shape[1] == 1:
        norms: torch.Tensor = torch.linalg.vector_norm(x, dim=(1, 2)) * torch.linalg.vector_norm(g, dim=(1, 2))
        return norms.square_()
    grams = torch.bmm(x, x.transpose(1, 2)).mul_(torch.bmm(g, g.transpose(1, 2)))
    return grams.sum((1, 2)).clamp_(min=0)


def _weight_gradient(x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return g.reshape(-1, g.shape[-1]).t() @ x.reshape(-1, x.shape[-1])

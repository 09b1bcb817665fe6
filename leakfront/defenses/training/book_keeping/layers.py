"""Per-example gradients of any layer: by our own functions, or by Opacus' grad samplers where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from opacus.grad_sample.functorch import ft_compute_per_sample_gradient
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from torch import nn

from leakfront.defenses.training.book_keeping import convolution, embedding, group_norm, linear
from leakfront.defenses.training.book_keeping.gradients import Call, Form, Ghost, Kept
from leakfront.defenses.training.book_keeping.workspace import Workspace

SMALL = 100_000  # numbers in a layer's input, up to which calls cost more than the copies that put layers together


def likeness(call: Call) -> tuple[object, ...] | None:
    """Equal for calls that `per_example` computes together; None for a call that it computes alone."""
    if call.shared or call.x.numel() > SMALL:
        return None
    if _has_statistics(call):
        return nn.GroupNorm, group_norm.likeness(call)
    if type(call.layer) is nn.Conv2d and convolution.is_supported(call.layer):
        return nn.Conv2d, convolution.likeness(call)
    return None


def per_example(calls: Sequence[Call], workspace: Workspace, form: Form | None = None) -> list[Kept | Ghost]:
    """The gradients of the trainable parameters of one call, or of several calls with the same `likeness`.

    form: "kept" or "ghost" instead of the cheaper form, where a layer has both.
    """
    first, kind = calls[0], type(calls[0].layer)
    if first.shared:
        form = "kept"
    if kind is nn.Linear:
        return linear.per_example(first, workspace, form)
    if kind is nn.Conv2d and convolution.is_supported(first.layer):
        return convolution.per_example(calls, workspace, form)
    if _has_statistics(first):
        return group_norm.per_example(calls, workspace)
    if kind is nn.Embedding and embedding.is_supported(first.layer) and not first.shared:
        return [*embedding.per_example(first, workspace)]
    return _by_opacus(first, workspace)


def _has_statistics(call: Call) -> bool:
    return type(call.layer) is nn.GroupNorm and call.statistics is not None


def _by_opacus(call: Call, workspace: Workspace) -> list[Kept | Ghost]:
    """Opacus' registered sampler for the layer's type, or its functorch one.

    The tensors are made contiguous: Opacus 1.6.0 unfolds a convolution's input with strides that hold for contiguous
    tensors alone, and diffusers' attention blocks return channels-last ones; its gradients are then silently wrong.
    """
    sampler = GradSampleHooks.GRAD_SAMPLERS.get(type(call.layer), ft_compute_per_sample_gradient)
    found = sampler(call.layer, [call.x.contiguous()], call.g.contiguous())
    return [
        Kept(parameter, workspace.added(gradients.flatten(1))[None])
        for parameter, gradients in found.items()
        if parameter.requires_grad
    ]

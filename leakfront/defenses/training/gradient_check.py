"""Refuses what has no per-image gradients, and compares those of a network with autograd."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from opacus.grad_sample import GradSampleModule
from torch import nn

from leakfront.defenses.training.book_keeping import BookKeeping
from leakfront.errors import InputError

Gradients = Sequence[torch.Tensor | None]

CHECKED_BATCHES = 10  # per-image gradients that are zero at first are verified in one of so many batches


def refuse_layers(network: nn.Module, defense: str) -> None:
    """Raise `InputError`, which names `defense`, for a layer without per-example gradients."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise InputError(f"{defense}: {name!r} is a BatchNorm, which mixes the images of a batch; use GroupNorm")
    encoder = getattr(network, "text_encoder", None)
    if encoder is not None and any(parameter.requires_grad for parameter in encoder.parameters()):
        raise InputError(
            f"{defense} cannot train a text encoder, whose position embedding is one for all captions of a batch and "
            "has no per-image gradients; use dp_finetune, which keeps the encoder's public weights, or model.name = "
            "'lora'"
        )
    for error in GradSampleModule.validate(network):
        raise InputError(f"{defense}: the network cannot be trained privately: {error}")


class GradientCheck:
    """Compares per-image gradients with autograd in the first batches.

    They have to add up to the gradient of the batch. The gradient of the first image, and its norm, have to be those of
    its own loss alone; this also finds a network that mixes the images of a batch.

    Only batches of several images verify a parameter, since some errors do not show at a single one. A gradient that is
    zero except for rounding verifies nothing either: that of an attention's key bias is always zero, that of a low-rank
    adapter's first factor is zero in the first step.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], defense: str) -> None:
        """parameters: the trainable parameters by name. defense: the name to use in errors."""
        self._parameters, self._defense = dict(parameters), defense
        self._unverified, self._checks_left = set(parameters), CHECKED_BATCHES

    def backward(self, book: BookKeeping, losses: torch.Tensor, own: slice, draws: int) -> None:
        """`book.backward(losses)`, and the comparison until all parameters are verified.

        own: the rows of `losses` that passed through this process's network, in images of `draws` rows. Raises
        `InputError` for a parameter that has no per-image gradient or a wrong one.
        """
        due = bool(self._unverified and self._checks_left)
        parameters = list(self._parameters.values()) if due else []
        first: Gradients = []
        if due:
            loss = losses[own.start : own.start + draws].mean()
            first = list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))
        plain = book.backward(losses, own.stop - own.start, plain=parameters)
        self._refuse_missing(book)
        if due:
            images = (own.stop - own.start) // draws
            weights = torch.ones(images, dtype=losses.dtype, device=losses.device)
            verified = self._compare(book, plain, weights, "do not add up to its gradient")
            weights[1:] = 0
            self._compare(book, first, weights, "are not those of an image's own loss")
            self._compare_norms(book, first)
            if images > 1:
                self._unverified -= verified
                self._checks_left -= 1

    def _refuse_missing(self, book: BookKeeping) -> None:
        found = book.parameters()
        if len(found) == len(self._parameters):
            return
        for name, parameter in self._parameters.items():
            if parameter not in found:
                raise InputError(
                    f"{self._defense}: the trainable parameter {name!r} gets no per-image gradient, so it cannot be "
                    "trained privately; freeze it, or use it through its own module's forward"
                )

    def _compare(self, book: BookKeeping, expected: Gradients, weights: torch.Tensor, fault: str) -> set[str]:
        """Raise `InputError` unless the weighted sums are as expected; the parameters that are verified by this."""
        sums, squared = book.weighted_sums(weights), book.squared_norms()
        lengths = {name: float(squared[p].sqrt() @ weights) for name, p in self._parameters.items()}
        rounding = 1e-5 * math.hypot(*lengths.values())
        for (name, parameter), gradient in zip(self._parameters.items(), expected, strict=True):
            error = sums[parameter] if gradient is None else sums[parameter] - gradient
            if float(error.norm()) > 1e-2 * lengths[name] + rounding:
                raise self._wrong(name, fault)
        return {name for name, length in lengths.items() if length > rounding}

    def _compare_norms(self, book: BookKeeping, first: Gradients) -> None:
        """Raise `InputError` unless the first image's norms are those of its gradients."""
        true = [0.0 if gradient is None else float(gradient.norm()) ** 2 for gradient in first]
        rounding = 1e-6 * sum(true)  # norms from Gram matrices lose digits where positions cancel each other
        squared = book.squared_norms()
        for (name, parameter), value in zip(self._parameters.items(), true, strict=True):
            if abs(float(squared[parameter][0]) - value) > 2e-2 * value + rounding:
                raise self._wrong(name, "do not have the norm of an image's own gradient")

    def _wrong(self, name: str, fault: str) -> InputError:
        return InputError(
            f"{self._defense}: the per-image gradients of {name!r} {fault}, so its layer cannot be trained privately; "
            "replace the layer, or do not share its parameters, and let no layer mix the images of a batch"
        )

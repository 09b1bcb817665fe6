"""The gradient of each image's own loss, by Opacus, and its comparison with the gradient of the batch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opacus.grad_sample import GradSampleModule
from torch import nn

from leakfront.defenses.training.conv_grad_sample import install
from leakfront.errors import InputError

CHECKED_BATCHES = 10  # per-image gradients that are zero at first are verified in one of so many batches


@contextmanager
def per_example_gradients(network: nn.Module) -> Iterator[None]:
    """While it is open, backpropagating the *sum* of a batch's losses sets `grad_sample` [B, ...] on each parameter.

    The hooks and attributes are removed on leaving, so that the network is copied, saved and evaluated without them.
    """
    install()
    hooks = GradSampleModule(network, loss_reduction="sum")  # puts the hooks on the layers of `network` itself
    try:
        with warnings.catch_warnings():
            # PyTorch warns about the layers that the images enter, since images need no gradient
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            yield
    finally:
        hooks.to_standard_module()


def refuse_layers(network: nn.Module, defense: str) -> None:
    """Raise `InputError`, which names `defense`, for a layer without per-example gradients."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise InputError(f"{defense}: {name!r} is a BatchNorm, which mixes the images of a batch; use GroupNorm")
    for error in GradSampleModule.validate(network):
        raise InputError(f"{defense}: the network cannot be trained privately: {error}")


class GradientCheck:
    """Compares per-image gradients with autograd: if they do not add up to the gradient, their layer is broken.

    Only batches of several rows verify a parameter, since some errors do not show at a single row (see
    `conv_grad_sample.py`). A gradient that is zero except for rounding verifies nothing either: that of an attention's
    key bias is always zero, that of a low-rank adapter's first factor is zero in the first step.
    """

    def __init__(self, parameters: Mapping[str, Any], defense: str) -> None:
        """parameters: the trainable parameters by name. defense: the name to use in errors."""
        self._parameters, self._defense = parameters, defense
        self._unverified, self._checks_left = set(parameters), CHECKED_BATCHES

    def verify(self) -> None:
        """Check the gradients of the batch that was just backpropagated; does nothing once all are verified.

        Raises `InputError` for a parameter that has no per-image gradient or a wrong one.
        """
        for name, parameter in self._parameters.items():
            if parameter.grad_sample is None:
                raise InputError(
                    f"{self._defense}: the trainable parameter {name!r} gets no per-image gradient, so it cannot be "
                    "trained privately; freeze it, or use it through its own module's forward"
                )
        if self._unverified and self._checks_left:
            self._compare()

    def _compare(self) -> None:
        lengths = {name: float(p.grad_sample.flatten(1).norm(dim=1).sum()) for name, p in self._parameters.items()}
        rounding = 1e-5 * math.hypot(*lengths.values())
        for name, parameter in self._parameters.items():
            error = float((parameter.grad_sample.sum(dim=0) - parameter.grad).norm())
            if error > 1e-2 * lengths[name] + rounding:
                raise InputError(
                    f"{self._defense}: the per-image gradients of {name!r} do not add up to its gradient, so its "
                    "layer cannot be trained privately; replace the layer, or do not share its parameters"
                )
        if len(next(iter(self._parameters.values())).grad_sample) > 1:
            self._unverified -= {name for name, length in lengths.items() if length > rounding}
            self._checks_left -= 1

"""Private steps that a user of Opacus or torch.func would write instead of ours, with the same loss and optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from opacus.grad_sample import GradSampleModule, register_grad_sampler
from opacus.grad_sample.conv import compute_conv_grad_sample
from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from torch import nn

from leakfront.defenses import TrainingSetup
from leakfront.defenses.training.plain_step import make_optimizer

NOISE = {"noise_multiplier": 1.0, "max_grad_norm": 1.0}
Step = Callable[[], object]


@register_grad_sampler(nn.Conv2d)  # type: ignore[untyped-decorator]
def _contiguous(layer: nn.Conv2d, activations: list[torch.Tensor], backprops: torch.Tensor) -> Any:
    """Opacus' sampler, which is wrong for the tensors of attention blocks as they are."""
    return compute_conv_grad_sample(layer, [x.contiguous() for x in activations], backprops.contiguous())


def hooks(setup: TrainingSetup, images: torch.Tensor, labels: torch.Tensor, draws: int) -> Step:
    """Per-example gradients by Opacus' hooks; the mean over draws is taken by hand."""
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    network: Any = GradSampleModule(setup.network, loss_reduction="sum")
    optimizer = DPOptimizer(make_optimizer(setup), expected_batch_size=len(images), **NOISE)
    images, labels = images.repeat_interleave(draws, 0), labels.repeat_interleave(draws, 0)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        torch.autograd.backward(setup.loss(network, images, labels, generator).sum())
        if draws > 1:
            for parameter in optimizer.params:
                parameter.grad_sample = parameter.grad_sample.unflatten(0, (-1, draws)).mean(dim=1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ghost(setup: TrainingSetup, images: torch.Tensor, labels: torch.Tensor, draws: int) -> Step:
    """Opacus' ghost clipping: two backward passes, norms without gradients where Opacus has a norm sampler."""
    if draws > 1:
        raise NotImplementedError("Opacus' norm samplers have no rows to average")
    warnings.filterwarnings("ignore", message="Full backward hook is firing")
    network: Any = GradSampleModuleFastGradientClipping(setup.network, loss_reduction="sum", max_grad_norm=1.0)
    optimizer = DPOptimizerFastGradientClipping(make_optimizer(setup), expected_batch_size=len(images), **NOISE)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        losses = setup.loss(network, images, labels, generator)
        torch.autograd.backward(losses.sum(), retain_graph=True)
        optimizer.zero_grad(set_to_none=True)
        weights = network.get_clipping_coef()
        network.disable_hooks()
        torch.autograd.backward((weights * losses).sum())
        network.enable_hooks()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def vmap_grad(setup: TrainingSetup, images: torch.Tensor, labels: torch.Tensor, draws: int) -> Step:
    """`vmap(grad(loss))` over examples of `draws` rows, then Opacus' optimizer."""
    network: Any = setup.network
    optimizer = DPOptimizer(make_optimizer(setup), expected_batch_size=len(images), **NOISE)
    parameters = dict(network.named_parameters())
    for parameter in parameters.values():
        parameter.grad_sample = None

    def loss(weights: dict[str, torch.Tensor], x: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        level = setup.loss.alphas_cumprod[t].view(-1, 1, 1, 1)  # type: ignore[attr-defined]
        noisy = level.sqrt() * x + (1 - level).sqrt() * eps
        (found,) = torch.func.functional_call(network, weights, (noisy, t), {"return_dict": False})
        mean: torch.Tensor = (found - eps).square().mean()
        return mean

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0))
    generator = torch.Generator().manual_seed(0)
    rows = images[:, None].expand(-1, draws, -1, -1, -1)

    def step() -> None:
        t = torch.randint(1000, (len(images), draws), generator=generator)
        eps = torch.randn(rows.shape, generator=generator)
        weights = {name: parameter.detach() for name, parameter in parameters.items()}
        for name, gradients in per_example(weights, rows, t, eps).items():
            parameters[name].grad_sample = gradients
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step

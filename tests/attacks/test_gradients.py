"""Per-image gradients equal the gradients of autograd, one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from leakfront.attacks.queries.gradients import gradient_norms
from leakfront.harness.training.loop import to_unit_range
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle

TIMESTEPS = (0, 100, 500)


@pytest.mark.parametrize("attention", [(), (0, 1)])
def test_of_a_unet_they_are_those_of_autograd(attention: tuple[int, ...]) -> None:
    model = UNet(channels=(8, 16), head_channels=8, attention=attention, conditional=True).build((1, 8, 8), 10, 3)
    network = model.network.eval()
    images, labels = to_unit_range(oracle.digits()[:5]), torch.arange(5)
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = gradient_norms(model, images, labels, noise, TIMESTEPS, batch_size=2)
    parameters = dict(network.named_parameters())
    assert list(parameters) == list(model.parameters())
    for i in range(5):
        total = {name: torch.zeros_like(value) for name, value in parameters.items()}
        norms = []
        for k, t in enumerate(TIMESTEPS):
            x_0 = images[i : i + 1].clone().requires_grad_(True)
            ab = model.alphas_cumprod[t]
            predicted = model.predict_noise(
                ab.sqrt() * x_0 + (1 - ab).sqrt() * noise, torch.tensor([t]), labels[i : i + 1]
            )
            loss = (predicted - noise).square().mean()
            by_pixel, *by_tensor = torch.autograd.grad(loss, [x_0, *parameters.values()])
            torch.testing.assert_close(found.loss[i, k], loss.detach(), rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(found.of_input[i, k], by_pixel.square().sum(), rtol=1e-3, atol=1e-7)
            squares = torch.stack([g.square().sum() for g in by_tensor])
            torch.testing.assert_close(found.of_parameters[i, k], squares.sum(), rtol=1e-3, atol=1e-6)
            norms.append(squares.sqrt())
            for name, gradient in zip(parameters, by_tensor, strict=True):
                total[name] += gradient / len(TIMESTEPS)
        torch.testing.assert_close(found.mean[i], torch.stack(norms).mean(0), rtol=1e-3, atol=1e-5)
        of_mean = torch.stack([value.norm() for value in total.values()])
        torch.testing.assert_close(found.of_mean[i], of_mean, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["memorizer", "gaussian"])
def test_of_a_closed_form_they_are_the_slope_of_its_loss(name: str) -> None:
    """||grad_x||^2 against central differences; a closed form's parameters are its images or moments."""
    model = oracle.fitted(name, oracle.digits()[:30])
    images = to_unit_range(oracle.digits()[40:43])
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = gradient_norms(model, images, torch.zeros(3, dtype=torch.long), noise, (400,), 3)
    ab, t, step = model.alphas_cumprod[400].double(), torch.tensor([400]), 1e-2

    def loss(x_0: torch.Tensor) -> float:
        x_t = ab.sqrt() * x_0 + (1 - ab).sqrt() * noise.double()
        return float((model.predict_noise(x_t, t).double() - noise.double()).square().mean())

    for i in range(3):
        slope = np.zeros(64)
        for pixel in range(64):
            change = torch.zeros(64, dtype=torch.float64)
            change[pixel] = step
            change = change.reshape(1, 1, 8, 8)
            base = images[i : i + 1].double()
            slope[pixel] = (loss(base + change) - loss(base - change)) / (2 * step)
        assert float(found.of_input[i, 0]) == pytest.approx((slope**2).sum(), rel=0.05)
        assert float(found.of_parameters[i, 0]) > 0

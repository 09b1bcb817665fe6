"""EDM's preconditioning at the noise levels of a diffusion model is EDM's own, in its own variables."""

import pytest
import torch

from leakfront.models.diffusion import DenoisingLoss, add_noise, network_input, regression_target, to_noise
from leakfront.models.own_network import OwnNetwork, SigmaDenoiser
from leakfront.models.preconditioning import SIGMA_DATA
from leakfront.models.unet import UNet


def edm(raw, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """D(x; sigma), by the table of Karras et al. 2022."""
    sigma = sigma.reshape(-1, 1, 1, 1)
    total = sigma**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / total * x + sigma * SIGMA_DATA / total.sqrt() * raw(x / total.sqrt())


def raw(x: torch.Tensor) -> torch.Tensor:
    """Any F, which takes no notice of the level."""
    return torch.tanh(x.roll(1, -1)) + 0.3 * x


LEVELS = torch.tensor([0.999, 0.8, 0.4, 0.02], dtype=torch.float64)


def draws() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """x_0, the noise, x_t and sigma."""
    generator = torch.Generator().manual_seed(0)
    x_0, noise = (torch.randn(4, 3, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    return x_0, noise, add_noise(x_0, noise, LEVELS), ((1 - LEVELS) / LEVELS).sqrt()


def test_the_noise_is_that_of_edms_denoiser() -> None:
    _, _, x_t, sigma = draws()
    x = x_t / LEVELS.sqrt().reshape(-1, 1, 1, 1)
    wanted = (x - edm(raw, x, sigma)) / sigma.reshape(-1, 1, 1, 1)
    found = to_noise(raw(network_input(x_t, LEVELS, "edm")), x_t, LEVELS, "edm")
    torch.testing.assert_close(found, wanted)


def test_the_error_of_the_output_is_edms_weighted_loss() -> None:
    x_0, noise, x_t, sigma = draws()
    x, by = x_t / LEVELS.sqrt().reshape(-1, 1, 1, 1), sigma.reshape(-1, 1, 1, 1)
    weight = (by**2 + SIGMA_DATA**2) / (by * SIGMA_DATA) ** 2  # lambda of EDM's Table 1
    output = raw(network_input(x_t, LEVELS, "edm"))
    found = (output - regression_target(x_0, noise, LEVELS, "edm")).square()
    torch.testing.assert_close(found, weight * (edm(raw, x, sigma) - x_0).square())


def test_inputs_and_targets_have_the_variance_of_one_where_images_have_sigma_datas() -> None:
    generator = torch.Generator().manual_seed(0)
    x_0 = SIGMA_DATA * torch.randn(4, 1, 200, 200, generator=generator)
    noise, levels = torch.randn(x_0.shape, generator=generator), LEVELS.float()
    given = network_input(add_noise(x_0, noise, levels), levels, "edm")
    for values in (given, regression_target(x_0, noise, levels, "edm")):
        assert values.var((1, 2, 3)).numpy() == pytest.approx([1] * 4, abs=0.03)


def test_a_model_predicts_what_another_way_in_makes_of_its_network() -> None:
    """`SigmaDenoiser` takes D(x; sigma) of a user's own code, and knows nothing of F."""
    model = UNet(channels=(8, 8), head_channels=8, prediction="edm", timesteps=40).build((1, 8, 8), 0, 3)
    network = model.network.eval()
    sigmas = ((1 - model.alphas_cumprod) / model.alphas_cumprod).sqrt()

    def denoiser(x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        t = (sigmas[None] - sigma.reshape(-1, 1)).abs().argmin(1)
        return edm(lambda given: network(given, t).sample, x, sigma)

    other = OwnNetwork(SigmaDenoiser(denoiser, sigmas), (1, 8, 8))
    x_t, t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 20, 38])
    with torch.no_grad():
        torch.testing.assert_close(model.predict_noise(x_t, t), other.predict_noise(x_t, t), rtol=1e-3, atol=1e-4)


def test_the_training_loss_calls_the_network_with_scaled_inputs() -> None:
    model = UNet(channels=(8, 8), head_channels=8, prediction="edm").build((1, 8, 8), 0, 3)
    images, loss = torch.rand(3, 1, 8, 8) * 2 - 1, model.loss()
    assert isinstance(loss, DenoisingLoss)
    with torch.no_grad():
        values = loss(model.network, images, torch.zeros(3), torch.Generator().manual_seed(1))
        generator = torch.Generator().manual_seed(1)
        t = torch.randint(1000, (3,), generator=generator)
        noise, levels = torch.randn(images.shape, generator=generator), model.alphas_cumprod[t]
        x_t = add_noise(images, noise, levels)
        # eps_hat - eps = -(sigma_data sqrt(ab) / s) (F - F*)
        scale = (SIGMA_DATA**2 * levels / (1 - levels + SIGMA_DATA**2 * levels)).sqrt()
        errors = (model.predict_noise(x_t, t) - noise).square().mean((1, 2, 3))
    torch.testing.assert_close(errors, scale**2 * values, rtol=1e-3, atol=1e-5)

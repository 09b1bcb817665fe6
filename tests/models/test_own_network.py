"""A network of one's own code, wrapped, is the model that it was before; EDM's form of it too."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from leakfront import models
from leakfront.attacks.queries.gradients import gradient_norms
from leakfront.errors import InputError
from leakfront.harness.training.loop import to_unit_range
from leakfront.models.own_network import OwnNetwork, SigmaDenoiser, alphas_cumprod_of, karras_sigmas
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle

SHAPE = (1, 8, 8)


def inputs(timesteps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noised digits at noise levels from almost none to almost all."""
    t = torch.tensor([1, 20, 100, 400, 900]) * timesteps // 1000
    return torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0)), t


class PosteriorMean:
    """D(x; sigma) = E[x_0 | x_0 + sigma n = x] over a finite set, or over a Gaussian, written in EDM's coordinates."""

    def __init__(self, kind: str, images: torch.Tensor) -> None:
        self.known = images.double().flatten(1)
        self.kind = kind

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        flat, variance = x.double().flatten(1), sigma.double()[:, None] ** 2
        if self.kind == "memorizer":
            apart = (flat[:, None] - self.known[None]).square().sum(2)
            return (torch.softmax(-apart / (2 * variance), dim=1) @ self.known).reshape(x.shape)
        mean, covariance = self.known.mean(0), torch.cov(self.known.T)
        gains = [covariance @ torch.linalg.inv(covariance + v * torch.eye(64, dtype=torch.float64)) for v in variance]
        return torch.stack([mean + gain @ (row - mean) for gain, row in zip(gains, flat, strict=True)]).reshape(x.shape)


@pytest.mark.parametrize("kind", ["memorizer", "gaussian"])
def test_a_closed_form_predicts_the_same_as_own_network_and_as_edm_denoiser(kind: str) -> None:
    digits = oracle.digits()[:200]
    model = oracle.fitted(kind, digits)
    x_t, t = inputs(len(model.alphas_cumprod))
    expected = model.predict_noise(x_t, t)
    assert torch.equal(OwnNetwork(model, SHAPE).predict_noise(x_t, t), expected)
    levels = model.alphas_cumprod.double()
    edm = OwnNetwork(SigmaDenoiser(PosteriorMean(kind, to_unit_range(digits)), ((1 - levels) / levels).sqrt()), SHAPE)
    torch.testing.assert_close(edm.alphas_cumprod, model.alphas_cumprod, rtol=1e-5, atol=1e-7)
    # the first levels differ in float32 alone, where x_0 is divided by a small sigma
    torch.testing.assert_close(edm.predict_noise(x_t, t)[1:], expected[1:], rtol=1e-3, atol=1e-3)


def test_edm_levels_are_those_of_the_noised_image_scaled_to_unit_variance() -> None:
    sigmas = karras_sigmas(18)
    assert sigmas[0] == pytest.approx(0.002)
    assert sigmas[-1] == pytest.approx(80)
    # Karras et al. 2022, Eq. 5, written once more from the other end
    i = torch.arange(18, dtype=torch.float64)
    falling = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(sigmas.flip(0), falling)
    levels = alphas_cumprod_of(sigmas).double()
    torch.testing.assert_close((1 - levels) / levels, sigmas**2, rtol=1e-2, atol=1e-6)
    assert len(SigmaDenoiser(PosteriorMean("memorizer", torch.zeros(1, *SHAPE))).alphas_cumprod) == 1000


class Mine(torch.nn.Module):
    """The class that the module's docstring shows, with classes."""

    def __init__(self, network: Any, betas: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.alphas_cumprod = torch.cumprod(1 - betas, dim=0)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        predicted: torch.Tensor = self.network(x_t, t, labels).sample
        return predicted


@pytest.mark.parametrize("conditional", [False, True])
def test_a_network_keeps_its_predictions_labels_and_gradients(conditional: bool) -> None:
    known = UNet(channels=(8, 16), head_channels=8, schedule="linear", conditional=conditional).build(SHAPE, 4, 3)
    own = OwnNetwork(Mine(known.network, torch.linspace(1e-4, 0.02, 1000)), SHAPE, classes=4 * conditional)
    torch.testing.assert_close(own.alphas_cumprod, known.alphas_cumprod, rtol=1e-6, atol=0)
    x_t, t = inputs(1000)
    labels = torch.arange(5) % 4
    with torch.no_grad():
        assert torch.equal(own.predict_noise(x_t, t, labels), known.predict_noise(x_t, t, labels))
    assert [*own.parameters()] == [f"model.network.{name}" for name in known.parameters()]
    noise = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    mine, theirs = (gradient_norms(m, x_t[:2], labels[:2], noise, (100,), 2) for m in (own, known))
    for found, expected in zip(mine, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def answering(answer: Any, levels: Any = None) -> Any:
    class Answers:
        alphas_cumprod = torch.linspace(0.99, 0.01, 50) if levels is None else levels

        def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> Any:
            return answer(x_t)

    return Answers()


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (answering(lambda x: x[:, :, 0]), r"predict_noise returns torch.float32 \[2, 1, 8\] for x_t \[2, 1, 8, 8\]"),
        (answering(lambda x: x.double()), "torch.float64"),
        (answering(lambda x: (x,)), "returns tuple"),
        (answering(lambda x: x / 0), "not finite"),
        (answering(lambda x: x, torch.linspace(1e-4, 0.02, 50)), "not beta"),
        (answering(lambda x: x, torch.tensor(0.5)), r"alphas_cumprod has the shape \[\]"),
    ],
)
def test_a_wrong_adapter_is_refused_in_a_sentence(model: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        OwnNetwork(model, SHAPE)


def test_what_an_adapter_cannot_do_is_said() -> None:
    own = OwnNetwork(answering(lambda x: x), SHAPE)
    with pytest.raises(InputError, match=r"give a torch\.nn\.Module"):
        own.parameters()
    with pytest.raises(InputError, match="that rise"):
        alphas_cumprod_of(karras_sigmas(10).flip(0))
    assert "own_network" not in models.registry.names()

"""When two objects of a person's own code are taken for the same model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from leakfront.models.in_memory import held


class Inner(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 1, 3, padding=1)
        self.sigma_data = 0.5

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images)


class OtherInner(Inner):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * self.convolution(images)


class Mine(torch.nn.Module):
    def __init__(self, inner: type[Inner] = Inner, **attributes: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = inner()
        self.alphas_cumprod = torch.linspace(0.99, 0.01, 10)
        for name, value in attributes.items():
            setattr(self, name, value)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.inner(x_t)


def identity(model: Any) -> str:
    with held(model) as known:
        return known


def test_the_same_code_weights_and_attributes_are_the_same_model() -> None:
    assert identity(Mine()) == identity(Mine().train())
    kept = {"scales": [1, 2.5], "how": {"prediction": "v"}, "mean": torch.ones(2), "act": torch.sin}
    assert identity(Mine(**kept)) == identity(Mine(**kept))


@pytest.mark.parametrize(
    "changed",
    [
        lambda: Mine(prediction="v"),
        lambda: Mine(classes=10),
        lambda: Mine(OtherInner),
        lambda: Mine(alphas_cumprod=torch.linspace(0.98, 0.01, 10)),
        lambda: Mine(act=torch.sin),
    ],
)
def test_whatever_changes_what_it_does_makes_another_one(changed: Any) -> None:
    assert identity(changed()) != identity(Mine())


def test_an_attribute_of_the_network_counts_too() -> None:
    model = Mine()
    model.inner.sigma_data = 1.0
    assert identity(model) != identity(Mine())
    assert identity(Mine(act=torch.sin)) != identity(Mine(act=torch.cos))


def test_what_cannot_be_seen_is_never_the_same() -> None:
    assert identity(Mine(strange=object())) != identity(Mine(strange=object()))
    offset = 3.0
    assert identity(Mine(act=lambda x: x + offset)) != identity(Mine(act=lambda x: x + offset))

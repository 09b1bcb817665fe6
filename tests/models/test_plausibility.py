"""A model that is read wrongly shows in its errors on members, and so do classes in another order."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from leakfront.harness.training.loop import to_unit_range
from leakfront.models.external.plausibility import plausibility
from leakfront.models.own_network import OwnNetwork
from tests import oracle_targets as oracle

SHAPE = (1, 8, 8)


def members(count: int = 400) -> torch.Tensor:
    images: torch.Tensor = to_unit_range(oracle.digits()[:count])
    return images


def measured(model: Any, labels: torch.Tensor | None = None) -> dict[str, Any]:
    images = members()
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    return plausibility(model, images, labels, torch.Generator().manual_seed(0), 64)


class Changed:
    """A model whose questions or answers are changed, as they are if it is read wrongly."""

    def __init__(self, model: Any, ask: Any = lambda x: x, answer: Any = lambda x: x) -> None:
        self.alphas_cumprod = model.alphas_cumprod
        self._model, self._ask, self._answer = model, ask, answer

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        predicted: torch.Tensor = self._answer(self._model.predict_noise(self._ask(x_t), t))
        return predicted


def test_the_error_of_the_best_gaussian_denoiser_is_the_one_in_closed_form() -> None:
    """E||eps_hat - eps||^2 / d is the mean of ab v / (ab v + 1 - ab) over the variances v."""
    model = oracle.fitted("gaussian", oracle.digits()[:400])
    found = measured(model)
    ab = float(model.alphas_cumprod[100])
    variances = torch.linalg.eigvalsh(torch.cov(members().double().flatten(1).T)).clamp(min=0)
    expected = float((ab * variances / (ab * variances + 1 - ab)).mean())
    assert found["noise_error"] == pytest.approx(expected, rel=0.05)
    assert {key: found[key] for key in ("timestep", "timesteps", "images")} == {
        "timestep": 100, "timesteps": 1000, "images": 256,
    }  # fmt: skip


def test_the_memorizer_is_near_zero_and_models_read_wrongly_are_above_the_limit() -> None:
    model = oracle.fitted("memorizer", oracle.digits()[:400])
    assert measured(model)["noise_error"] < 0.01
    wrong = {
        "nothing predicted": Changed(model, answer=torch.zeros_like),
        "sign": Changed(model, answer=lambda noise: -noise),
        "range": Changed(model, ask=lambda x: 2 * x - 1),
        "upside down": Changed(model, ask=lambda x: x.flip(2), answer=lambda noise: noise.flip(2)),
    }
    for name, changed in wrong.items():
        assert measured(OwnNetwork(changed, SHAPE))["noise_error"] > 0.9, name


class OfClasses:
    """The memorizers of ten classes; a label says whose images are remembered."""

    def __init__(self, images: Any, labels: torch.Tensor) -> None:
        self._models = [oracle.fitted("memorizer", images[labels.numpy() == c]) for c in range(10)]
        self.alphas_cumprod = self._models[0].alphas_cumprod

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        assert labels is not None
        answers = [self._models[int(c)].predict_noise(x_t[i : i + 1], t[i : i + 1]) for i, c in enumerate(labels)]
        return torch.cat(answers)


def test_labels_in_another_order_do_no_better_than_permuted_ones() -> None:
    images = oracle.digits()[:400]
    labels = torch.arange(400) % 10
    model = OwnNetwork(OfClasses(images, labels), SHAPE, classes=10)
    right = measured(model, labels)
    assert right["label_timestep"] == 500
    assert right["labels_gain"][1] > 0
    assert right["noise_error_own_labels"] < right["noise_error_permuted_labels"]
    # 1, 10, 2, 3 …: the order of names as texts
    as_texts = torch.tensor([0, 2, 3, 4, 5, 6, 7, 8, 9, 1])[labels]
    assert measured(model, as_texts)["labels_gain"][1] <= 0


def test_what_is_not_finite_is_none() -> None:
    model = oracle.fitted("gaussian", oracle.digits()[:400])
    broken = OwnNetwork(model, SHAPE)
    broken.predict_noise = lambda x_t, t, labels=None: x_t / 0  # type: ignore[method-assign]
    assert measured(broken)["noise_error"] is None

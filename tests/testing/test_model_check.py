"""`check_model` names what is wrong with a model family; good ones pass it in tests/models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from leakfront.models.gaussian import Gaussian
from leakfront.models.unet import UNet
from leakfront.testing import check_model
from tests.testing.broken import Cases, broken, each_of, refused

SMALL = {"channels": (8, 16), "head_channels": 8}


def gaussian(**members: Any) -> Any:
    """A family whose models are Gaussians with some members changed; each is made of the class that it changes."""

    def changed(model: Any) -> Any:
        kind = type(model)
        model.__class__ = type("Changed", (kind,), {name: make(kind) for name, make in members.items()})
        return model

    return broken(
        Gaussian,
        build=lambda self, *arguments: changed(Gaussian.build(self, *arguments)),
        load=lambda self, folder: changed(Gaussian.load(self, folder)),
    )


def predicting(change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    def predict_noise(kind: Any) -> Any:
        return lambda self, x_t, t, condition=None: change(
            kind.predict_with(self, self.parameters(), x_t, t, condition)
        )

    return gaussian(predict_noise=predict_noise)


def pickled(kind: Any) -> Any:
    def save(self: Any, folder: Path) -> None:
        kind.save(self, folder)
        (folder / "more.pt").write_bytes(b"")

    return save


def conditioned(kind: Any) -> Any:
    return lambda self, x_t, t, condition=None: kind.predict_noise(self, x_t, t) * (1 if condition is None else 2)


def undifferentiable(kind: Any) -> Any:
    def predict_with(self: Any, parameters: Any, *inputs: Any) -> torch.Tensor:
        found: torch.Tensor = kind.predict_with(self, parameters, *inputs)
        return found * (1.0 if found.sum().item() < 1e9 else 0.0)

    return predict_with


def unet(**members: Any) -> Any:
    return broken(UNet, **members)(**SMALL)


def forgets_its_seed(self: Any, shape: Any, classes: int, seed: int) -> Any:
    return UNet.build(self, shape, classes, 0)


def draws_its_seed(self: Any, shape: Any, classes: int, seed: int) -> Any:
    return UNet.build(self, shape, classes, torch.seed() % 2**32)


def with_loss(change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    def build(self: Any, *arguments: Any) -> Any:
        model = UNet.build(self, *arguments)
        loss = model.loss()
        model.loss = lambda: lambda *inputs: change(loss(*inputs))  # type: ignore[method-assign]
        return model

    return unet(build=build)


BAD: Cases = [
    (broken(Gaussian, trained=True), "its model must have a network"),
    (broken(Gaussian, check=lambda self, shape: 1 / 0), r"check of images \(1, 8, 8\) raised ZeroDivisionError"),
    (broken(Gaussian, build=lambda self, *_: None), "fit raised AttributeError"),
    (broken(Gaussian, build=lambda self, *_: Gaussian.build(self, (1, 4, 16), 0, 0)), "the image_shape of model"),
    (broken(Gaussian, build=lambda self, *a: Gaussian(20).build(*a)), "is 1000, but its model has 20 noise levels"),
    (gaussian(parameters=lambda kind: lambda self: {}), r"parameters\(\) of model 'gaussian' must be tensors by name"),
    (gaussian(classes=lambda kind: -1), "must be a whole number from 0 on"),
    (predicting(lambda noise: noise * torch.rand(1)), "predict_noise of model 'gaussian' depends on the batch"),
    (predicting(lambda noise: noise - noise.mean(0)), "predict_noise of model 'gaussian' depends on the batch"),
    (predicting(lambda noise: noise + 1), "predict_with of model 'gaussian' must agree with predict_noise"),
    (predicting(lambda noise: noise.double()), "predict_noise of model 'gaussian' must return float32"),
    (predicting(lambda noise: noise / 0), "must be finite at every noise level"),
    (gaussian(predict_noise=conditioned), "is unconditional, so conditions must not change its predictions"),
    (gaussian(predict_with=undifferentiable), r"under torch\.func\.vmap and torch\.func\.grad raised"),
    (gaussian(save=pickled), r"must be saved as safetensors and JSON, not as more\.pt"),
    (broken(Gaussian, load=lambda self, folder: 1 / 0), "load raised ZeroDivisionError"),
    (unet(load=lambda self, folder: UNet.build(self, (1, 8, 8), 10, 0)), "must predict the same after saving"),
    (unet(build=forgets_its_seed), "must build another model from another seed"),
    (unet(build=draws_its_seed), "must build the same model from the same seed"),
    (with_loss(lambda loss: loss.mean()), "must be one finite number for each image"),
    (with_loss(lambda loss: loss * torch.rand(1, generator=torch.Generator().manual_seed(torch.seed() % 2**32))),
     "must be the same with the same generator"),
    (with_loss(lambda loss: loss.detach()), "the gradient of its loss raised RuntimeError"),
]  # fmt: skip


@each_of(BAD)
def test_a_bad_model_is_caught(plugin: Any, says: str) -> None:
    refused(check_model, says, plugin)

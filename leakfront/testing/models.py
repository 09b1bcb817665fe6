"""The contract of a model family and its models, checked on digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.models import ModelFamily
from leakfront.testing import oracles
from leakfront.testing.generators import check_generator
from leakfront.testing.plugin import calling, check_plugin, named, require
from leakfront.testing.saving import loaded_again

if TYPE_CHECKING:
    import torch

SHAPE, CLASSES = (1, 8, 8), 10
CAPTIONS = ("a large seven", "a small one, upright", "the number 4", "an o, or a zero", "three's shadow")


def check_model(family: type[ModelFamily] | ModelFamily) -> None:
    """Raise `AssertionError` unless a model family keeps to the contract of `leakfront.models.ModelFamily`.

    family: a class, or an instance whose parameters suit images [1, 8, 8] of 10 classes; small ones make it fast.

    It checks that equal seeds give equal models, and the shapes, types and noise levels of a model. Its predictions
    must not depend on the batch; `predict_with` must agree with `predict_noise` and be differentiable for each image by
    torch.func. The loss of a trained family must give one differentiable number for each image. A saved model must
    predict the same after loading, and its files must not hold pickles. A model must take its own conditions and what
    `embed` makes of them alike; a text model must know the empty caption, and tell captions apart. A family of
    generators must keep to `leakfront.testing.generators.check_generator`.
    """
    import torch

    family = check_plugin(family, ModelFamily, "model", defaults=False)
    who = named(family, "model")
    require(isinstance(family.trained, bool), f"trained of {who} must be true or false")
    with calling(f"{who}: check of images {SHAPE}"):
        family.check(SHAPE)
    model = _built(family, 3, who)
    if family.kind == "generator":
        check_generator(family, model, _built(family, 4, who), SHAPE, who)
        return
    _check_facts(family, model, who)
    _check_seeds(family, model, who)
    with torch.no_grad():
        predicted = _check_predictions(model, who)
        _check_saving(family, model, predicted, who)
    _check_gradients(model, who)
    if family.trained:
        _check_loss(model, who)


def _built(family: ModelFamily, seed: int, who: str) -> Any:
    with calling(f"{who}: build"):
        model: Any = family.build(SHAPE, CLASSES, seed, *([CAPTIONS] if family.text else []))
    if not family.trained:
        with calling(f"{who}: fit"):
            model.fit(_digits(70), *([_conditions(model, 70)] if family.text else []))
    if model.network is not None:
        model.network.eval()
    return model


def _digits(count: int) -> torch.Tensor:
    import torch

    return torch.as_tensor(oracles.digits()[:count]).float() / 127.5 - 1


def _inputs(model: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    last = len(model.alphas_cumprod) - 1
    t = torch.tensor([0, min(1, last), last // 20, last // 2, last])
    x_t = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    return x_t, t, _conditions(model, 5)


def _conditions(model: Any, count: int) -> torch.Tensor:
    import torch

    captions = [CAPTIONS[i % len(CAPTIONS)] for i in range(count)]
    conditions: torch.Tensor = model.conditions(torch.arange(count) % max(model.classes, 1), captions)
    return conditions


def _check_facts(family: ModelFamily, model: Any, who: str) -> None:
    import torch

    require(tuple(model.image_shape) == SHAPE, f"the image_shape of {who} must be {SHAPE}; it is {model.image_shape}")
    levels = model.alphas_cumprod
    shape = isinstance(levels, torch.Tensor) and levels.dtype == torch.float32 and levels.ndim == 1
    require(shape, f"alphas_cumprod of {who} must be float32 [T]")
    falls = bool((levels > 0).all() and (levels <= 1).all() and (levels.diff() <= 0).all())
    require(falls, f"alphas_cumprod of {who} must lie in (0, 1] and never rise")
    count = f"timesteps of {who} is {family.timesteps}, but its model has {len(levels)} noise levels"
    require(family.timesteps == len(levels), count)
    require(isinstance(model.classes, int) and model.classes >= 0, f"classes of {who} must be a whole number from 0 on")
    require(not family.trained or model.network is not None, f"{who} is trained, so its model must have a network")
    named_tensors = model.parameters()
    tensors = named_tensors and all(isinstance(value, torch.Tensor) for value in named_tensors.values())
    require(tensors, f"parameters() of {who} must be tensors by name, at least one")


def _check_seeds(family: ModelFamily, model: Any, who: str) -> None:
    import torch

    def equal(other: Any) -> bool:
        mine, theirs = model.parameters(), other.parameters()
        return set(mine) == set(theirs) and all(torch.equal(mine[name], theirs[name]) for name in mine)

    require(equal(_built(family, 3, who)), f"{who} must build the same model from the same seed")
    if family.trained:
        require(not equal(_built(family, 4, who)), f"{who} must build another model from another seed")


def _check_predictions(model: Any, who: str) -> torch.Tensor:
    import torch

    x_t, t, given = _inputs(model)
    is_long = given.dtype == torch.int64 and given.shape[:1] == (5,)
    require(is_long, f"conditions of {who} must return int64 [N, ...] for N labels and captions")
    with calling(f"{who}: predict_noise"):
        found: torch.Tensor = model.predict_noise(x_t, t, given)
        alone = torch.cat([model.predict_noise(x_t[i : i + 1], t[i : i + 1], given[i : i + 1]) for i in (4, 0)])
        embedded = model.predict_noise(x_t, t, model.embed(given))
        without = found if model.classes or model.words else model.predict_noise(x_t, t)
    shape = found.shape == x_t.shape and found.dtype == torch.float32
    require(shape, f"predict_noise of {who} must return float32 of the shape of x_t")
    require(found.isfinite().all(), f"predict_noise of {who} must be finite at every noise level")
    require(torch.allclose(alone, found[[4, 0]], rtol=1e-4, atol=1e-5), f"predict_noise of {who} depends on the batch")
    require(torch.equal(without, found), f"{who} is unconditional, so conditions must not change its predictions")
    same = torch.allclose(embedded, found, rtol=1e-5, atol=1e-5)
    require(same, f"predict_noise of {who} must take what embed returns as it takes the conditions themselves")
    if model.words:
        _check_captions(model, found, who)
    with calling(f"{who}: predict_with"):
        as_function = model.predict_with(model.parameters(), x_t, t, given)
    agree = torch.allclose(as_function, found, rtol=1e-5, atol=1e-5)
    require(agree, f"predict_with of {who} must agree with predict_noise")
    return found


def _check_captions(model: Any, found: torch.Tensor, who: str) -> None:
    """Whether a text model knows the empty caption, and predicts something else for it and for other captions."""
    import torch

    x_t, t, given = _inputs(model)
    empty = model.conditions(torch.zeros(1, dtype=torch.long), [""])
    knows = model.null is not None and torch.equal(empty[0], model.null)
    require(knows, f"the null of {who} must be the condition of the empty caption")
    for other in (given[[1, 2, 3, 4, 0]], empty.expand(5, *empty.shape[1:])):
        differs = not torch.allclose(model.predict_noise(x_t, t, other), found, rtol=1e-6, atol=1e-6)
        require(differs, f"the predictions of {who} must depend on the captions")


def _check_gradients(model: Any, who: str) -> None:
    import torch

    from leakfront.attacks.queries.gradients import gradient_norms

    noise = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    at = (len(model.alphas_cumprod) // 10,)
    with calling(f"{who}: predict_with under torch.func.vmap and torch.func.grad"):
        found = gradient_norms(model, _digits(2), _conditions(model, 2), noise, at, batch_size=2)
    require(all(values.isfinite().all() for values in found), f"the gradients of {who} must be finite")


def _check_loss(model: Any, who: str) -> None:
    import torch

    model.network.train()
    images, given = _digits(4), _conditions(model, 4)

    def once() -> torch.Tensor:
        torch.manual_seed(0)
        with calling(f"{who}: loss"):
            value: torch.Tensor = model.loss()(model.network, images, given, torch.Generator().manual_seed(0))
        return value

    loss = once()
    require(loss.shape == (4,) and loss.isfinite().all(), f"the loss of {who} must be one finite number for each image")
    require(torch.equal(loss, once()), f"the loss of {who} must be the same with the same generator")
    with calling(f"{who}: the gradient of its loss"):
        trained = [parameter for parameter in model.network.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(loss.mean(), trained, allow_unused=True)
    moved = any(g is not None and bool(g.abs().sum() > 0) for g in gradients)
    require(moved, f"the loss of {who} must have a gradient with respect to the network's weights")
    model.network.eval()


def _check_saving(family: ModelFamily, model: Any, predicted: torch.Tensor, who: str) -> None:
    import torch

    again = loaded_again(family, model, who)
    same = tuple(again.image_shape) == SHAPE and again.classes == model.classes
    same = same and torch.equal(_conditions(again, 5), _conditions(model, 5))
    require(same, f"{who} must be loaded with the image_shape and conditions that it was saved with")
    levels = np.allclose(again.alphas_cumprod, model.alphas_cumprod, rtol=1e-6)
    require(levels, f"{who} must be loaded with the noise levels that it was saved with")
    equal = torch.allclose(again.predict_noise(*_inputs(model)), predicted, rtol=1e-6, atol=1e-6)
    require(equal, f"{who} must predict the same after saving and loading")

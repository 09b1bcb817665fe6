"""The contract of a family of generators."""

from __future__ import annotations

from typing import Any

from leakfront.models import ModelFamily, generates
from leakfront.testing.plugin import require
from leakfront.testing.saving import loaded_again


def check_generator(family: ModelFamily, model: Any, other: Any, shape: tuple[int, int, int], who: str) -> None:
    """Raise `AssertionError` unless a model of a family of generators keeps to `leakfront.models.Generator`.

    other: a model of another seed. shape: (C, H, W) of the images that both were built for.

    Its images must have that shape and lie in [-1, 1]; they and its logits must not depend on the batch. A saved model
    must generate the same after loading.
    """
    import torch

    require(generates(model), f"the models of {who} must derive from Generator")
    require(tuple(model.image_shape) == shape, f"the image_shape of {who} must be {shape}; it is {model.image_shape}")
    noise = torch.randn(5, *model.noise_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = model.generate(noise)
        fits = images.dtype == torch.float32 and tuple(images.shape) == (5, *shape) and bool(images.abs().max() <= 1)
        require(fits, f"{who} must generate float32 images [N, {', '.join(map(str, shape))}] in [-1, 1]")
        require(_alike(model.generate(noise[:2]), images[:2]), f"an image of {who} depends on the others of its batch")
        require(not _alike(other.generate(noise), images), f"{who} must build another model from another seed")
        logits, of_two = model.discriminate(images), model.discriminate(images[:2])
        require(bool(logits), f"{who} must have a discriminator")
        for name, values in logits.items():
            require(tuple(values.shape) == (5,), f"the logits {name!r} of {who} must have one entry for each image")
            require(_alike(of_two[name], values[:2]), f"a logit {name!r} of {who} depends on the others of its batch")
        again = loaded_again(family, model, who)
        require(_alike(again.generate(noise), images), f"{who} must generate the same after saving and loading")


def _alike(one: Any, two: Any) -> bool:
    import torch

    return torch.allclose(one, two, rtol=1e-5, atol=1e-5)

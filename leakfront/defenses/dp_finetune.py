"""Differentially private fine-tuning of a network that was trained on public images."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt

from leakfront.defenses import Guarantee, TrainingSet, TrainingSetup, TrainingStep, register
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.errors import DivergedError, InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch


@register("dp_finetune")
@dataclass(frozen=True)
class DPFinetune(DPSGD):
    """Train on public images, then with DP-SGD on the private ones (Ghalebikesabi et al. 2023, arXiv 2302.13861).

    First come `pretrain_steps` of Adam on the public images, without noise or clipping. Then DP-SGD starts from those
    weights, as in `dp_sgd` and with the same parameters. The noise grows with the number of weights, and private steps
    are few. Weights that already generate images leave less to learn through the noise.

    lora_rank r = 0 trains all weights privately. r > 0 freezes them and trains low-rank adapters (Hu et al. 2021, arXiv
    2106.09685, Eq. 3) by peft: y = W x + B A x with A and B of rank r, and B = 0 at first, for every linear layer and
    convolution. All other weights (norms, biases, class embeddings) keep their public values. At the end the adapters
    are merged into the weights, so the model that is kept is an ordinary network.

    A text encoder keeps its public weights in both cases: its position embedding is one for all captions of a batch,
    and has no per-image gradients. A model that adds adapters to a public base (`lora`) has had its pretraining: none
    follows, and the private steps train its own adapters, of rank lora_rank if that is not 0.

    The guarantee is that of `dp_sgd`, for the private images; of a text model, for pairs of image and caption. The
    public images are not protected. None of them may be in the training set; this is checked by the SHA-256 of their
    bytes, which does not detect near copies. The limits of the guarantee are those of `dp_sgd`. The method does not
    help where public images look unlike the private ones.

    Adds pretraining to the cost of `dp_sgd`, repeated for every model, since its weights are a function of the seed.
    Its model calls are reported as pretrain_model_calls. A run that resumes from a checkpoint repeats the pretraining
    and then loads the checkpoint's weights.
    """

    summary = "DP-SGD from weights trained on public images; all weights, or low-rank adapters"

    pretrain_steps: Annotated[int, Ge(1)] = 500
    pretrain_learning_rate: Annotated[float, Gt(0)] | None = None  # None, here and below: the benchmark's value
    pretrain_batch_size: Annotated[int, Ge(1)] | None = None
    lora_rank: Annotated[int, Ge(0)] = 0  # 0: all weights are trained privately

    def check(self, expected_size: float, batch_size: int) -> None:
        super().check(expected_size, batch_size)
        if self.lora_rank and importlib.util.find_spec("peft") is None:
            raise InputError("dp_finetune.lora_rank needs peft: pip install leakfront[lora]")

    def relative_cost(self, steps: int, batch_size: int) -> float:
        pretraining = self.pretrain_steps * (self.pretrain_batch_size or batch_size)
        return super().relative_cost(steps, batch_size) + pretraining / (steps * batch_size)

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        refuse_overlap(setup.public, setup.dataset)
        batch_size = self.pretrain_batch_size or setup.batch_size
        learning_rate = self.pretrain_learning_rate or setup.learning_rate
        setup = super().training(setup)
        setup.make_step = partial(self._pretrained_step, batch_size=batch_size, learning_rate=learning_rate)
        return setup

    def _pretrained_step(self, setup: TrainingSetup, batch_size: int, learning_rate: float) -> TrainingStep:
        """Train the network on the public images and return the private step; both come before any weight average."""
        from leakfront.models.adapters.layers import adapted_layers

        if adapted_layers(setup.network):
            return self._adapted_step(setup)
        encoder = getattr(setup.network, "text_encoder", None)
        with _frozen(encoder):  # refuses a network that cannot be trained privately before paying for the pretraining
            self.private_step(setup)
        public = replace(setup, dataset=setup.public, batch_size=batch_size, learning_rate=learning_rate)
        spent = pretrain(public, self.pretrain_steps)
        if encoder is not None:
            encoder.requires_grad_(False)
        if self.lora_rank:
            add_adapters(setup, self.lora_rank)
        return _FinetuningStep(self.private_step(setup), spent)

    def _adapted_step(self, setup: TrainingSetup) -> TrainingStep:
        """The private step of adapters on a base that was trained on public images before."""
        import torch

        from leakfront.models.adapters.layers import change_rank

        if self.lora_rank:
            torch.manual_seed(derive_seed(setup.seed, "dp_finetune", "adapters"))
            change_rank(setup.network, self.lora_rank)
        return _FinetuningStep(self.private_step(setup), {"pretrain_model_calls": 0.0})


@contextmanager
def _frozen(part: torch.nn.Module | None) -> Iterator[None]:
    """In the block, a part of a network is not trained."""
    if part is not None:
        part.requires_grad_(False)
    yield
    if part is not None:
        part.requires_grad_(True)


def refuse_overlap(public: TrainingSet, private: TrainingSet) -> None:
    """Raise `InputError` unless there are public images and none of them is in the training set."""
    if not len(public):
        raise InputError("dp_finetune needs public images, and this benchmark has none outside its pool")
    known = {hashlib.sha256(image.tobytes()).digest() for image in private.images}
    shared = sum(hashlib.sha256(image.tobytes()).digest() in known for image in public.images)
    if shared:
        raise InputError(
            f"dp_finetune: {shared} of the {len(public)} public images are in the training set too; public images are "
            "not protected, so take them from another source"
        )


def pretrain(setup: TrainingSetup, steps: int) -> dict[str, float]:
    """Train `setup.network` on `setup.dataset` by undefended steps; all draws follow from `setup.seed`.

    Returns the cost: {"pretrain_model_calls": images that passed through the network}. Raises `DivergedError` at the
    first loss that is not finite.
    """
    import torch

    from leakfront.defenses.training.plain_step import PlainStep

    calls, ranks = 0, setup.ranks

    def count(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        calls += len(arguments[0])

    def elsewhere(images: int) -> None:
        nonlocal calls
        calls += images
        ranks.elsewhere(images)

    counter = setup.network.register_forward_pre_hook(count)
    setup = replace(setup, ranks=replace(ranks, elsewhere=elsewhere))
    step, generator = PlainStep(setup), torch.Generator()
    images, conditions = torch.as_tensor(setup.dataset.images), setup.conditions(setup.dataset)
    for k in range(steps):
        generator.manual_seed(derive_seed(setup.seed, "dp_finetune", "step", k))
        torch.manual_seed(derive_seed(setup.seed, "dp_finetune", "global", k))  # for dropout and torchvision
        indices = step.draw(generator)
        batch = images[indices].to(setup.device).float() / 127.5 - 1
        if not math.isfinite(step.update(batch, conditions[indices].to(setup.device), generator)):
            raise DivergedError(k + 1)
    counter.remove()
    setup.network.zero_grad(set_to_none=True)  # the private step compares per-image gradients with this attribute
    return {"pretrain_model_calls": float(calls)}


def add_adapters(setup: TrainingSetup, rank: int) -> None:
    """Freeze `setup.network` and add adapters to its linear layers and convolutions, but for those that are frozen.

    The scale alpha / r is 1. At the end the moving averages of A and B, each averaged on its own, are merged.
    """
    import torch

    from leakfront.models.adapters import layers as adapters

    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    modules = setup.network.named_modules()
    layers = [name for name, one in modules if isinstance(one, kinds) and one.weight.requires_grad]
    if not layers:
        raise InputError("dp_finetune.lora_rank needs a network with linear layers or convolutions; set it to 0")
    torch.manual_seed(derive_seed(setup.seed, "dp_finetune", "adapters"))  # A is drawn from the global generator
    adapters.add_adapters(setup.network, layers, rank)
    finish = setup.finish

    def merged(network: torch.nn.Module) -> torch.nn.Module:
        adapters.merge_adapters(network)
        return finish(network)

    setup.finish = merged


class _FinetuningStep:
    """A private step that also reports the cost of the pretraining."""

    def __init__(self, private: TrainingStep, spent: dict[str, float]) -> None:
        self._private, self._spent = private, spent

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        return self._private.draw(generator)

    def update(self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator) -> float:
        return self._private.update(images, condition, generator)

    def state_dict(self) -> dict[str, Any]:
        return self._private.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._private.load_state_dict(state)

    def report(self) -> dict[str, float]:
        return {**self._private.report(), **self._spent}

    def guarantee(self) -> Guarantee | None:
        found = self._private.guarantee()
        return found and replace(found, unit=f"private {found.unit}; the public images are not protected")

"""Differentially private fine-tuning of a network that was trained on public images."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from leakfront.defenses import Guarantee, register
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.errors import DivergedError, InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.defenses import TrainingSet, TrainingSetup, TrainingStep


@register("dp_finetune")
@dataclass(frozen=True)
class DPFinetune(DPSGD):
    """Train on public images, then with DP-SGD on the private ones (Ghalebikesabi et al. 2023, arXiv 2302.13861).

    First `pretrain_steps` of Adam on the public images, without noise or clipping; then DP-SGD as `dp_sgd` does it,
    with the same parameters, from those weights. Noise grows with the number of weights and private steps are few, so
    that starting from weights which generate images already leaves less to be learned through the noise.

    lora_rank r = 0 trains all weights privately; r > 0 freezes them and trains low-rank adapters (Hu et al. 2021, arXiv
    2106.09685, Eq. 3) by peft, y = W x + B A x with A and B of rank r and B = 0 at first, for every linear layer and
    convolution. All other weights (norms, biases, class embeddings) keep their public values. The adapters are merged
    into the weights at the end: the model that is kept is an ordinary network.

    Guarantees what `dp_sgd` guarantees, for the private images. The public images are not protected at all. None of
    them may be in the training set; that is checked by the SHA-256 of their bytes, so it does not see near copies.

    Costs the pretraining beside `dp_sgd`, in each training anew (its weights are a function of the seed); its part of
    the training's model calls is reported as pretrain_model_calls. A run that goes on
    from a checkpoint repeats it and then takes the checkpoint's weights. What it does not cover is what `dp_sgd` does
    not cover; nor does it help where public images look unlike the private ones.
    """

    summary = "DP-SGD from weights trained on public images; all weights, or low-rank adapters"

    pretrain_steps: int = 500
    pretrain_learning_rate: float | None = None  # None, here and below: as the benchmark has it
    pretrain_batch_size: int | None = None
    lora_rank: int = 0  # 0: all weights are trained privately

    def __post_init__(self) -> None:
        super().__post_init__()
        rate = self.pretrain_learning_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise InputError(f"dp_finetune.pretrain_learning_rate is {rate}; it must be a positive number")
        for key, least in (("pretrain_steps", 1), ("pretrain_batch_size", 1), ("lora_rank", 0)):
            value = getattr(self, key)
            if value is not None and (value < least or value != int(value)):
                raise InputError(f"dp_finetune.{key} is {value}; it must be a whole number of at least {least}")

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
        setup.make_step = partial(self._make_step, batch_size=batch_size, learning_rate=learning_rate)
        return setup

    def _make_step(self, setup: TrainingSetup, batch_size: int, learning_rate: float) -> TrainingStep:
        """The private step, on a network trained on the public images; the loop averages weights only after this."""
        from leakfront.defenses.training.private_step import PrivateStep

        PrivateStep(setup, self)  # refuses what cannot be trained privately before the pretraining is paid for
        public = replace(setup, dataset=setup.public, batch_size=batch_size, learning_rate=learning_rate)
        spent = pretrain(public, self.pretrain_steps)
        if self.lora_rank:
            add_adapters(setup, self.lora_rank)
        return _FinetuningStep(PrivateStep(setup, self), spent)


def refuse_overlap(public: TrainingSet, private: TrainingSet) -> None:
    """Raise `InputError` unless there are public images and none of them is in the training set."""
    if not len(public):
        raise InputError("dp_finetune needs public images, and this benchmark has none outside its pool")
    known = {hashlib.sha256(image.tobytes()).digest() for image in private.images}
    shared = sum(hashlib.sha256(image.tobytes()).digest() in known for image in public.images)
    if shared:
        raise InputError(
            f"dp_finetune: {shared} of the {len(public)} public images are in the training set too; public images must "
            "be nobody's secret, so take them from elsewhere"
        )


def pretrain(setup: TrainingSetup, steps: int) -> dict[str, float]:
    """Train `setup.network` on `setup.dataset` by undefended steps, as a function of `setup.seed`; what it cost.

    Raises `DivergedError` at the first loss that is not finite.
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
    images, labels = torch.as_tensor(setup.dataset.images), torch.as_tensor(setup.dataset.labels)
    for k in range(steps):
        generator.manual_seed(derive_seed(setup.seed, "dp_finetune", "step", k))
        torch.manual_seed(derive_seed(setup.seed, "dp_finetune", "global", k))  # for dropout and torchvision
        indices = step.draw(generator)
        batch = images[indices].to(setup.device).float() / 127.5 - 1
        if not math.isfinite(step.update(batch, labels[indices].to(setup.device), generator)):
            raise DivergedError(k + 1)
    counter.remove()
    setup.network.zero_grad(set_to_none=True)  # the private step compares per-image gradients with what is there
    return {"pretrain_model_calls": float(calls)}


def add_adapters(setup: TrainingSetup, rank: int) -> None:
    """Freeze `setup.network` and give its linear layers and convolutions adapters, which `setup.finish` merges.

    The scale of peft, lora_alpha / r, is 1. peft writes the adapters into the network itself, whose averaged weights,
    A and B each on its own, are what is merged.
    """
    import torch
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    layers = [name for name, module in setup.network.named_modules() if isinstance(module, kinds)]
    if not layers:
        raise InputError("dp_finetune.lora_rank needs a network with linear layers or convolutions; set it to 0")
    torch.manual_seed(derive_seed(setup.seed, "dp_finetune", "adapters"))  # A is drawn from the global generator
    adapted = LoraModel(setup.network, LoraConfig(r=rank, lora_alpha=rank, target_modules=layers), "default")
    finish = setup.finish
    setup.finish = lambda network: finish(adapted.merge_and_unload())


class _FinetuningStep:
    """A private step that reports what the pretraining cost, too."""

    def __init__(self, private: TrainingStep, spent: dict[str, float]) -> None:
        self._private, self._spent = private, spent

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        return self._private.draw(generator)

    def update(self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> float:
        return self._private.update(images, labels, generator)

    def state_dict(self) -> dict[str, Any]:
        return self._private.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._private.load_state_dict(state)

    def report(self) -> dict[str, float]:
        return {**self._private.report(), **self._spent}

    def guarantee(self) -> Guarantee | None:
        found = self._private.guarantee()
        return found and replace(found, unit=f"private {found.unit}; the public images are not protected")

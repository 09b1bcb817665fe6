"""Low-rank adapters of linear layers and convolutions: put into a network, switched off, merged (by peft)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from leakfront.errors import InputError

NAME = "default"  # peft's, of the only set of adapters
ATTENTION = re.compile(r".*\.attn[12]\.(to_q|to_k|to_v|to_out\.0)")  # of diffusers' transformer blocks


@dataclass(frozen=True, eq=False)
class Adapter:
    """y = W x + (alpha / r) B A x (Hu et al. 2021, arXiv 2106.09685, Eq. 3 and §4.1).

    down: A, float32 [r, in], of a convolution [r, in, k, k]. up: B, float32 [out, r], of a convolution [out, r, 1, 1].
    alpha: None stands for r.
    """

    down: torch.Tensor
    up: torch.Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """r."""
        return self.down.shape[0] if self.down.ndim else 0


def require_peft(what: str) -> None:
    """Raise `InputError`, which begins with `what`, if peft is not installed."""
    if importlib.util.find_spec("peft") is None:
        raise InputError(f"{what} needs peft: pip install leakfront[lora]")


def attention_layers(network: torch.nn.Module) -> list[str]:
    """The names of the linear layers that diffusers' LoRA scripts adapt: those of attention, to_q to to_out."""
    named = network.named_modules()
    return [name for name, module in named if isinstance(module, torch.nn.Linear) and ATTENTION.fullmatch(name)]


def add_adapters(network: torch.nn.Module, layers: Sequence[str], rank: int) -> None:
    """Freeze `network` and add a new adapter of this rank, with alpha = rank, to each of its `layers`.

    A is drawn from torch's global generator, B is 0: at first, the network computes what it did before.
    """
    _inject(network, dict.fromkeys(layers, (rank, float(rank))))


def put_adapters(network: torch.nn.Module, adapters: Mapping[str, Adapter]) -> None:
    """Freeze `network` and put these adapters on its layers, by name.

    Raises `InputError` if the network has no such layer, or one of another size.
    """
    for name, adapter in adapters.items():
        check_fit(network, name, adapter)
    _inject(network, {name: (a.rank, a.rank if a.alpha is None else a.alpha) for name, a in adapters.items()})
    with torch.no_grad():
        for name, layer in adapted_layers(network).items():
            layer.lora_A[NAME].weight.copy_(adapters[name].down)
            layer.lora_B[NAME].weight.copy_(adapters[name].up)


def check_fit(network: torch.nn.Module, name: str, adapter: Adapter) -> None:
    """Raise `InputError` if the network has no layer of this name that such an adapter can be put on."""
    try:
        weight = network.get_submodule(name).weight
    except AttributeError:
        weight = None
    if not isinstance(weight, torch.Tensor) or weight.ndim not in (2, 4):
        raise InputError(f"the adapters have one for {name}, but the network has no linear layer or convolution there")
    if not adapter.rank:
        raise InputError(f"the adapter of {name} has rank 0; it must be at least 1")
    rank, (out, *rest) = adapter.rank, weight.shape
    wanted = (rank, *rest), (out, rank, *[1] * (weight.ndim - 2))
    if (tuple(adapter.down.shape), tuple(adapter.up.shape)) != wanted:
        found = f"A {list(adapter.down.shape)} and B {list(adapter.up.shape)}"
        raise InputError(f"the adapter of {name} has {found}; for this layer they must be {list(wanted[0])} and "
                         f"{list(wanted[1])}")  # fmt: skip


def _inject(network: torch.nn.Module, shapes: Mapping[str, tuple[int, float]]) -> None:
    """Freeze `network` and add new adapters to its layers by name, each of a rank and an alpha."""
    require_peft("a low-rank adapter")
    from peft import LoraConfig, inject_adapter_in_model

    (rank, alpha), *others = dict.fromkeys(shapes.values())
    by_layer = {re.escape(name): shape for name, shape in shapes.items()} if others else {}
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(shapes),
        rank_pattern={name: r for name, (r, _) in by_layer.items()},
        alpha_pattern={name: a for name, (_, a) in by_layer.items()},
    )  # fmt: skip
    inject_adapter_in_model(config, network, NAME)


def adapted_layers(network: torch.nn.Module) -> dict[str, Any]:
    """peft's layers in place of the adapted ones, by name."""
    if importlib.util.find_spec("peft") is None:
        return {}
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in network.named_modules() if isinstance(module, LoraLayer)}


def adapters_of(network: torch.nn.Module) -> dict[str, Adapter]:
    """The adapters of a network, by layer; copies on the CPU."""

    def copied(factor: Any) -> torch.Tensor:
        weight: torch.Tensor = factor[NAME].weight
        return weight.detach().cpu().clone().contiguous()

    layers = adapted_layers(network).items()
    return {
        name: Adapter(copied(layer.lora_A), copied(layer.lora_B), float(layer.lora_alpha[NAME]))
        for name, layer in layers
    }


@contextmanager
def adapters_off(network: torch.nn.Module) -> Iterator[None]:
    """Inside the block the network computes what it does without its adapters, bit for bit."""
    layers = adapted_layers(network).values()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        network.requires_grad_(False)  # enabling an adapter makes it trainable
        for parameter in trained:
            parameter.requires_grad_(True)


def merge_adapters(network: torch.nn.Module) -> None:
    """Add each adapter to the weights of its layer, W + (alpha / r) B A; the layers are ordinary ones then."""
    for layer in adapted_layers(network).values():
        layer.merge()
    remove_adapters(network)


def change_rank(network: torch.nn.Module, rank: int) -> None:
    """New adapters of this rank in place of those of the network; see `add_adapters`."""
    layers = list(adapted_layers(network))
    remove_adapters(network)
    add_adapters(network, layers, rank)


def remove_adapters(network: torch.nn.Module) -> None:
    """Take the adapters off the network; its other weights stay frozen."""
    for name, layer in adapted_layers(network).items():
        network.set_submodule(name, layer.get_base_layer())
    if hasattr(network, "peft_config"):
        del network.peft_config

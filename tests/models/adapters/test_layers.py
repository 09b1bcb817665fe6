"""Low-rank adapters: where they sit, what they add, and that they leave the network as it was when they are off."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch

from leakfront.errors import InputError
from leakfront.models.adapters.layers import (
    Adapter,
    adapted_layers,
    adapters_of,
    adapters_off,
    add_adapters,
    attention_layers,
    merge_adapters,
    put_adapters,
    remove_adapters,
)
from tests.models.adapters.small import adapted_network, base_network, output

LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def test_they_sit_on_the_attention_of_the_unet_alone() -> None:
    layers = attention_layers(base_network())
    endings = {name.rsplit("attn", 1)[1] for name in layers}
    assert endings == {f"{kind}.{part}" for kind in "12" for part in ("to_q", "to_k", "to_v", "to_out.0")}
    assert all(name.startswith("unet.") for name in layers)
    assert len(layers) == 4 * 8  # down, two up, middle


def test_new_ones_change_nothing_and_are_all_that_is_trained() -> None:
    network = base_network()
    add_adapters(network, attention_layers(network), 2)
    assert torch.equal(output(network), output(base_network()))
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {f"{name}.lora_{f}.default.weight" for name in attention_layers(base_network()) for f in "AB"}


def test_off_is_the_base_bit_for_bit_and_on_again_after() -> None:
    network = adapted_network()
    before, trained = output(network), [p.requires_grad for p in network.parameters()]
    assert not torch.allclose(before, output(base_network()), atol=1e-3)
    with adapters_off(network):
        assert torch.equal(output(network), output(base_network()))
    assert torch.equal(output(network), before)
    assert [p.requires_grad for p in network.parameters()] == trained
    network.requires_grad_(False)
    with adapters_off(network):
        pass
    assert not any(p.requires_grad for p in network.parameters())


def test_merged_it_is_an_ordinary_network_that_computes_the_same() -> None:
    network = adapted_network()
    before, found = output(network), adapters_of(network)[LAYER]
    merge_adapters(network)
    assert not adapted_layers(network)
    assert list(network.state_dict()) == list(base_network().state_dict())
    torch.testing.assert_close(output(network), before, rtol=0, atol=1e-6)
    moved = network.get_submodule(LAYER).weight - base_network().get_submodule(LAYER).weight
    torch.testing.assert_close(moved, found.up @ found.down, rtol=0, atol=1e-6)


def test_taken_off_it_is_the_base() -> None:
    network = adapted_network()
    remove_adapters(network)
    assert torch.equal(output(network), output(base_network()))
    assert list(network.state_dict()) == list(base_network().state_dict())


def test_each_layer_has_its_own_rank_and_alpha() -> None:
    network, other = base_network(), LAYER.replace("to_q", "to_k")
    shapes = {LAYER: (1, 3.0), other: (2, None)}
    wanted = {
        name: Adapter(torch.randn(rank, 8), torch.randn(8, rank), alpha) for name, (rank, alpha) in shapes.items()
    }
    put_adapters(network, wanted)
    for name, adapter in wanted.items():
        x = torch.randn(5, 8)
        plain = torch.nn.functional.linear(x, base_network().get_submodule(name).weight)
        scale = (adapter.alpha or adapter.rank) / adapter.rank
        torch.testing.assert_close(network.get_submodule(name)(x), plain + scale * x @ adapter.down.T @ adapter.up.T)
    found = adapters_of(network)
    assert set(found) == set(wanted)
    assert (found[LAYER].alpha, found[other].alpha) == (3.0, 2.0)
    assert torch.equal(found[LAYER].down, wanted[LAYER].down)


def test_a_convolution_takes_one() -> None:
    network = base_network()
    adapter = Adapter(torch.randn(2, 1, 3, 3), torch.randn(8, 2, 1, 1))
    put_adapters(network, {"unet.conv_in": adapter})
    before = output(network)
    merge_adapters(network)
    moved = network.unet.conv_in.weight - base_network().unet.conv_in.weight
    product = torch.einsum("or,rikl->oikl", adapter.up[..., 0, 0], adapter.down)
    torch.testing.assert_close(moved, product, rtol=0, atol=1e-5)
    torch.testing.assert_close(output(network), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "down", "up", "says"),
    [
        ("unet.nowhere", (2, 8), (8, 2), r"one for unet\.nowhere, but the network has no linear layer"),
        (LAYER[: -len(".to_q")], (2, 8), (8, 2), "has no linear layer or convolution there"),
        (LAYER, (2, 9), (8, 2), r"A \[2, 9\] and B \[8, 2\]; for this layer they must be \[2, 8\] and \[8, 2\]"),
        (LAYER, (2, 8), (8, 3), r"must be \[2, 8\] and \[8, 2\]"),
        (LAYER, (0, 8), (8, 0), "has rank 0"),
    ],
)
def test_one_that_does_not_fit_is_refused(name: str, down: tuple[int, ...], up: tuple[int, ...], says: str) -> None:
    network = base_network()
    with pytest.raises(InputError, match=says):
        put_adapters(network, {name: Adapter(torch.ones(down), torch.ones(up))})
    assert not adapted_layers(network)


def test_without_peft_a_network_has_none_and_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    network = base_network()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert adapters_of(network) == {}
    with pytest.raises(InputError, match=r"^a low-rank adapter needs peft: pip install leakfront\[lora\]$"):
        add_adapters(network, attention_layers(network), 2)


def test_a_copy_has_adapters_of_its_own() -> None:
    network = adapted_network()
    before, other = output(network), copy.deepcopy(network)
    merge_adapters(other)
    assert torch.equal(output(network), before)

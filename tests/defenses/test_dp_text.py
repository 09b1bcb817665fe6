"""Private fine-tuning of text models: the encoder keeps its public weights, and all other gradients are per pair."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from leakfront.defenses import TrainingSetup
from leakfront.defenses.capacity import Capacity
from leakfront.defenses.dp_finetune import DPFinetune
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.training.book_keeping import BookKeeping
from leakfront.errors import InputError
from leakfront.models.adapters.layers import adapted_layers, adapters_of
from leakfront.models.diffusion import add_noise
from tests.defenses.text_setup import batch, text_setup

RUN: dict[str, Any] = {"epsilon": 5, "accountant": "rdp", "pretrain_steps": 2}


def timesteps(images: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(images)) * 150 + 50


def losses(network: nn.Module, images: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """The denoising errors at draws that depend on a pair's place alone."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    t = timesteps(images)
    (found,) = network(add_noise(images, noise, 1 - t / 1000), t, condition)
    return (found - noise).square().flatten(1).mean(1)


def private(tuned: bool, defense: DPSGD, **changes: Any) -> tuple[Any, TrainingSetup, Any]:
    """The private step without noise, with factors B that are no longer 0; the setup and the model."""
    setup, model = text_setup(tuned, **changes)
    setup = defense.training(setup)
    step = setup.make_step(setup)
    torch.manual_seed(5)
    for layer in adapted_layers(setup.network).values():
        nn.init.normal_(layer.lora_B["default"].weight, std=0.1)
    return step, setup, model


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def by_vmap(network: nn.Module, images: torch.Tensor, condition: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of each of the `losses`, [n, ...] by parameter, by torch.func."""
    noise, t = (
        torch.randn(images.shape, generator=torch.Generator().manual_seed(0)),
        torch.arange(len(images)) * 150 + 50,
    )
    x_t = add_noise(images, noise, 1 - t / 1000)

    def loss_of(parameters: dict[str, torch.Tensor], *pair: torch.Tensor) -> torch.Tensor:
        x, at, given, wanted = (value[None] for value in pair)
        (output,) = torch.func.functional_call(network, parameters, (x, at, given))
        squared: torch.Tensor = (output - wanted).square().mean()
        return squared

    parameters = {name: p.detach() for name, p in trained(network).items()}
    mapped = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0, 0, 0, 0), randomness="different")
    found: dict[str, torch.Tensor] = mapped(parameters, x_t, t, condition, noise)
    return found


@pytest.mark.parametrize(("tuned", "rank"), [(False, 0), (False, 2), (True, 3)])
def test_gradients_of_pairs_are_those_of_one_at_a_time_and_of_vmap(tuned: bool, rank: int) -> None:
    _, setup, _ = private(tuned, DPFinetune(lora_rank=rank, **RUN))
    network, (images, condition) = setup.network, batch(setup, 4)
    with BookKeeping(network) as book:
        book.backward(losses(network, images, condition))
        by_pair = [book.weighted_sums(only) for only in torch.eye(4)]
        found = {name: torch.stack([sums[p] for sums in by_pair]) for name, p in trained(network).items()}
    assert not any(name.startswith("text_encoder") for name in found)
    own = losses(network, images, condition)
    alone = [torch.autograd.grad(loss, [*trained(network).values()], retain_graph=True) for loss in own]
    mapped = by_vmap(network, images, condition)
    for place, name in enumerate(found):
        truth = torch.stack([gradients[place] for gradients in alone])
        torch.testing.assert_close(found[name], truth, rtol=1e-4, atol=2e-6, msg=lambda m, n=name: n + m)
        torch.testing.assert_close(mapped[name], truth, rtol=1e-4, atol=2e-6, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("tuned", [False, True])
def test_no_pair_moves_the_sum_by_more_than_the_bound(tuned: bool) -> None:
    bound = 0.05

    def clipped_sum(kept: list[int]) -> torch.Tensor:
        step, setup, _ = private(tuned, DPFinetune(lora_rank=2, max_grad_norm=bound, **RUN))
        setup.loss = lambda network, *pairs: 10 * losses(network, *pairs[:2])
        images, condition = batch(setup, 4)
        optimizer, seen = step._private.optimizer, []
        optimizer.noise_multiplier = 0.0
        optimizer.original_optimizer.register_step_pre_hook(
            lambda one, *_: seen.append(torch.cat([p.grad.flatten() for g in one.param_groups for p in g["params"]]))
        )
        step.update(images[kept], condition[kept], torch.Generator().manual_seed(0))
        return 8 * seen[0]

    everyone = clipped_sum([0, 1, 2, 3])
    moved = (everyone - clipped_sum([0, 1, 2])).norm()  # the draws of the others depend on their place alone
    assert 0.99 * bound < moved <= 1.0001 * bound


@pytest.mark.parametrize("rank", [0, 2])
def test_the_text_encoder_is_pretrained_and_then_kept(rank: int) -> None:
    fresh, _ = text_setup()
    step, setup, _ = private(False, DPFinetune(lora_rank=rank, **RUN))
    before, start = copy.deepcopy(setup.network.state_dict()), fresh.network.state_dict()
    encoder = {name for name in before if name.startswith("text_encoder")}
    assert any(not torch.equal(before[name], start[name]) for name in encoder)
    step.update(*batch(setup, 6), torch.Generator().manual_seed(0))
    after = setup.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in encoder)
    assert any(not torch.equal(before[name], after[name]) for name in set(before) - encoder)
    kept = setup.finish(setup.network)
    assert set(kept.state_dict()) == set(start)


def test_adapters_on_a_base_are_trained_without_another_pretraining() -> None:
    step, setup, model = private(True, DPFinetune(lora_rank=3, **RUN))
    base = text_setup(tuned=True)[1].base.parameters()
    step.update(*batch(setup, 6), torch.Generator().manual_seed(0))
    assert all(torch.equal(value, base[name]) for name, value in model.base.parameters().items())
    assert {one.rank for one in adapters_of(setup.network).values()} == {3}
    assert step.report()["pretrain_model_calls"] == 0
    assert {one.rank for one in adapters_of(private(True, DPFinetune(**RUN))[1].network).values()} == {2}
    assert adapted_layers(setup.finish(setup.network))


def test_the_unit_is_a_pair_and_all_copies_of_one_are_a_group() -> None:
    setup, _ = text_setup(tuned=True)
    index = np.where(np.arange(60) < 4, 0, np.arange(60))
    copied = replace(setup.dataset, pool_index=index)
    step, setup, _ = private(True, DPFinetune(**RUN), dataset=copied)
    step.update(*batch(setup, 6), torch.Generator().manual_seed(0))
    guarantee = step.guarantee()
    assert guarantee.unit == "private training pair (one copy of it); the public images are not protected"
    assert guarantee.group == 4
    assert guarantee.group_epsilon > guarantee.epsilon


def test_a_text_encoder_in_training_is_refused() -> None:
    setup, _ = text_setup()
    with pytest.raises(InputError, match="dp_sgd cannot train a text encoder, whose position embedding is one for all"):
        DPSGD().private_step(setup)
    setup.network.text_encoder.requires_grad_(False)  # type: ignore[union-attr]
    DPSGD(accountant="rdp").private_step(setup)


@pytest.mark.parametrize("rank", [1, 5])
def test_capacity_gives_a_fine_tune_adapters_of_another_rank(rank: int) -> None:
    setup, model = text_setup(tuned=True)
    images, condition = batch(setup, 4)
    before = losses(setup.network, images, condition)
    layers = set(adapted_layers(setup.network))
    changed = Capacity(rank=rank).training(setup)
    found = adapters_of(changed.network)
    assert {one.rank for one in found.values()} == {rank}
    assert set(found) == layers
    assert torch.equal(losses(changed.network, images, condition), before)  # B is 0
    assert all("lora_" in name for name in trained(changed.network))
    again = Capacity(rank=rank).training(text_setup(tuned=True)[0])
    assert all(torch.equal(one.down, found[name].down) for name, one in adapters_of(again.network).items())
    assert model.network is changed.network


def test_capacity_says_what_can_be_changed() -> None:
    with pytest.raises(InputError, match=r"capacity\.width cannot change.*adapters on a base; set capacity\.rank"):
        Capacity().training(text_setup(tuned=True)[0])
    with pytest.raises(InputError, match=r"capacity\.rank cannot change.*no adapters; set capacity\.width"):
        Capacity(rank=2).training(text_setup()[0])
    with pytest.raises(InputError, match=r"capacity\.width is 0\.25; it has no effect together with rank"):
        Capacity(width=0.25, rank=2)
    assert Capacity(rank=2).relative_cost(100, 8) == 1

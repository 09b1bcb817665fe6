"""Pairs whose caption steers too strongly are left out of their batch, and of nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from leakfront import testing
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.magnitude_filter import MagnitudeFilter
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.errors import InputError
from leakfront.harness.checks import check_stack
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from tests.defenses.text_setup import batch, text_setup
from tests.harness.test_text_models import settings


def step_of(defense: MagnitudeFilter, seed: int = 0) -> tuple[Any, Any]:
    """A filtered step on a text model without null rows, and its setup."""
    setup, model = text_setup()
    setup.loss = replace(model.loss(), null_probability=0.0)
    changed = defense.training(setup)
    return changed.make_step(changed), changed


def magnitudes(setup: Any, images: torch.Tensor, condition: torch.Tensor, seed: int) -> torch.Tensor:
    """The source's formula, written once more, at the draws of the loss."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(1000, (len(images),), generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    level = setup.loss.alphas_cumprod[t].reshape(-1, 1, 1, 1)
    x_t = level.sqrt() * images + (1 - level).sqrt() * noise
    null = setup.conditions(replace(setup.dataset.select([0]), captions=("",))).expand(len(images), -1)
    with torch.no_grad():
        given, without = setup.network(x_t, t, condition)[0], setup.network(x_t, t, null)[0]
    return (given - without).reshape(len(images), -1).norm(p=2, dim=1)


def weights(setup: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in setup.network.parameters()])


def test_keeps_the_contract() -> None:
    testing.check_defense(MagnitudeFilter)


def test_pairs_at_the_threshold_or_above_do_not_count() -> None:
    _, setup = step_of(MagnitudeFilter())
    images, condition = batch(setup, 8)
    found = magnitudes(setup, images, condition, seed=1)
    threshold = float(found.sort().values[5])  # the sixth smallest, so five are left
    step, setup = step_of(MagnitudeFilter(threshold=threshold))
    expected = copy.deepcopy(setup)
    step.update(images, condition, torch.Generator().manual_seed(1))
    plain, loss = PlainStep(expected), expected.loss
    expected.loss = lambda *given: loss(*given)[found < threshold]
    plain.update(images, condition, torch.Generator().manual_seed(1))
    torch.testing.assert_close(weights(setup), weights(expected), rtol=0, atol=1e-7)
    assert step.report() == {"magnitude_threshold": threshold, "left_out_fraction": 3 / 8}


def test_the_threshold_is_the_quantile_of_the_first_epoch() -> None:
    step, setup = step_of(MagnitudeFilter(quantile=0.5))
    images, condition = batch(setup, 60)
    found = []
    for k in range(3):
        rows = slice(20 * k, 20 * k + 20)
        assert "magnitude_threshold" not in step.report()
        found.append(magnitudes(setup, images[rows], condition[rows], seed=k))
        step.update(images[rows], condition[rows], torch.Generator().manual_seed(k))
    assert step.report() == {
        "magnitude_threshold": pytest.approx(float(torch.cat(found).double().quantile(0.5))), "left_out_fraction": 0.0
    }  # fmt: skip


def test_without_pairs_that_count_the_weights_stay() -> None:
    step, setup = step_of(MagnitudeFilter(threshold=1e-9))
    before = weights(setup)
    step.update(*batch(setup, 8), torch.Generator().manual_seed(1))
    assert torch.equal(weights(setup), before)
    assert step.report()["left_out_fraction"] == 1


def test_the_empty_caption_always_counts() -> None:
    step, setup = step_of(MagnitudeFilter(threshold=1e-9))
    images, _ = batch(setup, 8)
    null = setup.conditions(replace(setup.dataset.select([0]), captions=("",))).expand(8, -1)
    before = weights(setup)
    step.update(images, null, torch.Generator().manual_seed(1))
    assert not torch.equal(weights(setup), before)


@pytest.mark.parametrize("private", ["dp_sgd", "dp_finetune", "distill"])
@pytest.mark.parametrize("order", [1, -1])
def test_it_is_not_stacked_with_another_training_step(private: str, order: int) -> None:
    stack = [{"name": "magnitude_filter"}, {"name": private}][::order]
    plan = make_plan(parse_config(settings(defenses=[{"stack": stack}])))
    with pytest.raises(InputError, match="both replace the training step; have only one of them in a stack"):
        check_stack(plan, plan.points[-1].stack)
    with pytest.raises(InputError, match="cannot be stacked with another defense that replaces the training step"):
        MagnitudeFilter().training(DPSGD().training(text_setup()[0]))


def test_a_threshold_takes_the_place_of_the_quantile() -> None:
    with pytest.raises(
        InputError, match=r"magnitude_filter\.quantile is 0\.5; it has no effect together with threshold"
    ):
        MagnitudeFilter(quantile=0.5, threshold=2.0)

"""Early stopping: at the right step, by the loss on held-out images, and at the same step after a kill."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from leakfront.defenses import TrainingSet, early_stop
from leakfront.defenses.augment import Augment
from leakfront.defenses.early_stop import DRAWS, HELD_OUT_IMAGES, EarlyStop, HeldOutLoss
from leakfront.defenses.none import NoDefense
from leakfront.errors import InputError
from leakfront.models.diffusion import add_noise
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle
from tests.defenses.test_defenses import setup
from tests.harness.training.test_training import Killed, run


class Constant(nn.Module):
    """A network with a loss that the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.Parameter(torch.tensor(0.0))


def scripted_loss(network, images, labels, generator):
    return network.loss * torch.ones(len(images))


def asked(defense: EarlyStop, losses: list[float]) -> int | None:
    """The step at which it ends a training with the held-out loss losses[k - 1] after step k."""
    network = Constant()
    changed = defense.training(dataclasses.replace(setup(), network=network, loss=scripted_loss))
    assert changed.stopping is not None
    for done, loss in enumerate(losses, start=1):
        network.loss.data.fill_(loss)
        if changed.stopping.should_stop(done, network):
            return done
    return None


FALLING = [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]


@pytest.mark.parametrize(
    ("patience", "losses", "step"),
    [
        (1, [5, 4, 3, 4, 1], 4),
        (2, [5, 4, 3, 4, 1, 2, 2, 0], 7),  # the better one at step 5 restarts the count
        (3, [5, 4, 3, 4, 1, 2, 2, 0], None),
        (2, [5, 5, 5, 5], 3),  # an equal loss is no better
        (1, [1, float("nan")], 2),
        (1, FALLING, None),
        (4, [1, *FALLING], 5),
    ],
)
def test_stops_when_so_many_measurements_in_a_row_were_no_better(patience, losses, step) -> None:
    assert asked(EarlyStop(patience=patience, every=1), losses) == step


def test_the_loss_is_measured_every_so_many_steps_only() -> None:
    losses = [9.0] * 100
    losses[9], losses[19], losses[29], losses[39] = 3.0, 2.0, 4.0, 5.0
    losses[24] = 0.0  # never measured
    assert asked(EarlyStop(patience=2, every=10), losses) == 40


def test_with_patience_the_fraction_has_no_effect_and_steps_is_the_latest_end() -> None:
    assert EarlyStop(patience=3).training(setup()).steps == 100
    assert EarlyStop(patience=3, steps=30).training(setup()).steps == 30
    assert EarlyStop(patience=3).relative_cost(100, 8) == 1.0
    assert EarlyStop(patience=3, steps=30).relative_cost(100, 8) == 0.3
    assert EarlyStop(fraction=0.25).training(setup()).stopping is None


def test_the_decisions_continue_from_a_restored_state() -> None:
    network, losses = Constant(), [5.0, 3.0, 4.0, 4.0, 1.0, 2.0, 2.5, 2.1, 0.1]

    def fresh():
        return EarlyStop(patience=3, every=1).training(dataclasses.replace(setup(), loss=scripted_loss)).stopping

    kept = fresh()
    answers, resumed_answers = [], []
    for done, loss in enumerate(losses, start=1):
        network.loss.data.fill_(loss)
        resumed = fresh()
        resumed.load_state_dict(kept.state_dict())
        resumed_answers.append(resumed.should_stop(done, network))
        answers.append(kept.should_stop(done, network))
    assert answers == resumed_answers
    assert answers.index(True) == 7


# The measurement


def held_out(public: TrainingSet, seed: int = 1) -> tuple[HeldOutLoss, UNet]:
    model = UNet(channels=(8, 8), head_channels=8, dropout=0.5).build((1, 8, 8), 10, 0)
    return HeldOutLoss(public, torch.zeros(len(public)), model.loss(), "cpu", seed), model


def first_pixels(public: TrainingSet) -> torch.Tensor:
    return torch.as_tensor(public.images[:, 0, 0, 0]).float() / 127.5 - 1


def digits(first: int, count: int) -> TrainingSet:
    images = oracle.digits()[first : first + count]
    return TrainingSet(images, np.zeros(count, np.int64), np.full(count, -1))


def test_it_is_the_denoising_loss_on_the_public_images_at_fixed_draws() -> None:
    """Compared with the formula, with the draws of each image derived from the seed."""
    public = digits(100, 20)
    measure, model = held_out(public)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    images = (torch.as_tensor(public.images).float() / 127.5 - 1)[order]
    generator = torch.Generator().manual_seed(1)
    model.network.eval()
    expected = []
    for _ in range(DRAWS):
        t = torch.randint(1000, (20,), generator=generator)
        noise = torch.randn(images.shape, generator=generator)
        with torch.no_grad():
            predicted = model.network(add_noise(images, noise, model.alphas_cumprod[t]), t).sample
        expected.append((predicted - noise).square().mean().item())
    assert measure(model.network) == pytest.approx(np.mean(expected), rel=1e-5)


def test_measuring_twice_gives_the_same_number_and_disturbs_nothing() -> None:
    measure, model = held_out(digits(100, 20))
    model.network.train()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert measure(model.network) == measure(model.network)  # would fail with dropout
    assert torch.equal(torch.get_rng_state(), state)
    assert model.network.training
    assert all(parameter.grad is None for parameter in model.network.parameters())


def test_at_most_the_limit_of_images_is_measured_and_the_seed_chooses_them() -> None:
    seen: list[torch.Tensor] = []

    def loss(network, images, conditions, generator):
        assert torch.equal(conditions, images[:, 0, 0, 0])  # each image comes with its own
        seen.append(images)
        return torch.zeros(len(images))

    public = digits(0, 400)
    for seed in (0, 0, 1):
        HeldOutLoss(public, first_pixels(public), loss, "cpu", seed)(nn.Identity())
    assert all(len(images) == HELD_OUT_IMAGES for images in seen)
    assert len(seen[0].flatten(1).unique(dim=0)) == HELD_OUT_IMAGES  # each once
    assert torch.equal(seen[0], seen[DRAWS])
    assert not torch.equal(seen[0], seen[2 * DRAWS])


# In the training loop

# at this high rate the held-out loss falls at first and fluctuates after a few steps
TURNING = {"steps": 30, "learning_rate": 0.2}


@pytest.fixture
def measured(monkeypatch) -> list[float]:
    """All measured held-out losses, in order."""
    values: list[float] = []
    measure = early_stop.HeldOutLoss.__call__

    def noted(self, network):
        values.append(measure(self, network))
        return values[-1]

    monkeypatch.setattr(early_stop.HeldOutLoss, "__call__", noted)
    return values


def test_the_run_is_the_beginning_of_the_undefended_run_up_to_the_stop(tmp_path, measured) -> None:
    stopped, weights = run(tmp_path / "a", (EarlyStop(patience=2, every=2),), **TURNING)
    assert stopped.steps == 2 * len(measured) < 30
    best = int(np.argmin(measured))
    assert 0 < best == len(measured) - 3  # the two measurements after the best were no better
    assert min(measured[:best]) > measured[best]
    plain, expected = run(tmp_path / "b", (NoDefense(),), **{**TURNING, "steps": stopped.steps})
    assert all(torch.equal(weights[key], expected[key]) for key in expected)  # measuring changed nothing
    assert stopped.losses[-1][0] == stopped.steps
    assert stopped.model_calls == plain.model_calls + len(measured) * DRAWS * 40  # on 40 public images


@pytest.mark.parametrize("beside", [(), (Augment(),)], ids=str)
def test_a_run_that_is_killed_and_resumed_stops_at_the_same_step(beside, tmp_path: Path) -> None:
    stack = (*beside, EarlyStop(patience=2, every=2))
    whole, expected = run(tmp_path / "whole", stack, **TURNING)
    assert 6 < whole.steps < 30
    for kill_at in (3, whole.steps - 3, whole.steps - 1):  # the last two: between the measurements that are no better
        with pytest.raises(Killed):
            run(tmp_path / "broken", stack, kill_at=kill_at, **TURNING)
    resumed, found = run(tmp_path / "broken", stack, **TURNING)
    assert resumed.steps == whole.steps
    assert resumed.losses == whole.losses
    assert resumed.model_calls == whole.model_calls
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_stop_at_a_fixed_step_is_a_snapshot_of_the_longer_training(tmp_path: Path) -> None:
    """The moving average in a checkpoint of the whole training equals the weights of the stopped training."""
    from diffusers.training_utils import EMAModel

    from leakfront.harness.training.checkpoint import load_checkpoint

    defense = EarlyStop(fraction=0.6)
    step = defense.snapshot_step(10)
    assert step == 6
    _, expected = run(tmp_path / "stopped", (defense,))
    with pytest.raises(Killed):
        run(tmp_path / "whole", (NoDefense(),), kill_at=step)
    state = load_checkpoint(tmp_path / "whole", "key")
    assert state is not None
    network = UNet(channels=(8, 8), head_channels=8, dropout=0.1).build((1, 8, 8), 10, 3).network
    average = EMAModel(network.parameters(), decay=0.9, foreach=True)
    average.load_state_dict(state["ema"])
    average.copy_to(network.parameters())
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


# Refusals


def test_without_public_images_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"early_stop\.patience needs public images"):
        EarlyStop(patience=1).training(dataclasses.replace(setup(), public=digits(0, 0)))


def test_two_ends_of_one_training_are_refused() -> None:
    with pytest.raises(InputError, match=r"early_stop\.patience cannot be used"):
        EarlyStop(patience=2).training(EarlyStop(patience=1).training(setup()))


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({"patience": 0}, "patience"),
        ({"every": 0}, "every"),
        ({"steps": 0}, "steps"),
        ({"fraction": 0.3, "patience": 2}, "fraction"),
    ],
)
def test_a_parameter_out_of_range_is_named(parameters, key: str) -> None:
    with pytest.raises(InputError, match=rf"early_stop\.{key} is"):
        EarlyStop(**parameters)

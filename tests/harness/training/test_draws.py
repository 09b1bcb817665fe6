"""The draws of a private training follow from a secret, and those of two models have nothing in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from leakfront.defenses import Guarantee, TrainingSet
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.none import NoDefense
from leakfront.harness.settings import sections
from leakfront.harness.training.draws import seed_private_step, seed_step
from leakfront.harness.training.loop import TrainingRun, train
from leakfront.harness.training.state import Checkpoints
from leakfront.models.unet import UNet
from leakfront.testing.training import training_setup
from tests import oracle_targets as oracle

KEY, OTHER = b"a" * 32, b"b" * 32


def weights(folder: Path, key: bytes, steps: int = 1, **params: Any) -> torch.Tensor:
    """How a private training moved the weights, as one vector; without Adam's scaling, one step is the noisy sum."""
    model = UNet(channels=(8, 8), head_channels=8, dropout=0.0).build((1, 8, 8), 10, 3)
    before = torch.cat([p.detach().clone().flatten() for p in model.network.parameters()])
    data = TrainingSet(oracle.digits()[:40], np.zeros(40, np.int64), np.arange(40))
    public = TrainingSet(oracle.digits()[100:140], np.zeros(40, np.int64), np.full(40, -1))
    budget = sections.Training(steps=steps, batch_size=8, learning_rate=1e-3, ema_decay=0.0)
    run = TrainingRun(budget, (DPSGD(**{"accountant": "rdp", **params}),), seed=7, privacy_key=key)
    train(model, data, public, 40.0, run, Checkpoints(folder, "key", 60.0), lambda *_: None)
    return torch.cat([p.detach().flatten() for p in model.network.parameters()]) - before


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(np.corrcoef(a.numpy(), b.numpy())[0, 1])


def test_weight_changes_under_two_keys_do_not_correlate(tmp_path: Path) -> None:
    """With one key they do, at whatever epsilon: that is what made the difference of two models a sum of gradients."""
    first = weights(tmp_path / "1", KEY, steps=3, epsilon=1.0)
    shared = weights(tmp_path / "2", KEY, steps=3, epsilon=10.0)
    apart = weights(tmp_path / "3", OTHER, steps=3, epsilon=10.0)
    assert correlation(first, shared) > 0.8
    assert abs(correlation(first, apart)) < 4.5 / np.sqrt(len(first))


def test_the_whole_state_of_the_generator_comes_from_the_key() -> None:
    """Two keys that agree in any 32 bits still differ; `manual_seed` would take no more than 32."""
    words = []
    for key in (KEY, OTHER, KEY):
        generator = torch.Generator()
        seed_private_step(generator, key, 5)
        words.append(generator.get_state()[24 : 24 + 8 * 624].numpy().view("<u8"))
    assert (words[0] == words[2]).all()
    assert (words[0] != words[1]).all()
    assert words[0].max() < 2**32
    assert len(set(words[0].tolist())) == 624


def test_private_draws_are_uniform_and_normal_and_differ_between_steps() -> None:
    uniform, normal = [], []
    for step in range(50):
        generator = torch.Generator()
        seed_private_step(generator, KEY, step)
        uniform.append(torch.rand(200, generator=generator, dtype=torch.float64))
        normal.append(torch.randn(200, generator=generator, dtype=torch.float64))
        assert torch.initial_seed() is not None
    assert stats.kstest(torch.cat(uniform).numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(torch.cat(normal).numpy(), "norm").pvalue > 1e-3
    assert len({tuple(draws.tolist()) for draws in uniform}) == 50


def test_the_global_generator_is_set_too_and_apart_from_the_steps_own() -> None:
    generator = torch.Generator()
    drawn = []
    for seed in (lambda: seed_private_step(generator, KEY, 1), lambda: seed_step(generator, 1, 1)):
        for _ in range(2):
            seed()
            drawn.append((torch.rand(3).tolist(), torch.rand(3, generator=generator).tolist()))
    assert drawn[0] == drawn[1] != drawn[2] == drawn[3]
    assert drawn[0][0] != drawn[0][1]


def test_a_private_training_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a privacy_key"):
        weights(tmp_path, None)  # type: ignore[arg-type]


def test_a_guarantee_without_secret_draws_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DPSGD, "private", False)
    with pytest.raises(ValueError, match="must set `private = True`"):
        weights(tmp_path, KEY)
    assert not NoDefense().private
    assert Guarantee(1.0, 1e-5, "prv").history == ()


def noised_mean(key: bytes, sigma: float, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """What the first step of a private training releases: the sum of clipped gradients and noise, over the batch."""
    setup = training_setup()
    step = DPSGD(epsilon=10.0, max_grad_norm=1.0, accountant="rdp").private_step(setup)
    step.optimizer.noise_multiplier = sigma
    released: list[torch.Tensor] = []
    add_noise = type(step.optimizer).add_noise

    def seen(self: Any) -> None:
        add_noise(self)
        released.append(torch.cat([parameter.grad.flatten() for parameter in self.params]))

    monkeypatch.setattr(type(step.optimizer), "add_noise", seen)
    generator = torch.Generator()
    seed_private_step(generator, key, 0)
    indices = step.draw(generator)[:8]
    seed_private_step(generator, key, 0)  # the draws after the batch are the same, whatever its size
    images = torch.as_tensor(setup.dataset.images[indices]).float() / 127.5 - 1
    step.update(images, torch.zeros(len(images), dtype=torch.long), generator)
    monkeypatch.undo()
    return released[0]


def test_two_releases_give_away_a_sum_of_gradients_if_they_share_their_noise_and_not_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With shared noise z, (b (g + a z) - a (g + b z)) / (b - a) is the sum g itself."""
    exact = noised_mean(KEY, 1e-9, monkeypatch)

    def recovered(second: bytes) -> torch.Tensor:
        a, b = 2.0, 3.0
        return (b * noised_mean(KEY, a, monkeypatch) - a * noised_mean(second, b, monkeypatch)) / (b - a)

    torch.testing.assert_close(recovered(KEY), exact, rtol=1e-3, atol=1e-5)
    assert (recovered(OTHER) - exact).norm() > 100 * exact.norm()

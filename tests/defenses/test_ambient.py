"""Ambient training: the loss follows the derivation, its minimizer is the true denoiser, and the noise is fixed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from leakfront.defenses import TrainingSetup
from leakfront.defenses.ambient import Ambient, ambient_loss, fixed_noise
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.errors import InputError
from leakfront.models.diffusion import DenoisingLoss
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle
from tests.defenses.test_defenses import setup
from tests.harness.training.test_training import Killed, run

LEVELS = torch.linspace(0.98, 0.02, 20)  # ab_t of 20 timesteps
LABELS = torch.zeros(0, dtype=torch.long)


class Recorder(nn.Module):
    """Predicts a noise that is a function of its input, and records the input."""

    def forward(self, x_t, t, labels, return_dict):
        self.x_t, self.t, self.labels = x_t, t, labels
        self.output = 0.3 * x_t + 0.1 * t[:, None, None, None] / 20
        return (self.output,)


def nothing(condition: torch.Tensor, generator: torch.Generator) -> None:
    """What an unconditional network gets of its conditions."""


def digits(count: int) -> torch.Tensor:
    return torch.as_tensor(oracle.digits()[:count]).float() / 127.5 - 1


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(images: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The timesteps and the noise that a loss draws from a generator of this seed."""
    generator = seeded(seed)
    return torch.randint(20, (len(images),), generator=generator), torch.randn(images.shape, generator=generator)


def column(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]


# The loss


def test_at_high_levels_the_loss_is_the_squared_error_of_the_noisy_version_by_tweedie() -> None:
    """A transcription in float64: x_0 from the predicted noise, E[x_n | x_t] from x_0, the error and the weight."""
    images, network, clean, seed = digits(200), Recorder(), 6, 11
    found = ambient_loss(LEVELS, clean, nothing, seed)(network, images, LABELS, seeded(1))
    t, z = draws(images, 1)
    ab, ab_n = LEVELS[t].double(), LEVELS[clean - 1].double()
    hidden = t >= clean
    assert 50 < hidden.sum() < 190
    x_n = ab_n.sqrt() * images.double() + (1 - ab_n).sqrt() * fixed_noise(images, seed).double()
    x_t = column((ab / ab_n).sqrt()) * x_n + column((1 - ab / ab_n).clamp(min=0).sqrt()) * z.double()
    torch.testing.assert_close(network.x_t[hidden].double(), x_t[hidden], rtol=1e-4, atol=1e-5)
    eps = network.output.detach().double()
    x_0 = (x_t - column((1 - ab).sqrt()) * eps) / column(ab.sqrt())
    # the posterior mean of x_n weights x_t and x_0 by the variances 1 / ab - 1, in units of x_0
    var_t, var_n = 1 / ab - 1, 1 / ab_n - 1
    mean = column(var_n / var_t) * x_t / column(ab.sqrt()) + column(1 - var_n / var_t) * x_0
    error = (mean - x_n / ab_n.sqrt()).square().flatten(1).mean(1)
    expected = error * ab / (1 - ab)  # the weight turns an error of x_0 into an error of eps
    torch.testing.assert_close(found[hidden].double(), expected[hidden], rtol=1e-3, atol=1e-5)


def test_at_low_levels_it_is_the_usual_loss_with_the_usual_draws() -> None:
    images, network = digits(200), Recorder()
    usual = DenoisingLoss(LEVELS, "epsilon", conditional=False)(network, images, LABELS, seeded(2))
    found = ambient_loss(LEVELS, 8, nothing, 0)(network, images, LABELS, seeded(2))
    clean = network.t < 8
    assert 40 < clean.sum() < 160
    torch.testing.assert_close(found[clean], usual[clean], rtol=1e-5, atol=1e-7)
    assert not torch.isclose(found[~clean], usual[~clean], rtol=1e-5).any()


def test_the_minimizer_is_the_posterior_mean_of_the_clean_image() -> None:
    """On a Gaussian prior, where it is affine: the minimum over affine denoisers at the one hidden level.

    The prior N(mu, S) has E[eps | x_t] = sqrt(1 - ab) (ab S + (1 - ab) I)^-1 (x_t - sqrt(ab) mu).
    """
    levels = torch.tensor([0.6, 0.25])
    rng = np.random.default_rng(0)
    mixing, mean = 0.5 * rng.standard_normal((3, 3)), np.array([0.5, -0.3, 0.2])
    prior = torch.as_tensor(rng.standard_normal((30_000, 3)) @ mixing.T + mean).float().reshape(-1, 1, 1, 3)

    class Affine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x_t, t, labels, return_dict):
            return (torch.where(column(t == 1), self.linear(x_t), 0),)

    def minimizer(loss, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        network = Affine()
        parameters = list(network.parameters())
        generator = seeded(seed)
        gradient, hessian = torch.zeros(12), torch.zeros(12, 12)
        for parameter in parameters:
            nn.init.zeros_(parameter)
        for _ in range(6):  # six draws of (t, z) for each image; a quadratic has its minimum one Newton step away
            total = loss(network, prior, LABELS, generator).mean()
            first = torch.cat([g.flatten() for g in torch.autograd.grad(total, parameters, create_graph=True)])
            second = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in first]
            gradient += first.detach()
            hessian += torch.stack([torch.cat([g.flatten() for g in row]) for row in second])
        best = -torch.linalg.solve(hessian.double(), gradient.double()).numpy()
        return best[:9].reshape(3, 3), best[9:]

    covariance = mixing @ mixing.T
    matrix = np.sqrt(0.75) * np.linalg.inv(0.25 * covariance + 0.75 * np.eye(3))
    offset = -matrix @ (0.5 * mean)
    found_matrix, found_offset = minimizer(ambient_loss(levels, 1, nothing, 0))
    np.testing.assert_allclose(found_matrix, matrix, atol=0.03)
    np.testing.assert_allclose(found_offset, offset, atol=0.03)

    def without_tweedie(network, images, labels, generator):
        """Treats the noisy version as a clean image: it learns E[x_n | x_t] in place of E[x_0 | x_t]."""
        noisy = 0.6**0.5 * images + 0.4**0.5 * fixed_noise(images, 0)
        return DenoisingLoss(levels, "epsilon", conditional=False)(network, noisy, labels, generator)

    assert np.abs(minimizer(without_tweedie)[0] - matrix).max() > 0.1  # so the test can detect the difference


# The fixed noise


def noisy_versions(images: torch.Tensor, seed: int, draw: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The version of each image that the network saw, without the fresh noise, and a mask of the hidden images."""
    network, clean = Recorder(), 5
    ambient_loss(LEVELS, clean, nothing, seed)(network, images, LABELS, seeded(draw))
    t, z = draws(images, draw)
    rest = LEVELS[t] / LEVELS[clean - 1]
    seen = (network.x_t - column((1 - rest).clamp(min=0).sqrt()) * z) / column(rest.sqrt())
    return seen, t >= clean


def test_the_network_sees_only_one_noisy_version_of_an_image() -> None:
    images = digits(60)
    first, hidden_first = noisy_versions(images, seed=3, draw=1)
    again, hidden_again = noisy_versions(images, seed=3, draw=2)
    other, hidden_other = noisy_versions(images, seed=4, draw=2)
    both, apart = hidden_first & hidden_again, hidden_first & hidden_other
    assert both.sum() > 20
    torch.testing.assert_close(first[both], again[both], rtol=0, atol=1e-4)
    assert ((first - other).abs().flatten(1).mean(1)[apart] > 0.1).all()  # another run has another version
    order = torch.randperm(60, generator=seeded(0))
    moved, hidden_moved = noisy_versions(images[order], seed=3, draw=5)
    both = hidden_first[order] & hidden_moved
    torch.testing.assert_close(moved[both], first[order][both], rtol=0, atol=1e-4)  # at any place in a batch


def test_the_clean_image_never_reaches_the_network_at_a_high_level() -> None:
    images = digits(200)
    seen, hidden = noisy_versions(images, seed=0, draw=0)
    ab_n = LEVELS[4]
    noise = (seen[hidden] - ab_n.sqrt() * images[hidden]) / (1 - ab_n).sqrt()
    assert noise.std().item() == pytest.approx(1, abs=0.02)


def test_copies_share_their_noise_and_others_do_not() -> None:
    images = digits(4)
    noise = fixed_noise(images[[0, 1, 0, 2]], 7)
    assert torch.equal(noise[0], noise[2])
    assert not torch.isclose(noise[0], noise[1]).any()
    assert torch.equal(fixed_noise(images[1:2], 7)[0], noise[1])
    assert not torch.isclose(fixed_noise(images[1:2], 8)[0], noise[1]).any()
    assert fixed_noise(images[:0], 7).shape == (0, 1, 8, 8)


def test_the_fixed_noise_is_standard_gaussian_and_independent_between_images() -> None:
    noise = fixed_noise(digits(1500), 0).flatten(1).double()
    assert noise.mean().item() == pytest.approx(0, abs=4 / noise.numel() ** 0.5)
    assert noise.var().item() == pytest.approx(1, abs=4 * (2 / noise.numel()) ** 0.5)
    correlation = torch.corrcoef(noise.T) - torch.eye(64)
    assert correlation.abs().max() < 5.5 / 1500**0.5


# In training


def test_without_corruption_nothing_changes() -> None:
    given = setup()
    loss = given.loss
    assert Ambient(corruption=0.0).training(given).loss is loss


def test_the_share_of_clean_timesteps_is_the_corruption() -> None:
    changed = Ambient(corruption=0.3).training(setup())
    images = digits(1).expand(2000, -1, -1, -1).contiguous()
    network = Recorder()
    found = changed.loss(network, images, LABELS, seeded(0))
    usual = setup().loss(network, images, LABELS, seeded(0))
    same = torch.isclose(found, usual, rtol=1e-5)
    assert int(network.t[same & (network.t < 900)].max()) in range(295, 300)  # the last ones are pure noise
    assert int(network.t[~same].min()) in range(300, 305)


def test_the_network_gets_of_the_conditions_what_the_models_own_loss_gives_it() -> None:
    network, conditions, null = Recorder(), torch.arange(400) + 1, torch.tensor(0)
    own = DenoisingLoss(LEVELS, "epsilon", conditional=True, null=null, null_probability=0.25)
    changed = Ambient(0.15).training(dataclasses.replace(setup(), loss=own))
    changed.loss(network, digits(400), conditions, seeded(0))
    assert 60 < int((network.labels == 0).sum()) < 140
    assert torch.equal(network.labels[network.labels > 0], conditions[network.labels > 0])
    found = network.labels
    own(network, digits(400), conditions, seeded(0))
    assert torch.equal(network.labels, found)  # the same draws
    ambient_loss(LEVELS, 3, nothing, 0)(network, digits(400), conditions, seeded(0))
    assert network.labels is None


def private(stack: list) -> TrainingSetup:
    changed = setup()
    for defense in stack:
        changed = defense.training(changed)
    return changed


@pytest.mark.parametrize("reverse", [False, True])
def test_under_dp_sgd_each_image_is_clipped_by_its_own_gradient(reverse: bool) -> None:
    """With two draws of each image, the step is the sum of the clipped mean gradients, each computed by autograd.

    In addition, `PrivateStep` compares the sum of its per-image gradients with autograd's.
    """
    bound = 0.05
    stack = [Ambient(), DPSGD(batch_size=8, steps=10, accountant="rdp", noise_multiplicity=2, max_grad_norm=bound)]
    changed = private(stack[::-1] if reverse else stack)
    images, labels = digits(5), torch.zeros(5, dtype=torch.long)
    step = changed.make_step(changed)
    step.optimizer.noise_multiplier = 0.0  # type: ignore[attr-defined]
    seen: list[torch.Tensor] = []
    step.optimizer.original_optimizer.register_step_pre_hook(  # type: ignore[attr-defined]
        lambda optimizer, *_: seen.append(torch.cat([p.grad.flatten() for p in optimizer.param_groups[0]["params"]]))
    )
    twin = private([Ambient()])  # made before the step, so it has the same weights
    parameters = list(twin.network.parameters())
    rows = images.repeat_interleave(2, dim=0)
    losses = twin.loss(twin.network, rows, labels.repeat_interleave(2), seeded(0))
    expected = torch.zeros(sum(p.numel() for p in parameters))
    for i in range(5):
        mean = losses[2 * i : 2 * i + 2].mean()
        own = torch.cat([g.flatten() for g in torch.autograd.grad(mean, parameters, retain_graph=True)])
        expected += own * min(1.0, bound / float(own.norm()))
    step.update(images, labels, seeded(0))
    torch.testing.assert_close(seen[0], expected / 8, rtol=1e-3, atol=1e-6)


def test_a_run_that_is_killed_and_resumed_equals_an_uninterrupted_run_bit_for_bit(tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole", (Ambient(),))
    with pytest.raises(Killed):
        run(tmp_path / "broken", (Ambient(),), kill_at=4)
    resumed, found = run(tmp_path / "broken", (Ambient(),))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert resumed.losses == whole.losses
    assert resumed.losses != run(tmp_path / "plain", (Ambient(corruption=0.0),))[0].losses


# Refusals


def test_a_loss_that_does_not_name_its_noise_levels_is_refused() -> None:
    given = dataclasses.replace(setup(), loss=lambda network, images, labels, generator: torch.zeros(len(images)))
    with pytest.raises(InputError, match="ambient needs the noise levels"):
        Ambient().training(given)
    with pytest.raises(InputError, match="ambient needs the noise levels"):  # twice: the second would replace the first
        Ambient().training(Ambient().training(setup()))


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_a_network_that_does_not_predict_noise_is_refused(prediction) -> None:
    model = UNet(channels=(8, 8), head_channels=8, prediction=prediction).build((1, 8, 8), 10, 0)
    with pytest.raises(InputError, match=f"prediction 'epsilon'; this one has '{prediction}'"):
        Ambient().training(dataclasses.replace(setup(), network=model.network, loss=model.loss()))


@pytest.mark.parametrize("corruption", [0.0001, 0.9999])
def test_a_corruption_that_leaves_no_timestep_on_one_side_is_refused(corruption: float) -> None:
    with pytest.raises(InputError, match=r"ambient\.corruption is .*1000 timesteps"):
        Ambient(corruption=corruption).training(setup())


@pytest.mark.parametrize("corruption", [-0.1, 1.0, float("nan")])
def test_a_corruption_out_of_range_is_named(corruption: float) -> None:
    with pytest.raises(InputError, match=r"ambient\.corruption is"):
        Ambient(corruption=corruption)

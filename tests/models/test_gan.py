"""The GAN: its networks and its step against independent forms, what a run leaves out, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from leakfront.defenses.training.adversarial_step import AdversarialStep, falling, translated
from leakfront.defenses.training.ranks import ALONE, Ranks
from leakfront.errors import InputError
from leakfront.models.adversarial.model import AdversarialGenerator
from leakfront.models.gan import GAN
from leakfront.models.sampling import make_noise_sampler

SHAPE = (1, 8, 8)
SMALL = GAN(noise=4, generator_width=8, discriminator_width=8)


@dataclass
class Setup:
    """What `AdversarialStep` reads of a `TrainingSetup`."""

    network: Any
    learning_rate: float = 2e-3
    size: int = 20
    batch_size: int = 8
    steps: int = 10
    ranks: Ranks = ALONE
    augment: Any = field(default=lambda images, generator: images)


def built(family: GAN = SMALL, seed: int = 0) -> AdversarialGenerator:
    return family.build(SHAPE, 0, seed)


def real(count: int = 20) -> torch.Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_sizes_are_those_of_the_documented_networks() -> None:
    pair = built(GAN()).network
    counts = [sum(p.numel() for p in part.parameters()) for part in (pair.generator, pair.discriminator)]
    assert counts == [104_033, 71_681]


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (32, 3)])
def test_every_doubling_of_the_side_fits(side: int, channels: int) -> None:
    family = GAN(noise=4, generator_width=16, discriminator_width=16)
    shape = (channels, side, side)
    family.check(shape)
    model = family.build(shape, 0, seed=0)
    images = model.generate(torch.randn(3, 4))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    assert model.discriminate(images)["averaged"].shape == (3,)


@pytest.mark.parametrize(
    ("family", "shape", "message"),
    [
        (GAN(), (1, 8, 16), "square images"), (GAN(), (1, 28, 28), "28x28"), (GAN(), (1, 4, 4), "square images"),
        (GAN(generator_width=5), SHAPE, "model.generator_width is 5; it is halved 1 times"),
        (GAN(discriminator_width=6), (1, 16, 16), "multiple of 4"),
    ],
)  # fmt: skip
def test_images_that_do_not_fit_are_refused(family: GAN, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        family.check(shape)


def test_a_step_follows_the_losses_written_out() -> None:
    """One step of each network by plain gradient formulas: Adam's first step is the sign of the gradient times the
    rate, whatever its size."""
    model = built()
    pair, images = model.network.train(), real(8)
    rules = pair.rules
    before = {name: value.clone() for name, value in pair.named_parameters()}
    step = AdversarialStep(Setup(pair))  # type: ignore[arg-type]
    step.update(images, torch.zeros(8), torch.Generator().manual_seed(5))

    written = built().network.train()
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        made = written.generator(torch.randn(8, 4, generator=draws))
    shown, shown_made = translated(images, 1, draws), translated(made, 1, draws)
    judge = written.discriminator
    loss = -torch.log(torch.sigmoid(judge(shown))).mean() - torch.log(1 - torch.sigmoid(judge(shown_made))).mean()
    moved = translated(images, 1, draws).requires_grad_(True)
    (slope,) = torch.autograd.grad(judge(moved).sum(), moved, create_graph=True)
    loss = loss + rules.r1 / 2 * rules.r1_every * (slope.flatten(1) ** 2).sum(1).mean()
    for (name, weight), gradient in zip(
        judge.named_parameters(), torch.autograd.grad(loss, list(judge.parameters())), strict=True
    ):
        moved_by = pair.discriminator.get_parameter(name) - before[f"discriminator.{name}"]
        clear = gradient.abs() > 1e-5
        assert torch.allclose(moved_by[clear], -2e-3 * gradient.sign()[clear], rtol=5e-3), name
        weight.data.copy_(pair.discriminator.get_parameter(name).data)
    made = written.generator(torch.randn(8, 4, generator=draws))
    loss = -torch.log(torch.sigmoid(judge(translated(made, 1, draws)))).mean()
    names, weights = zip(*written.generator.named_parameters(), strict=True)
    for name, gradient in zip(names, torch.autograd.grad(loss, weights), strict=True):
        moved_by = pair.generator.get_parameter(name) - before[f"generator.{name}"]
        clear = gradient.abs() > 1e-5
        assert torch.allclose(moved_by[clear], -2e-3 * gradient.sign()[clear], rtol=5e-3), name


def test_a_resumed_step_goes_on_as_if_it_was_never_stopped() -> None:
    def trained(stop: int | None) -> dict[str, torch.Tensor]:
        pair = built().network.train()
        step = AdversarialStep(Setup(pair))  # type: ignore[arg-type]
        for k in range(4):
            if k == stop:
                state, weights = step.state_dict(), {k: v.clone() for k, v in pair.state_dict().items()}
                pair = built(seed=9).network.train()
                pair.load_state_dict(weights)
                step = AdversarialStep(Setup(pair))  # type: ignore[arg-type]
                step.load_state_dict(state)
            step.update(real(8), torch.zeros(8), torch.Generator().manual_seed(k))
        return dict(pair.state_dict())

    whole, resumed = trained(None), trained(2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_latest_discriminator_is_kept_beside_the_average() -> None:
    from diffusers.training_utils import EMAModel

    pair = built().network.train()
    step = AdversarialStep(Setup(pair))  # type: ignore[arg-type]
    average = EMAModel(pair.parameters(), decay=0.998, foreach=True)
    for k in range(12):
        step.update(real(8), torch.zeros(8), torch.Generator().manual_seed(k))
        average.step(pair.parameters())
    last = [weight.clone() for weight in pair.discriminator.parameters()]
    average.copy_to(pair.parameters())
    assert all(torch.equal(kept, weight) for kept, weight in zip(pair.latest.parameters(), last, strict=True))
    assert not torch.equal(next(pair.latest.parameters()), next(pair.discriminator.parameters()))


def test_the_rate_falls_at_the_end() -> None:
    assert [falling(done, 0.5) for done in (0.0, 0.49, 0.75, 1.0)] == [1, 1, 0.5, 0.02]


def test_translation_shifts_each_image_and_lets_gradients_through() -> None:
    images = real(50).requires_grad_(True)
    moved = translated(images, 1, torch.Generator().manual_seed(0))
    padded = functional.pad(images, (1, 1, 1, 1), value=-1.0)
    windows = [padded[:, :, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    of_each = torch.stack([(moved == window).flatten(1).all(1) for window in windows])
    assert of_each.any(0).all()
    assert of_each.any(1).all()  # all nine shifts occur
    (gradient,) = torch.autograd.grad(moved.sum(), images)
    assert set(gradient.unique().tolist()) == {0.0, 1.0}


def test_a_sample_depends_on_its_index_alone() -> None:
    model = built()
    model.network.eval()
    sampler = make_noise_sampler(model, seed=3)
    assert torch.allclose(sampler([4, 7])[1], sampler([7, 1, 2])[0], atol=1e-6)


def test_an_image_is_judged_by_itself() -> None:
    model, images = built(), real(6)
    together = model.discriminate(images)
    assert torch.allclose(together["latest"][2:3], model.discriminate(images[2:3])["latest"], atol=1e-6)


def test_it_is_read_as_it_was_saved(tmp_path: Path) -> None:
    model = built()
    model.save(tmp_path / "model")
    read = SMALL.load(tmp_path / "model")
    noise = torch.randn(3, 4)
    model.network.eval()
    assert torch.equal(read.generate(noise), model.generate(noise))
    with pytest.raises(InputError, match="other settings"):
        GAN().load(tmp_path / "model")
    with pytest.raises(InputError, match="cannot be read as a model of the family 'gan'"):
        SMALL.load(tmp_path / "none")

"""Conditions of samples, and classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from leakfront.models import DiffusionModel
from leakfront.models.diffusion import DenoisingLoss, cosine_alphas_cumprod
from leakfront.models.sampling import (
    NUMBERS,
    Numbered,
    SamplerSettings,
    Table,
    classes_in_turn,
    first_timestep,
    make_sampler,
    start_noise,
    with_guidance,
)
from tests import oracle_targets as oracle

FIVE = SamplerSettings(steps=5)


class Sums(DiffusionModel):
    """Predicts noise from the sum of a condition int64 [N, 2], which it embeds apart."""

    image_shape = (1, 4, 4)
    classes = 0
    network = None
    null = torch.tensor([0, 0])

    def __init__(self) -> None:
        self.alphas_cumprod = cosine_alphas_cumprod(1000)
        self.embedded: list[torch.Tensor] = []
        self.rows: list[int] = []

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        self.embedded.append(condition)
        return condition.float() / 10

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        assert condition is not None
        self.rows.append(len(x_t))
        condition = condition if condition.is_floating_point() else self.embed(condition)
        return 0.5 * x_t + condition.sum(1)[:, None, None, None].sin()


ROWS = torch.tensor([[1, 2], [5, 1], [7, 9]])


def test_sample_i_has_row_i_of_the_table_embedded_once() -> None:
    model = Sums()
    found = make_sampler(model, FIVE, 3, conditions=Table(ROWS))([4, 0, 2])
    assert torch.equal(model.embedded[0], ROWS[[1, 0, 2]])
    assert len(model.embedded) == 1
    own = [make_sampler(model, FIVE, 3, conditions=Table(ROWS[i % 3][None]))([i]) for i in (4, 0, 2)]
    torch.testing.assert_close(torch.cat(own), found)
    assert (found[1] - make_sampler(model, FIVE, 3, conditions=Table(ROWS[1:2]))([0])).abs().max() > 0.01


def test_a_sample_with_a_number_of_its_own_depends_on_it_and_on_its_condition_alone() -> None:
    model, numbers = Sums(), [7, NUMBERS - 1, 2**40]
    found = make_sampler(model, FIVE, 3, conditions=Numbered(ROWS, numbers))(numbers)
    for row, number, sample in zip(ROWS, numbers, found, strict=True):
        alone = make_sampler(model, FIVE, 3, conditions=Numbered(row[None], [number]))([number])
        torch.testing.assert_close(alone[0], sample)
    assert torch.equal(Numbered(ROWS, numbers)([2**40 + 3 * NUMBERS, 7]), ROWS[[2, 0]])
    for wrong in ([1, 1, 2], [1, 2], [0, 1, NUMBERS], [-1, 0, 1]):
        with pytest.raises(ValueError, match="as many different seeds"):
            Numbered(ROWS, wrong)


def test_the_settings_guide_a_model_that_knows_a_null_condition() -> None:
    guided, plain = (
        make_sampler(Sums(), SamplerSettings(steps=5, guidance=g), 3, conditions=Table(ROWS)) for g in (3, 1)
    )
    by_hand = make_sampler(with_guidance(Sums(), 3), FIVE, 3, conditions=Table(ROWS))
    assert torch.equal(guided([0, 1]), by_hand([0, 1]))
    assert not torch.equal(guided([0, 1]), plain([0, 1]))


def test_conditions_may_be_embedded_already() -> None:
    def conditions(indices: Sequence[int]) -> torch.Tensor:
        return ROWS[list(indices)].float() / 10

    expected = make_sampler(Sums(), FIVE, 3, conditions=Table(ROWS))(range(3))
    assert torch.equal(make_sampler(Sums(), FIVE, 3, conditions=conditions)(range(3)), expected)


def test_by_default_samples_have_the_classes_in_turn() -> None:
    model = oracle.fitted("memorizer", oracle.digits()[:10])
    assert classes_in_turn(model)(range(3)).tolist() == [0, 0, 0]
    model.classes = 4
    assert classes_in_turn(model)([0, 5, 2**40 + 3]).tolist() == [0, 1, 3]


def test_guidance_is_the_formula_from_one_batch() -> None:
    model: Any = Sums()
    x, t = torch.randn(3, 1, 4, 4), torch.tensor([5, 100, 900])
    given, null = model.predict_noise(x, t, ROWS), model.predict_noise(x, t, torch.zeros(3, 2, dtype=torch.long))
    model.rows.clear()
    found = with_guidance(model, 3.0).predict_noise(x, t, ROWS)
    torch.testing.assert_close(found, null + 3 * (given - null))
    torch.testing.assert_close(with_guidance(model, 3.0).predict_noise(x, t, model.embed(ROWS)), found)
    torch.testing.assert_close(with_guidance(model, 0.0).predict_noise(x, t, ROWS), null)
    assert model.rows == [6, 6, 6]


def test_the_null_condition_is_embedded_once_for_all_steps() -> None:
    model = Sums()
    found = make_sampler(model, SamplerSettings(steps=5, guidance=3), 3, conditions=Table(ROWS))(range(3))
    assert [rows.tolist() for rows in model.embedded] == [ROWS.tolist(), [[0, 0]]]

    class EmbedsAtEveryStep(Sums):
        def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: Any = None) -> torch.Tensor:
            null = self.embed(torch.zeros(len(x_t), 2, dtype=torch.long))
            given, plain = (Sums.predict_noise(self, x_t, t, one) for one in (condition, null))
            return plain + 3 * (given - plain)

    assert torch.equal(make_sampler(EmbedsAtEveryStep(), FIVE, 3, conditions=Table(ROWS))(range(3)), found)


def test_guidance_one_is_none_and_a_model_without_null_has_none() -> None:
    model, unconditional = Sums(), oracle.fitted("gaussian", oracle.digits()[:80])
    assert with_guidance(model, 1.0) is model
    assert with_guidance(unconditional, 3.0) is unconditional


def test_a_guided_sample_depends_on_its_index_alone() -> None:
    sampler = make_sampler(with_guidance(Sums(), 2.5), FIVE, 3, conditions=Table(ROWS))
    together = sampler(range(6))
    torch.testing.assert_close(torch.cat([sampler([5]), sampler([1, 0])]), together[[5, 1, 0]])
    assert not torch.allclose(together, make_sampler(Sums(), FIVE, 3, conditions=Table(ROWS))(range(6)))


@pytest.mark.parametrize("settings", [FIVE, SamplerSettings("ddpm", 10), SamplerSettings("dpm_solver++", 7)], ids=str)
def test_sampling_starts_where_it_says(settings: SamplerSettings) -> None:
    seen = []

    class Watched(Sums):
        def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: Any = None) -> torch.Tensor:
            seen.append((x_t.clone(), int(t[0])))
            return super().predict_noise(x_t, t, condition)

    make_sampler(Watched(), settings, 3, conditions=Table(ROWS))([8])
    noise, t = seen[0]
    assert t == first_timestep(Sums(), settings)
    assert torch.equal(noise[0], start_noise(3, 8, (1, 4, 4))[0])


def test_null_rows_come_at_their_probability_and_change_no_other_draw() -> None:
    class Network(torch.nn.Module):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor, condition: Any, return_dict: bool) -> Any:
            self.seen = (x_t, t, condition)
            return (x_t,)

    images, conditions = torch.rand(4000, 1, 4, 4) * 2 - 1, torch.arange(4000 * 2).reshape(4000, 2) + 1
    network, levels = Network(), cosine_alphas_cumprod(1000)
    plain = DenoisingLoss(levels, "epsilon", True)(network, images, conditions, torch.Generator().manual_seed(0))
    x_t, t, given = network.seen
    assert torch.equal(given, conditions)
    loss = DenoisingLoss(levels, "epsilon", True, torch.tensor([0, 0]), 0.1)
    assert torch.equal(loss(network, images, conditions, torch.Generator().manual_seed(0)), plain)
    assert torch.equal(network.seen[0], x_t)
    assert torch.equal(network.seen[1], t)
    dropped = (network.seen[2] == 0).all(1)
    assert 340 < int(dropped.sum()) < 460  # 3 standard deviations
    assert torch.equal(network.seen[2][~dropped], conditions[~dropped])
    DenoisingLoss(levels, "epsilon", False)(network, images, conditions, torch.Generator().manual_seed(0))
    assert network.seen[2] is None


class Off(DiffusionModel):
    """Predicts the noise of images around 0.3, a little wrong as every trained network does."""

    image_shape = (1, 4, 4)
    classes = 0
    network = None

    def __init__(self) -> None:
        self.alphas_cumprod = cosine_alphas_cumprod(1000)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        level = self.alphas_cumprod[t][:, None, None, None]
        exact = (1 - level).sqrt() * (x_t - level.sqrt() * 0.3) / (0.04 * level + 1 - level)
        return exact + 0.02 * torch.linspace(-1, 1, 16).reshape(4, 4)


@pytest.mark.parametrize("steps", [10, 20, 100])
def test_all_schedulers_give_nearly_the_images_of_one_another(steps: int) -> None:
    """Where there is no signal, an error of the noise is endlessly larger as one of x_0, which must not stay."""
    indices = range(64)
    ddim, solver = (make_sampler(Off(), SamplerSettings(name, steps), 0)(indices) for name in ("ddim", "dpm_solver++"))
    assert (ddim - solver).abs().mean() < 0.06
    ddpm = make_sampler(Off(), SamplerSettings("ddpm", 100), 0)(indices)
    for images in (ddim, solver, ddpm):
        assert images.mean() == pytest.approx(0.3, abs=0.03)
        assert images.std() == pytest.approx(0.2, abs=0.08)

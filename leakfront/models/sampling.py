"""Sampling with diffusers' schedulers; a sample does not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch

from leakfront.models.contract import DiffusionModel, Generator, in_pixels
from leakfront.seeds import derive_seed

LEAST_LAMBDA = -5.1  # log(alpha / sigma); a linear schedule of DDPM's ends above it
NUMBERS = 2**63  # the indices that samples can be given; see `Numbered`
# indices of samples [n] -> their conditions, int64 [n, ...], or what `DiffusionModel.embed` returns for these
Conditions = Callable[[Sequence[int]], torch.Tensor]


@dataclass(frozen=True)
class SamplerSettings:
    """scheduler: one of diffusers' solvers. steps: the number of timesteps it visits. eta: 0 for deterministic DDIM.

    guidance: the scale of classifier-free guidance, 1 for none; nothing for a model that knows no null condition.
    """

    scheduler: Literal["ddim", "ddpm", "dpm_solver++"] = "ddim"
    steps: int = 50
    eta: float = 0.0
    guidance: float = 1.0


def make_scheduler(model: DiffusionModel, settings: SamplerSettings) -> Any:
    """A diffusers scheduler for noise predictions at the model's own noise levels.

    DDIM and DDPM clip the predicted x_0 to [-1, 1] if it is an image. DPM-Solver++ does not: it begins where the
    logarithm of the signal-to-noise ratio is twice `LEAST_LAMBDA`, as its authors do with a cosine schedule (Lu et al.
    2022, arXiv 2211.01095), since the predicted x_0 is all error where there is no signal.
    """
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    alphas_cumprod = model.alphas_cumprod.double().cpu()
    previous = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    shared = {"trained_betas": (1 - alphas_cumprod / previous).numpy(), "prediction_type": "epsilon"}
    if settings.scheduler == "ddim":
        return DDIMScheduler(**shared, num_train_timesteps=len(alphas_cumprod), clip_sample=in_pixels(model))
    if settings.scheduler == "ddpm":
        return DDPMScheduler(**shared, num_train_timesteps=len(alphas_cumprod), clip_sample=in_pixels(model))
    return DPMSolverMultistepScheduler(
        **shared, num_train_timesteps=len(alphas_cumprod), algorithm_type="dpmsolver++", lambda_min_clipped=LEAST_LAMBDA
    )


def first_timestep(model: DiffusionModel, settings: SamplerSettings) -> int:
    """The timestep where sampling starts."""
    scheduler = make_scheduler(model, settings)
    scheduler.set_timesteps(settings.steps)
    return int(scheduler.timesteps[0])


@dataclass(frozen=True)
class Table:
    """Conditions from the rows of a table, int64 [R, ...]: sample i has row i modulo R."""

    rows: torch.Tensor

    def __call__(self, indices: Sequence[int]) -> torch.Tensor:
        return self.rows[torch.tensor([i % len(self.rows) for i in indices], dtype=torch.long)]


class Numbered:
    """Conditions of samples whose indices are any different numbers below 2^63: the i-th of them has row i.

    So has each sample whose index differs by a multiple of 2^63, such as those that a guard draws in its place.
    """

    def __init__(self, rows: torch.Tensor, numbers: Sequence[int]) -> None:
        """rows: [n, ...]. numbers: [n]; raises `ValueError` unless they are different."""
        self._rows, self._places = rows, {number: place for place, number in enumerate(numbers)}
        if len(self._places) != len(rows) or not all(0 <= number < NUMBERS for number in numbers):
            raise ValueError(f"{len(rows)} conditions need as many different seeds in 0 ... 2^63 - 1")

    def __call__(self, indices: Sequence[int]) -> torch.Tensor:
        return self._rows[[self._places[i % NUMBERS] for i in indices]]


def classes_in_turn(model: DiffusionModel) -> Table:
    """Each class of a model in turn; the one condition 0 of an unconditional model."""
    return Table(torch.arange(max(model.classes, 1)))


def start_noise(seed: int, index: int, shape: Sequence[int]) -> tuple[torch.Tensor, torch.Generator]:
    """The noise that sample `index` starts from, float32 of `shape`, and the generator of its later draws."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "sample", index))
    return torch.randn(tuple(shape), generator=generator), generator


def make_sampler(
    model: DiffusionModel,
    settings: SamplerSettings,
    seed: int,
    device: str = "cpu",
    conditions: Conditions | None = None,
    start: Callable[[Sequence[int]], torch.Tensor] | None = None,
) -> Callable[[Sequence[int]], torch.Tensor]:
    """A function that maps sample indices [n] to images, float32 [n, C, H, W] in [-1, 1].

    Sample i starts from its own noise, which is drawn from (seed, i), and has the condition that `conditions` gives i,
    by default the class i modulo the number of classes. start: from indices [n] to what samples start from, float32 [n,
    *latent_shape] on the device, in place of that noise. So a sample depends on its index and not on its batch.
    """
    conditions = conditions or classes_in_turn(model)
    model = with_guidance(model, settings.guidance)

    @torch.no_grad()
    def sampler(indices: Sequence[int]) -> torch.Tensor:
        starts = [start_noise(seed, i, model.latent_shape) for i in indices]
        x = torch.stack([noise for noise, _ in starts]).to(device) if start is None else start(indices)
        given = conditions(indices).to(device)
        given = given if given.is_floating_point() else model.embed(given)
        scheduler = make_scheduler(model, settings)
        scheduler.set_timesteps(settings.steps)
        extra: dict[str, Any] = {}
        if settings.scheduler == "ddpm" or settings.eta > 0:
            extra["generator"] = [generator for _, generator in starts]
        if settings.scheduler == "ddim":
            extra["eta"] = settings.eta
        for t in scheduler.timesteps:
            noise = model.predict_noise(x, torch.full((len(x),), int(t), device=device), given)
            x = scheduler.step(noise, t, x, **extra).prev_sample
        return model.decode(x).clamp(-1, 1)

    return sampler


def make_noise_sampler(model: Generator, seed: int, device: str = "cpu") -> Callable[[Sequence[int]], torch.Tensor]:
    """As `make_sampler`, of a generator: sample i is made in one call from its own noise, drawn from (seed, i)."""

    @torch.no_grad()
    def sampler(indices: Sequence[int]) -> torch.Tensor:
        noise = torch.stack([start_noise(seed, i, model.noise_shape)[0] for i in indices])
        return model.generate(noise.to(device)).clamp(-1, 1)

    return sampler


class ClassifierFree:
    """A model with classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, Eq. 6).

    Its noise prediction is eps(x, null) + scale (eps(x, c) - eps(x, null)), both from one batch of twice the size
    (the paper's w is scale - 1).
    Everything else is the model's own.
    """

    def __init__(self, model: DiffusionModel, scale: float) -> None:
        assert model.null is not None
        self._model, self._scale, self._null = model, scale, model.null
        self._embedded: torch.Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        without = self._without(condition)
        both = torch.cat([condition, without.expand(len(x_t), *without.shape[1:])])
        given, plain = self._model.predict_noise(torch.cat([x_t, x_t]), torch.cat([t, t]), both).chunk(2)
        return plain + self._scale * (given - plain)

    def _without(self, condition: torch.Tensor) -> torch.Tensor:
        """The null condition [1, ...] as `condition` is, token ids or an embedding; embedded once for all steps."""
        if not condition.is_floating_point():
            return self._null[None].to(condition.device)
        if self._embedded is None or self._embedded.device != condition.device:
            with torch.no_grad():
                self._embedded = self._model.embed(self._null[None].to(condition.device))
        return self._embedded


def with_guidance(model: DiffusionModel, scale: float) -> DiffusionModel:
    """The model with classifier-free guidance; itself at scale 1, or if it knows no null condition."""
    if scale == 1 or model.null is None:
        return model
    return cast(DiffusionModel, ClassifierFree(model, scale))

"""The undefended training step of an adversarial pair: the discriminator's, then the generator's."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from leakfront.defenses.contract import Guarantee, TrainingSetup

BETAS = (0.0, 0.99)
LOWEST = 0.02  # of the learning rate, at the end


class AdversarialStep:
    """Batches drawn uniformly with replacement; one step of each network on the non-saturating logistic loss.

    The network is a pair: `generator` and `discriminator`, `latest`, a copy of the discriminator that is kept up to
    date, and `rules`, see `leakfront.models.adversarial.networks.AdversarialPair`.
    The penalty R1 is added every `r1_every` steps, with `r1_every` times its weight.
    """

    def __init__(self, setup: TrainingSetup) -> None:
        self._setup = setup
        pair: Any = setup.network
        self._pair, self._rules = pair, pair.rules
        self._generator = self._adam(self._pair.generator)
        self._discriminator = self._adam(self._pair.discriminator)
        self._done = 0

    def _adam(self, network: torch.nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=self._setup.learning_rate, betas=BETAS, fused=True)

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(self._setup.size, (self._setup.batch_size,), generator=generator)

    def update(self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator) -> float:
        """Returns the discriminator's loss without the penalty."""
        rate = self._setup.learning_rate * falling(self._done / self._setup.steps, self._rules.falling)
        for optimizer in (self._generator, self._discriminator):
            optimizer.param_groups[0]["lr"] = rate
        real = self._setup.augment(images, generator)
        value = self._step_discriminator(real, generator)
        self._step_generator(len(real), generator)
        with torch.no_grad():
            trained = self._pair.discriminator.parameters()
            for kept, weight in zip(self._pair.latest.parameters(), trained, strict=True):
                kept.copy_(weight)
        self._done += 1
        return value

    def _step_discriminator(self, real: torch.Tensor, generator: torch.Generator) -> float:
        judge = self._pair.discriminator
        with torch.no_grad():
            generated = self._pair(self._noise(len(real), real, generator))
        shown = torch.cat([self._moved(real, generator), self._moved(generated, generator)])
        of_real, of_generated = judge(shown[: len(real)]), judge(shown[len(real) :])
        loss = functional.softplus(-of_real).mean() + functional.softplus(of_generated).mean()
        value = loss.item()
        calls = len(shown)
        if self._rules.r1 and self._done % self._rules.r1_every == 0:
            moved = self._moved(real, generator).requires_grad_(True)
            (gradient,) = torch.autograd.grad(judge(moved).sum(), moved, create_graph=True)
            penalty = gradient.square().sum((1, 2, 3)).mean()
            loss = loss + self._rules.r1 / 2 * self._rules.r1_every * penalty
            calls += len(real)
        self._discriminator.zero_grad()
        torch.autograd.backward(loss)
        self._discriminator.step()
        self._setup.ranks.elsewhere(calls)
        return value

    def _step_generator(self, count: int, generator: torch.Generator) -> None:
        weights = next(self._pair.generator.parameters())
        generated = self._pair(self._noise(count, weights, generator))
        loss = functional.softplus(-self._pair.discriminator(self._moved(generated, generator))).mean()
        self._generator.zero_grad()
        torch.autograd.backward(loss)
        self._generator.step()
        self._setup.ranks.elsewhere(count)

    def _noise(self, count: int, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(count, self._pair.noise, generator=generator).to(like.device)

    def _moved(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return translated(images, self._rules.translation, generator)

    def state_dict(self) -> dict[str, Any]:
        states = {"generator": self._generator.state_dict(), "discriminator": self._discriminator.state_dict()}
        return {**states, "done": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.load_state_dict(state["generator"])
        self._discriminator.load_state_dict(state["discriminator"])
        self._done = state["done"]

    def report(self) -> dict[str, float]:
        return {}

    def guarantee(self) -> Guarantee | None:
        return None


def falling(done: float, share: float) -> float:
    """The factor of the learning rate after a share `done` of the steps: 1, then falling linearly, at least 2%."""
    return 1.0 if done < 1 - share else max((1 - done) / share, LOWEST)


def translated(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    """Each image [N, C, H, W] shifted by at most `most` pixels in each direction; the border that comes in is -1.

    Differentiable in the images (DiffAugment, Zhao et al. 2020, arXiv 2006.10738).
    """
    if not most:
        return images
    count, _, height, width = images.shape
    down, right = torch.randint(0, 2 * most + 1, (2, count), generator=generator).to(images.device)
    padded = functional.pad(images, (most,) * 4, value=-1.0)
    rows = (down[:, None] + torch.arange(height, device=images.device))[:, :, None]
    columns = (right[:, None] + torch.arange(width, device=images.device))[:, None, :]
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows, columns].permute(0, 3, 1, 2)

"""Whether any text embedding brings a pair's image out of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Interval

from leakfront.attacks import Attack, Generated, GenerationContext, PoolView, Scores, Shadow, Target, register
from leakfront.attacks.generate_and_filter import tiled_distances
from leakfront.errors import InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import DiffusionModel

AT_ONCE = 8  # pairs whose embeddings are searched together, and kept if the run is interrupted
LOWEST = -2.0  # the score of pairs that are not tried; the others lie in [-1, 0]
PASSES_OF_A_GRADIENT, STEPS = 3, 50  # for estimates: a sample counts as 50 passes


@dataclass(frozen=True)
class FoundEmbeddings:
    """`samples` images from a text embedding that was searched for each of `pairs` pairs.

    The search begins at the embedding of the pair's caption. Adam lowers the error of the noise predicted for the
    image, in `steps` steps at `learning_rate`, each on `batch_size` fresh draws of noise and timestep. The pairs are
    those with the most planned copies, members and decoys alike; ties in an order that depends on the pair alone.
    """

    served: ClassVar[bool] = False

    pairs: int
    steps: int
    batch_size: int
    learning_rate: float
    samples: int

    def images(self, pool: int, samples: int) -> float:
        return min(self.pairs, pool) * (self.samples + PASSES_OF_A_GRADIENT * self.steps * self.batch_size / STEPS)

    def generate(self, context: GenerationContext) -> Generated:
        digest = digests(context.pool)
        rows = sorted(range(len(digest)), key=lambda pair: (-context.pool.copies[pair], digest[pair]))[: self.pairs]
        images = []
        for first in range(0, len(rows), AT_ONCE):
            block = rows[first : first + AT_ONCE]
            seeds = [derive_seed(context.seed, digest[pair]) for pair in block]
            images.append(context.keep(f"pairs {first}", partial(self._of, context, block, seeds))["images"])
        return Generated(np.concatenate(images), np.repeat(np.array(rows, np.int64), self.samples))

    def _of(self, context: GenerationContext, rows: Sequence[int], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        view = context.pool
        found = self.search(context.model, view.images[rows], view.conditions[rows], seeds)
        numbers = [derive_seed(seed, "sample", number) for seed in seeds for number in range(self.samples)]
        return {"images": context.sample(found.repeat_interleave(self.samples, 0), numbers)}

    def search(
        self, model: DiffusionModel, images: np.ndarray, conditions: np.ndarray, seeds: Sequence[int]
    ) -> torch.Tensor:
        """The embeddings found for n pairs, float32 [n, L, d]; each depends on its own pair and seed alone.

        images: uint8 [n, C, H, W]. conditions: int64 [n, L].
        """
        import torch

        device = next(iter(model.parameters().values())).device
        x_0 = model.encode(torch.as_tensor(images).to(device).float() / 127.5 - 1).repeat_interleave(self.batch_size, 0)
        alphas_cumprod = model.alphas_cumprod.to(device)
        found = model.embed(torch.as_tensor(conditions).to(device)).detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([found], lr=self.learning_rate)
        generators = [torch.Generator().manual_seed(derive_seed(seed, "search")) for seed in seeds]
        levels, shape = len(alphas_cumprod), (self.batch_size, *x_0.shape[1:])
        with torch.enable_grad():
            for _ in range(self.steps):
                t = torch.cat([torch.randint(levels, (self.batch_size,), generator=g) for g in generators]).to(device)
                noise = torch.cat([torch.randn(shape, generator=g) for g in generators]).to(device)
                alpha_bar = alphas_cumprod[t].reshape(-1, 1, 1, 1)
                x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
                predicted = model.predict_noise(x_t, t, found.repeat_interleave(self.batch_size, 0))
                # a sum over pairs, so that none of them has a part in another's gradient
                loss = (predicted - noise).square().flatten(1).mean(1).sum() / self.batch_size
                (found.grad,) = torch.autograd.grad(loss, found)
                optimizer.step()
        return found.detach()


def digests(view: PoolView) -> list[str]:
    """A text for each pair that depends on its image and caption alone."""
    texts = view.captions or ("",) * len(view.images)
    return [
        hashlib.sha256(image.tobytes() + text.encode()).hexdigest()
        for image, text in zip(view.images, texts, strict=True)
    ]


@register("retained")
@dataclass(frozen=True)
class Retained(Attack):
    """What a defense has hidden but not removed: search a text embedding that brings the image out (Kowalczuk et al.
    2026, "Finding DoRI", arXiv 2507.16880).

    For each of `pairs` pairs, Adam changes the embedding of its caption, not its tokens, so that the model predicts the
    noise on the pair's image better: `steps` steps at `learning_rate`, each with `batch_size` draws of noise and
    timestep. `samples` images are then generated from it. The score is minus the smallest d within which `matches` of
    them lie of the pair's own image, by the tiled distance of `generate_and_filter`. Decoys get the same search:
    whatever a search alone can do to any image, it does to them.

    Only some pairs are tried, as the search is dear: those with the most planned copies, members and decoys alike. All
    others share one score, below these. By the source, it brings most images back that pruning of neurons hides; so
    defenses of that kind should be judged by it.
    Access: gradients. Model calls per image: for the pairs tried 3 x steps x batch_size (1,200), and those of the
    samples.
    """

    access = "gradients"
    extracts = True
    needs_captions = True
    summary = "text embeddings searched until they bring the image out"

    pairs: Annotated[int, Ge(1)] = 50
    steps: Annotated[int, Interval(ge=1, le=10_000)] = 50
    batch_size: Annotated[int, Interval(ge=1, le=4096)] = 8
    learning_rate: Annotated[float, Gt(0)] = 0.1
    samples: Annotated[int, Interval(ge=1, le=10_000)] = 10
    matches: Annotated[int, Ge(1)] = 5
    tiles: Annotated[int, Ge(1)] = 4

    def validate(self) -> None:
        if self.matches > self.samples:
            raise InputError(f"{self.where()}.matches is {self.matches}; it must be at most samples, {self.samples}")

    def generations(self) -> Sequence[FoundEmbeddings]:
        return [FoundEmbeddings(self.pairs, self.steps, self.batch_size, self.learning_rate, self.samples)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        generated, pool = target.generated[self.generations()[0]], target.pool
        score = np.full(len(pool.images), LOWEST)
        tried = np.unique(generated["prompt"])
        for pair in tried:
            own = generated["images"][generated["prompt"] == pair]
            to_own = tiled_distances(own, pool.variants[pool.variant_of == pair], self.tiles).min(1)
            score[pair] = -np.sort(to_own)[self.matches - 1]
        return Scores(score, choices={"pairs tried": len(tried), "chosen by": "planned copies, blind to the coins"})

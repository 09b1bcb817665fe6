"""Rejection of samples that are too near a training image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Interval

from leakfront.defenses import Defense, Sampler, Serving, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

ALPHA = 0.5
BLOCK_BYTES = 2**28  # the most that a search for neighbours allocates in addition to the images


@register("filter")
@dataclass(frozen=True)
class Filter(Defense):
    """Reject and redraw samples too near a training image, by the adaptive ratio of Carlini et al. 2023 (arXiv
    2301.13188, §5.1).

    The ratio of a sample x is min_i l2(x, x_i) / (0.5 x the mean of l2 to its `neighbours` nearest training images),
    where l2 is the root mean square over pixels. It is 0 for a copy and at most 2. A sample with a ratio below `ratio`
    is drawn again, up to `tries` draws in all, so a larger value rejects more. If all tries fail, the try with the
    largest ratio is served; this happens for every sample of a model that only copies. Distances use samples rounded to
    8 bits, as they are served. Byte-equal training images count once. Near copies of an image raise its ratio and can
    hide it, so deduplicate first.

    No guarantee: samples just above the ratio are served, and the missing samples reveal something about the training
    set. An attacker with the weights can sample without the filter. It costs a search through the training images for
    every draw, and up to `tries` draws for every sample. The training set is needed wherever the model is served.
    """

    acts_on = "sampling"
    covers = "samples as served; nothing with the weights"
    summary = "redraw samples that are too near a training image"

    ratio: Annotated[float, Interval(ge=0, le=2)] = 1.0  # 0 rejects nothing; no ratio exceeds 2
    neighbours: Annotated[int, Ge(2)] = 50
    tries: Annotated[int, Ge(1)] = 10

    def guard(self, sampler: Sampler, serving: Serving) -> Sampler:
        known = TrainingImages(serving.training_images, self.neighbours)
        period = serving.period or max(serving.model.classes, 1)
        return FilteredSampler(sampler, known, self.ratio, self.tries, period)


class FilteredSampler:
    """The samples of `draw`, redrawn while they are too near the `known` images; see `Filter`.

    Try k of sample i is sample i + k 2^32 p of `draw`, where p is the period of the conditions. So it depends on i
    alone and has the condition of sample i.
    """

    def __init__(self, draw: Sampler, known: TrainingImages, ratio: float, tries: int, period: int) -> None:
        self._draw, self._known, self._ratio, self._tries = draw, known, ratio, tries
        self._stride = 2**32 * period

    def __call__(self, indices: Sequence[int]) -> torch.Tensor:
        served = self._draw(indices)
        ratios = self._ratios(served)
        for k in range(1, self._tries):
            near = (ratios < self._ratio).nonzero().flatten()
            if not len(near):
                break
            drawn = self._draw([indices[i] + k * self._stride for i in near.tolist()])
            drawn_ratios = self._ratios(drawn)
            farther = drawn_ratios > ratios[near]
            served[near[farther]] = drawn[farther]
            ratios[near[farther]] = drawn_ratios[farther]
        return served

    def _ratios(self, samples: torch.Tensor) -> torch.Tensor:
        as_served = ((samples.clamp(-1, 1) + 1) * 127.5).round() / 255
        distances, _ = self._known.nearest(as_served.flatten(1))
        return adaptive_ratio(distances)


def adaptive_ratio(distances: torch.Tensor) -> torch.Tensor:
    """min_i l2 / (0.5 mean_i l2) of each row of distances [B, n], nearest first; 0 where the smallest distance is 0."""
    mean = distances.mean(1)
    return distances[:, 0] / (ALPHA * mean).clamp(min=1e-12)


class TrainingImages:
    """The distinct training images, float32 [N, d] in [0, 1], and the search for nearest neighbours among them.

    first: int64 [N], the place of each among all training images, of equal ones the first.
    """

    def __init__(self, images: np.ndarray, neighbours: int) -> None:
        """images: uint8 [N, C, H, W]; if fewer than `neighbours` of them are distinct, all count as neighbours."""
        import torch

        distinct, self.first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
        if len(distinct) < 2:
            raise InputError("guarding the sampler compares distances, so it needs at least 2 distinct training images")
        self.images = torch.from_numpy(distinct).float() / 255
        self._squared = self.images.square().sum(1)
        self._neighbours = min(neighbours, len(distinct))

    def nearest(self, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The root mean square distances and the indices [B, n] of the images nearest to queries, float32 [B, d] in
        [0, 1].

        The search expands |a - b|^2, in blocks of queries. The distances that it returns are computed directly, since
        the expansion is inexact next to a copy.
        """
        import torch

        self.images, self._squared = self.images.to(queries.device), self._squared.to(queries.device)
        per_query = 4 * (2 * len(self.images) + 2 * self._neighbours * queries.shape[1])
        distances, indices = [], []
        for block in torch.split(queries, max(1, BLOCK_BYTES // per_query)):
            expanded = torch.addmm(self._squared, block, self.images.T, alpha=-2)
            found = expanded.topk(self._neighbours, largest=False).indices
            exact, order = (self.images[found] - block[:, None]).square().mean(2).sqrt().sort(dim=1)
            distances.append(exact)
            indices.append(found.gather(1, order))
        return torch.cat(distances), torch.cat(indices)

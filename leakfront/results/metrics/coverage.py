"""Coverage (Naeem et al. 2020): the share of real images with a generated one in their neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from leakfront.results.metrics import register
from leakfront.results.metrics.manifold import ManifoldMetric, count, share
from leakfront.results.statistics.estimate import Estimate


@register("coverage")
@dataclass(frozen=True)
class Coverage(ManifoldMetric):
    """Share of real images that have a generated image nearer than their `k`-th nearest other real image.

    Source: Naeem et al. 2020 (arXiv 2002.09797), eq. 4, with their k = 5. "Nearer" is strict, as in the authors' code
    (github.com/clovaai/generative-evaluation-prdc), with one difference: a generated image that equals a real one
    covers it even if k other real images equal it too; in their code it does not. Higher is better, in [0, 1]; 1 for
    identical sets. Between equal distributions the expected value is 1 - C(N_R - 1, k) / C(N_R + N_G - 1, k), whatever
    the distributions are: 0.97 for N_R = N_G.

    The interval is for the expected value at these numbers of images, over new draws of both sets (`manifold.share`).
    Its coverage was measured on Gaussians: 16 dimensions, 200 and 1,000 images a side, equal and with means up to 6
    standard deviations apart, 200 to 1,000 draws each; some in 4 and 64 dimensions, with 800 against 200 images, with
    heavy tails. It is 95 to 98%, and 99% with 20 images and where the metric is above 0.99.
    """

    ceiling = 1.0

    k: Annotated[int, Ge(1)] = 5

    def measure(self, generated: np.ndarray, real: np.ndarray, seed: int) -> Estimate:
        """The share of balls around real images that hold a generated one."""
        found = count(generated, real, self.k, seed, closed=False)
        return share(found.hit / found.balls, len(real))

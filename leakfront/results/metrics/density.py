"""Density (Naeem et al. 2020): in how many neighbourhoods of real images a generated one lies, divided by k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from scipy.special import gammaincinv

from leakfront.results.metrics import register
from leakfront.results.metrics.manifold import HALVINGS, QUANTILE, ManifoldMetric, count, halves_variance
from leakfront.results.statistics.estimate import Estimate


@register("density")
@dataclass(frozen=True)
class Density(ManifoldMetric):
    """Mean number of real images whose `k`-th nearest other real image is farther than the generated one, over k.

    Source: Naeem et al. 2020 (arXiv 2002.09797), eq. 3, with their k = 5. "Farther" is strict, as in the authors' code
    (github.com/clovaai/generative-evaluation-prdc), with one difference: a generated image that equals a real one
    counts as near it even if k other real images equal it too; in their code it does not. Higher is better, from 0. It
    is 1 for identical sets without copies; between equal distributions the expected value is 1, whatever the
    distributions are. It has no upper bound: generated images that crowd where real ones are dense exceed 1, so a
    density above 1 is no better than 1.

    The interval is for the expected value at these numbers of images, over new draws of both sets. It is the exact
    interval of a Poisson count (Garwood 1936) with the relative variance of the density. That variance is half of the
    variance between the halves of random halvings, and at least that of single pairs. At density 0 the upper end is
    that of 0 images inside.
    Its coverage was measured on Gaussians: 16 dimensions, 200 and 1,000 images a side, equal and with means up to 6
    standard deviations apart, 200 to 1,000 draws each; some in 4 and 64 dimensions, with 800 against 200 images, with
    heavy tails. It is 94 to 97%; 91% where the generated images have half the spread of the real ones (density 7); and
    only 85% with 20 images, whose halves of 10 are a poor model of them.
    """

    k: Annotated[int, Ge(1)] = 5

    def measure(self, generated: np.ndarray, real: np.ndarray, seed: int) -> Estimate:
        """Pairs of a generated image and a ball around a real one that holds it, over k and the generated images."""
        found = count(generated, real, self.k, seed, closed=False)
        values = found.pairs / (self.k * found.points)
        value = float(values[0])
        event = 1 / len(generated)  # what one independent event adds
        if value > 0:
            variance = halves_variance(values) / 2 * (QUANTILE / 1.96) ** 2
            event = max(variance / value, event / self.k)
        low = float(gammaincinv(value / event, 0.025)) * event if value > 0 else 0.0
        high = float(gammaincinv(value / event + 1, 0.975)) * event
        return Estimate(value, low, high, f"Garwood at the variance of {HALVINGS} halvings, both image sets")

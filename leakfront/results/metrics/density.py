"""Density (Naeem et al. 2020): in how many neighbourhoods of real images a generated one lies, over k."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from leakfront.results.metrics import Estimate, register
from leakfront.results.metrics.manifold import HALVINGS, QUANTILE, ManifoldMetric, count, halves_variance


@register("density")
@dataclass(frozen=True)
class Density(ManifoldMetric):
    """Mean number of real images whose `k`-th nearest other real one is farther than the generated image, over k.

    Naeem et al. 2020 (arXiv 2002.09797), eq. 3, with their k = 5. Farther is strictly so, as in the authors' code
    (github.com/clovaai/generative-evaluation-prdc), but a generated image that equals a real one counts as near it even
    if k other real images equal it too; there it does not. Higher is better, from 0; 1 for identical sets without
    copies, and in expectation between equal distributions, whatever they are. It has no upper bound: generated images
    that crowd where real ones are dense exceed 1, so a density above 1 is no better than 1.

    The interval is for the expectation at these numbers of images, over drawing both sets anew. It is the exact one of
    a Poisson count (Garwood 1936) whose relative variance is the density's; the variance is half of that between the
    halves of random halvings, and at least that of single pairs. A density of 0 has the upper end of 0 images inside.
    Coverage measured on Gaussians (16 dimensions, 200 and 1,000 images a side, equal and with means up to 6 standard
    deviations apart, 200 to 1,000 draws each; some in 4 and 64 dimensions, of 800 against 200, with heavy tails) is 94
    to 97%; 91% where the generated images have half the spread of the real ones (density 7), and only 85% with 20
    images, whose halves of 10 are a poor model of them.
    """

    k: int = 5

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

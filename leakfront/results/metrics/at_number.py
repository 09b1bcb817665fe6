"""What a metric that is biased by the number of images would be at another number of generated images."""

from __future__ import annotations

import numpy as np

from leakfront.results.metrics import Metric
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.statistics.estimate import Estimate

HALVINGS = 4


def at_number(metric: Metric, generated: ImageSet, real: ImageSet, images: int, seed: int) -> Estimate | None:
    """The metric at `images` generated images instead of N, by a line in 1/n through its values at N / 2 and N.

    Source: Chong and Forsyth 2020 (arXiv 1911.07023), section 3: the expected FID is linear in 1/n, where they go on to
    1/n = 0. The value at N / 2 is the mean over both halves of random halvings, drawn with `seed`; in it the sampling
    error of the N images, which is theirs too, mostly cancels. With b the value at N / 2 less that at N, the value at
    M images is that at N less b (1 - N / M). The number of real images stays as it is.

    The interval at N is moved along with the value and cut at `floor`; the error of b, small beside it, is left out.
    None if the bias of the metric is not known to fall so, or if half of the images are too few for it.
    """
    count = len(generated)
    if not metric.falls_with_images or count // 2 < metric.minimum(generated.dimensions):
        return None
    found = metric.estimate(generated, real, seed)
    rng, features = np.random.default_rng(seed), generated.matrix()
    values = []
    for _ in range(HALVINGS):
        for half in np.array_split(rng.permutation(count), 2):
            values.append(metric.estimate(ImageSet.of(features[half]), real, seed).value)
    moved = (float(np.mean(values)) - found.value) * (1 - count / images)
    value, low, high = (float(end) for end in np.clip(np.array(found[:3]) - moved, metric.floor, None))
    return Estimate(value, low, high, f"{found.method}; moved from {count} to {images} images along a line in 1/n")

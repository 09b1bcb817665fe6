"""Quantile regression (Tang et al. 2023, arXiv 2312.05140).

From the paper's formula; the official code was not at hand. Small networks predict, from the image, a quantile of the
error that non-members have: the t-error of SecMI, in logarithms. They are fitted with the pinball loss on images that
no model was trained on, each on a bootstrap sample ("a bag of weak attackers"). An image whose error is below its
predicted quantile is called a member; the score is the mean distance below it over the bag. The paper's networks are
ResNets on tens of thousands of images; here they have two convolutions, for hundreds of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from benchmarks.official_attacks.model import Model, Shadow, to_scores
from benchmarks.official_attacks.secmi import difference

ALPHA = 0.05
BAG = 7
STEPS = 120
BATCH = 64


def log_errors(model: Model) -> torch.Tensor:
    """The logarithm of SecMI's t-error, [N]."""
    return model.once(difference).square().flatten(1).sum(1).clamp_min(1e-12).log()


def pinball(predicted: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The loss whose minimizer is the ALPHA-quantile of the values."""
    above = values - predicted
    return torch.maximum(ALPHA * above, (ALPHA - 1) * above).mean()


def fitted(images: torch.Tensor, values: torch.Tensor, generator: torch.Generator) -> nn.Module:
    """One weak attacker, fitted on images [M, C, H, W] and their log errors [M]."""
    size = images.shape[-1] // 2 * (images.shape[-2] // 2)
    network = nn.Sequential(
        nn.Conv2d(images.shape[1], 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * size, 1),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-3)
    for _ in range(STEPS):
        batch = torch.randint(len(images), (BATCH,), generator=generator)
        loss = pinball(network(images[batch])[:, 0], values[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def score(target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The mean over the bag of the predicted quantile minus the image's own log error."""
    seen, known = log_errors(target), log_errors(replace(target, images=target.outside))
    centre, scale = known.mean(), known.std()
    generator = target.generator()
    predicted = []
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(target.seed)
        for _ in range(BAG):
            rows = torch.randint(len(known), (len(known),), generator=generator)
            network = fitted(target.outside[rows], (known[rows] - centre) / scale, generator)
            predicted.append(network(target.images)[:, 0].detach())
    return to_scores(torch.stack(predicted).mean(0) - (seen - centre) / scale)

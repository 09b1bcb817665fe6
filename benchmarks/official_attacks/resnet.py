"""The ResNet-18 for small images that SecMI's and ReDiffuse's authors train on error maps.

From jinhaoduan/SecMI, mia_evals/resnet.py and the functions `nns_attack` and `nn_train` of mia_evals/secmia.py: 3x3
convolutions and no first pooling; squared error of one output against the label; SGD with learning rate 0.001, momentum
0.9, weight decay 5e-4, batches of 128. (The code means to keep the best epoch on its test set, but never updates the
best accuracy, so it keeps the last.)
Departures: the source trains 15 epochs on a fifth of 50,000 images of the attacked model, about 1,200 steps. Here the
rows are the images of the shadow models, hundreds and not thousands, and 15 epochs of them would be too few steps to
learn anything; there are STEPS steps, at an eighth of the width, so that it takes seconds on one core. The last
pooling takes the whole map, because 8 x 8 images leave 1 x 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from benchmarks.official_attacks.model import Model, Shadow, to_scores

WIDTH = 8  # the source: 64
STEPS = 200
BATCH = 128


class Block(nn.Module):
    """Two 3x3 convolutions with batch normalization, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        is_same = stride == 1 and inputs == outputs
        convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.shortcut = nn.Identity() if is_same else nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(channels: int, width: int = WIDTH) -> nn.Module:
    """Maps [B, channels, H, W] to one output [B, 1]."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    inputs = width
    for level in range(4):
        for stride in (1 if level == 0 else 2, 1):
            layers.append(Block(inputs, width << level, stride))
            inputs = width << level
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1))


def fitted_score(maps: Callable[[Model], torch.Tensor], target: Model, shadows: Sequence[Shadow]) -> np.ndarray:
    """The output for each map of the target, [N], of a network fitted on the maps [N, C, H, W] of the shadow models."""
    rows = torch.cat([s.model.once(maps) for s in shadows]).abs()
    labels = torch.cat([torch.as_tensor(s.members) for s in shadows]).float()[:, None]
    order = target.generator()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(target.seed)
        network = resnet18(rows.shape[1])
        optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
        for _ in range(STEPS):
            batch = torch.randperm(len(rows), generator=order)[:BATCH]
            loss = (network(rows[batch]) - labels[batch]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return to_scores(network.eval()(target.once(maps).abs())[:, 0])

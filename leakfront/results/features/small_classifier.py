"""A small convolutional classifier and its training, for features of images like those it was trained on."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.features.chunks import filled_chunks

if TYPE_CHECKING:
    import torch
    from torch import nn

_BATCH = 128  # images per training step, and per chunk that is embedded
_WIDTH = 32  # channels of the first convolutions


def classifier(shape: tuple[int, ...], dimensions: int, classes: int) -> nn.Sequential:
    """(Four convolutions and a global average, a linear layer); the first has a stride to at most 16 x 16 positions."""
    from torch import nn

    def block(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    channels, height, width = shape
    layers = [*block(channels, _WIDTH, ceil(max(height, width) / 16)), *block(_WIDTH, _WIDTH), nn.MaxPool2d(2)]
    layers += [*block(_WIDTH, 2 * _WIDTH), *block(2 * _WIDTH, dimensions), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Sequential(*layers), nn.Sequential(nn.Dropout(0.3), nn.Linear(dimensions, classes)))


def train(network: nn.Sequential, images: torch.Tensor, targets: torch.Tensor, steps: int, epochs: int) -> None:
    """Cross-entropy under AdamW with one learning-rate cycle, on shifted and noised images, from torch's random state.

    There is no early stopping: it would choose the weights on the images that `accuracy` is measured on.
    """
    import torch
    from torch.nn import functional

    steps = max(steps, ceil(epochs * len(images) / _BATCH))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    reach = max(1, min(images.shape[2:]) // 16)
    network.train()
    for _ in range(steps):
        chosen = torch.randint(len(images), (_BATCH,))
        batch = _shifted(images[chosen], reach)
        loss = functional.cross_entropy(network(batch + 0.1 * torch.randn_like(batch)), targets[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def outputs(layers: nn.Module, images: np.ndarray) -> np.ndarray:
    """Outputs float64 [N, …] for images uint8 [N, C, H, W], N at least 1.

    Images pass in chunks of one size, the last one filled up, so that no image's result depends on the others.
    """
    import torch

    chunks = []
    with torch.inference_mode():
        for filled, count in filled_chunks(images, _BATCH):
            chunks.append(layers(scaled(filled))[:count].double().numpy())
    return np.concatenate(chunks)


def _shifted(batch: torch.Tensor, reach: int) -> torch.Tensor:
    """Move each image by up to `reach` pixels in both directions, repeating its border."""
    import torch
    from torch.nn import functional

    count, _, height, width = batch.shape
    padded = functional.pad(batch, (reach,) * 4, mode="replicate")
    down, right = torch.randint(2 * reach + 1, (2, count))
    rows = (down[:, None] + torch.arange(height))[:, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, :]
    return padded[torch.arange(count)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def scaled(images: np.ndarray) -> torch.Tensor:
    """uint8 -> float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images)).float() / 127.5 - 1.0

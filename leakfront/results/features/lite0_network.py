"""EfficientNet-Lite0, written out: inverted residuals without squeeze and excitation, ReLU6 throughout."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

# of the blocks of each stage: how many, kernel, stride of the first, expansion, channels in, channels out
STAGES = (
    (1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320),
)  # fmt: skip
STORED = {
    "expand.0": "_expand_conv", "expand.1": "_bn0", "depthwise.0": "_depthwise_conv", "depthwise.1": "_bn1",
    "project.0": "_project_conv", "project.1": "_bn2",
}  # fmt: skip


class SamePadding(nn.Conv2d):
    """A convolution that pads as TensorFlow does for sides that its stride divides: the odd pixel on the far side."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        padding = kernel - stride if kernel > stride else 0
        self.sides = (padding // 2, padding - padding // 2) * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, self.sides))


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bend: bool = True) -> nn.Sequential:
    """Convolution, batch normalization, and ReLU6 if it should bend."""
    parts: list[nn.Module] = [
        SamePadding(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs, eps=1e-3)
    ]  # fmt: skip
    return nn.Sequential(*parts, *([nn.ReLU6()] if bend else []))


class Block(nn.Module):
    """An inverted residual: widen, filter each channel by itself, narrow."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = unit(inputs, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise = unit(width, width, kernel, stride, groups=width)
        self.project = unit(width, outputs, 1, bend=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + found if self.residual else found


class Lite0(nn.Module):
    """The network up to its last average pool; `head` says whether the last convolution is applied before it."""

    def __init__(self, head: bool) -> None:
        super().__init__()
        self.stem = unit(3, 32, 3, stride=2)
        self.blocks = nn.Sequential(
            *(
                Block(kernel, stride if i == 0 else 1, expansion, inputs if i == 0 else outputs, outputs)
                for count, kernel, stride, expansion, inputs, outputs in STAGES
                for i in range(count)
            )
        )
        self.head = unit(320, 1280, 1) if head else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [N, 3, 224, 224], (pixel - 127) / 128, to [N, 1280], or [N, 320] without the head."""
        pooled: torch.Tensor = self.head(self.blocks(self.stem(x))).mean((2, 3))
        return pooled


def stored_name(name: str) -> str:
    """The name that a weight of `Lite0` has in the published file."""
    place, weight = name.rsplit(".", 1)
    outer = {"stem.0": "_conv_stem", "stem.1": "_bn0", "head.0": "_conv_head", "head.1": "_bn1"}
    if place in outer:
        return f"{outer[place]}.{weight}"
    _, number, part = place.split(".", 2)
    return f"_blocks.{number}.{STORED[part]}.{weight}"

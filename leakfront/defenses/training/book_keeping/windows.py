"""The windows that a convolution's kernel sees, unfolded, and their Gram matrix. Any memory layout is accepted."""

from __future__ import annotations

import torch
from torch import nn

from leakfront.defenses.training.book_keeping.workspace import Workspace


def windows(layer: nn.Conv2d, x: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """[rows, C, H, W] -> [rows, positions, kh kw C]."""
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    assert not isinstance(layer.padding, str)  # see `convolution.is_supported`
    ph, pw = layer.padding
    rows, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1)
    if (kh, kw, sh, sw, ph, pw) == (1, 1, 1, 1, 0, 0):
        return (
            workspace.scratch("unfolded", (rows, height, width, channels), x)
            .copy_(x)
            .view(rows, height * width, channels)
        )
    high, wide = height + 2 * ph, width + 2 * pw
    padded = workspace.scratch("padded", (rows, high, wide, channels), x).zero_()
    padded[:, ph : ph + height, pw : pw + width] = x
    out_h, out_w = (high - dh * (kh - 1) - 1) // sh + 1, (wide - dw * (kw - 1) - 1) // sw + 1
    line = wide * channels
    views = padded.as_strided(
        (rows, out_h, out_w, kh, kw, channels), (high * line, sh * line, sw * channels, dh * line, dw * channels, 1)
    )
    copy = workspace.scratch("unfolded", tuple(views.shape), x).copy_(views)
    return copy.view(rows, out_h * out_w, kh * kw * channels)


def row_windows(x: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """[rows, C, H, W] -> [rows, (H + 2) W, 3 C]: the 1x3 windows of each line, with a line of zeros at both ends."""
    rows, channels, height, width = x.shape
    padded = workspace.scratch("padded", (rows, height + 2, width + 2, channels), x).zero_()
    padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
    views = padded.as_strided((rows, height + 2, width, 3 * channels), (*padded.stride()[:2], channels, 1))
    return workspace.scratch("unfolded", tuple(views.shape), x).copy_(views).view(rows, -1, 3 * channels)


def window_gram(x: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """The Gram matrix [B, K H W, K H W] of 3x3 windows without unfolding.

    It is the Gram matrix of pixels, summed over the nine shifts of both positions together. The shifts separate into
    rows and columns.
    """
    draws, (rows, _, h, w) = workspace.draws, x.shape
    pixels = workspace.of_examples(x.flatten(2).transpose(1, 2))
    gram = torch.bmm(pixels, pixels.transpose(1, 2))
    s = gram.view(rows // draws * draws, h, w, draws, h, w) if draws > 1 else gram.view(rows, h, w, 1, h, w)
    r = s.clone()
    r[:, 1:, :, :, 1:] += s[:, :-1, :, :, :-1]
    r[:, :-1, :, :, :-1] += s[:, 1:, :, :, 1:]
    q = r.clone()
    q[:, :, 1:, :, :, 1:] += r[:, :, :-1, :, :, :-1]
    q[:, :, :-1, :, :, :-1] += r[:, :, 1:, :, :, 1:]
    return q.view(gram.shape)

"""What a control sees of the images themselves: numbers in which two ways of making an image file differ."""

from __future__ import annotations

import numpy as np

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_ENDS = (*range(5), *range(251, 256))  # levels at both ends of the range, where a shift or a stretch shows
_LAYOUT = 4  # squares a side
_VALUES = 2**22  # of images that are looked at together
_BLOCK = 8  # pixels a side of JPEG's blocks
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it


def content_features(images: np.ndarray) -> np.ndarray:
    """Features of images, float64 [N, d], for images uint8 [N, C, H, W].

    Of each channel: mean, standard deviation, smallest and largest level, seven quantiles, and the means of 4 x 4
    squares. Of all pixels: the shares of the five lowest and the five highest levels, of even levels, and the number of
    different levels. Of the grey image: the mean logarithm of each coefficient of the cosine transform of its 8 x 8
    blocks, which quantisation flattens (JPEG's blocks begin in the corner, as these do), and how much steeper the
    image is at the blocks' borders than inside.
    """
    block = max(1, _VALUES // images[0].size)
    parts = [_features(images[start : start + block]) for start in range(0, len(images), block)]
    return np.concatenate(parts)


def _features(images: np.ndarray) -> np.ndarray:
    counts = np.stack([[np.bincount(channel.ravel(), minlength=256) for channel in image] for image in images])
    shares = counts / counts.sum(axis=2, keepdims=True)
    mean = shares @ np.arange(256.0)
    spread = np.sqrt(np.maximum(shares @ np.arange(256.0) ** 2 - mean**2, 0))
    below = shares.cumsum(axis=2)
    quantiles = [(below < share - 1e-9).sum(axis=2) for share in _QUANTILES]
    found = counts > 0
    ends = [found.argmax(axis=2), 255 - found[..., ::-1].argmax(axis=2)]
    of_all = shares.mean(axis=1)
    everywhere = np.column_stack([of_all[:, list(_ENDS)], of_all[:, ::2].sum(1), found.any(axis=1).sum(1)])
    channels = images.shape[1]
    grey = images[:, 0].astype(np.float64) if channels == 1 else np.tensordot(images, _GREY, axes=(1, 0))
    return np.column_stack([mean, spread, *ends, *quantiles, *_squares(images), everywhere, _frequencies(grey)])


def _squares(images: np.ndarray) -> list[np.ndarray]:
    """The means of 4 x 4 squares of each channel, [N, C] each; fewer squares if the image has fewer pixels a side."""
    rows, columns = (np.array_split(np.arange(side), min(_LAYOUT, side)) for side in images.shape[2:])
    return [images[:, :, r][..., c].mean(axis=(2, 3)) for r in rows for c in columns]


def _frequencies(grey: np.ndarray) -> np.ndarray:
    """Of grey images [N, H, W] the mean log of each cosine coefficient of their blocks, and the steps at borders."""
    from scipy.fft import dctn

    n, height, width = grey.shape
    side = min(_BLOCK, height, width)
    down, across = height // side, width // side
    blocks = grey[:, : down * side, : across * side].reshape(n, down, side, across, side).transpose(0, 1, 3, 2, 4)
    energy = np.log(np.abs(dctn(blocks, axes=(3, 4), norm="ortho")) + 0.5).mean(axis=(1, 2)).reshape(n, -1)
    steps = []
    for axis, length in ((1, height), (2, width)):
        size = np.abs(np.diff(grey, axis=axis)).mean(axis=3 - axis)
        at_border = np.arange(length - 1) % _BLOCK == _BLOCK - 1
        if at_border.any():
            steps.append(np.log(size[:, at_border].mean(1) + 0.5) - np.log(size[:, ~at_border].mean(1) + 0.5))
    return np.column_stack([energy, *steps])

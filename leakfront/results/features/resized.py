"""Images as networks trained on ImageNet want them: three channels, 224 pixels a side."""

from __future__ import annotations

import numpy as np


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 [N, 1 or 3, H, W] -> uint8 [N, side, side, 3], by Pillow, bicubic, one by one; grey is repeated."""
    from PIL import Image

    three = np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(0, 2, 3, 1)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in three]
    )

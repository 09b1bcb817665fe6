"""The weights of the `digits_frozen` features: a small classifier of MNIST, drawn as scikit-learn's 8 x 8 digits.

scikit-learn's digits are UCI's: bitmaps of 32 x 32, filled by the digit, and the number of black pixels in each square
of 4 x 4. MNIST's digits are thinner, slanted, and lie within a margin. So each is made upright, scaled to a height of
32, thickened, turned black and white, and counted in the same way. No image of scikit-learn's is used but to state what
the features make of them.

The network is trained once, with a fixed seed. Its batch norms are then folded into its convolutions. It prints its
accuracy on MNIST's test images and on scikit-learn's digits, the FIDs of damaged digits, and the SHA-256 that
leakfront/results/features/digits_frozen.py states. Training on another machine gives other weights, equally good.

Run: OMP_NUM_THREADS=1 python -m benchmarks.make_digits_features --root FOLDER [--out FILE] [--download]
FOLDER is where torchvision finds MNIST; nothing is downloaded without --download.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn import functional

import leakfront  # noqa: F401  lets torchvision be imported
from leakfront.datasets.digits import Digits
from leakfront.results.features import digits_frozen
from leakfront.results.features.weights import checksum
from leakfront.results.metrics.fid import FID
from leakfront.results.metrics.image_set import ImageSet

SEED, EPOCHS, BATCH = 0, 8, 256
INK = 0.2  # of 1: darker pixels belong to the digit
TYPICAL = (1.0, 21.0, 0.23)  # share of the slant, width, darkness: the mean intensity is that of scikit-learn's digits


def like_digits(images: torch.Tensor, upright: torch.Tensor, width: torch.Tensor, black: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 28, 28] -> float32 [N, 1, 8, 8] in 0 … 16, drawn as UCI's digits.

    upright: the share of the slant that is taken away. width: the most columns, of 32, that the digit fills. black: the
    darkness, of 1, from which a pixel counts, after a mean over 3 x 3 pixels: the lower, the thicker. All float [N].
    """
    grey = images.float() / 255
    rows, columns = torch.arange(28.0)[None, :, None], torch.arange(28.0)[None, None, :]
    mass = grey.sum((1, 2))
    middle, centre = (grey * rows).sum((1, 2)) / mass, (grey * columns).sum((1, 2)) / mass
    down, right = rows - middle[:, None, None], columns - centre[:, None, None]
    slant = (grey * down * right).sum((1, 2)) / (grey * down**2).sum((1, 2)).clamp(min=1e-6)
    slant = (upright * slant.clamp(-1, 1))[:, None, None]
    inked, upright_columns = grey > INK, columns - slant * down
    top, bottom = _ends(rows.expand_as(grey), inked)
    left, end = _ends(upright_columns, inked)
    step = (bottom - top) / 32
    step_right = torch.maximum(step, (end - left) / width)
    place = torch.arange(32.0) + 0.5
    y = (top[:, None] + step[:, None] * place)[:, :, None]
    x = ((left + end) / 2)[:, None] + step_right[:, None] * (place - 16)
    x = x[:, None, :] + slant * (y - middle[:, None, None])
    grid = torch.stack([(x + 0.5) / 14 - 1, (y.expand_as(x) + 0.5) / 14 - 1], dim=-1)
    large = functional.grid_sample(grey[:, None], grid, align_corners=False)
    thick = functional.avg_pool2d(large, 3, stride=1, padding=1, count_include_pad=False)
    return functional.avg_pool2d((thick > black[:, None, None, None]).float(), 4) * 16


def _ends(places: torch.Tensor, inked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and the last edge of the inked pixels [N, 28, 28] along their places: two of [N]."""
    far = torch.tensor(1e9)
    first, last = torch.where(inked, places, far).amin((1, 2)), torch.where(inked, places, -far).amax((1, 2))
    return first - 0.5, last + 0.5


def varied(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """All images as uint8 [N, 1, 8, 8], each with its own slant, width and thickness."""

    def between(low: float, high: float, count: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    count = len(images)
    return drawn(images, between(0.6, 1.1, count), between(18, 25, count), between(0.15, 0.4, count))


def drawn(images: torch.Tensor, *how: torch.Tensor) -> torch.Tensor:
    """`like_digits` in chunks, as Leakfront's digits are: uint8 [N, 1, 8, 8], round(255 / 16 * count)."""
    parts = zip(*(torch.split(values, 2048) for values in (images, *how)), strict=True)
    return torch.cat([(like_digits(*part) * 255 / 16).round().byte() for part in parts])


def trained(images: torch.Tensor, labels: torch.Tensor, epochs: int) -> nn.Sequential:
    """(The features with batch norms, a classification layer), trained on digits drawn anew in each epoch."""
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    features, head = digits_frozen.network()
    network = nn.Sequential(with_norms(features), nn.Sequential(nn.Dropout(0.3), head))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for epoch in range(epochs):
        anew = varied(images, generator)
        order = torch.randperm(len(images), generator=generator)[: steps // epochs * BATCH]
        for chosen in torch.split(order, BATCH):
            batch = digits_frozen.scaled(anew[chosen].numpy()).float()
            batch = batch + 0.05 * torch.randn(batch.shape, generator=generator)
            loss = functional.cross_entropy(network(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.3f}", flush=True)
    return network.eval()


def with_norms(features: Any) -> nn.Sequential:
    """The layers, with a batch norm after each convolution."""
    layers: list[nn.Module] = []
    for layer in features:
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layers.append(nn.BatchNorm2d(layer.out_channels))
    return nn.Sequential(*layers)


def folded(network: Any) -> nn.Sequential:
    """The network of `digits_frozen` that does what the trained one does, in float32."""
    plain: Any = digits_frozen.network()
    before = [layer for layer in network[0] if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network[0] if isinstance(layer, nn.BatchNorm2d)]
    after = [layer for layer in plain[0] if isinstance(layer, nn.Conv2d)]
    for one, norm, other in zip(before, norms, after, strict=True):
        other.load_state_dict(nn.utils.fuse_conv_bn_eval(one.eval(), norm.eval()).state_dict())
    plain[1].load_state_dict(network[1][1].state_dict())
    found: nn.Sequential = plain.eval()
    return found


def main() -> None:
    """Train, write the file, and print what it is worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="torchvision's folder of MNIST")
    parser.add_argument("--out", type=Path, default=digits_frozen.WEIGHTS, help="default: the package's own file")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--download", action="store_true", help="download MNIST if it is not there")
    given = parser.parse_args()
    from torchvision.datasets import MNIST

    torch.set_num_threads(1)
    train, test = (MNIST(given.root, train=part, download=given.download) for part in (True, False))
    network = folded(trained(train.data, train.targets, given.epochs))
    save_file(network.state_dict(), given.out)
    print(f"{given.out}: {given.out.stat().st_size:,} bytes, SHA-256 {checksum(given.out)}")
    judge(network.double(), drawn(test.data, *(torch.full((len(test.data),), typical) for typical in TYPICAL)), test)


def judge(network: Any, images: torch.Tensor, test: Any) -> None:
    """Print accuracies, and the FIDs of digits that are as real as the others, and of damaged ones."""

    def forward(layers: Any, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            parts = [layers(digits_frozen.scaled(part)) for part in np.array_split(images, 8)]
        return torch.cat(parts).numpy()

    digits = Digits().load()
    for name, of, labels in (("MNIST test", images.numpy(), test.targets.numpy()),
                             ("scikit-learn", digits.images, digits.labels)):  # fmt: skip
        print(f"accuracy, {name}: {(forward(network, of).argmax(axis=1) == labels).mean():.4f}")
    rng = np.random.default_rng(0)
    features = forward(network[0], digits.images)
    fids = []
    for _ in range(10):
        order = rng.permutation(len(features))
        fids.append(_fid(features[order[:640]], features[order[640:1440]]))
    print(f"FID, 640 digits against 800 others: {np.mean(fids):.3f}, standard deviation {np.std(fids, ddof=1):.3f}")
    order = rng.permutation(len(features))
    some, reference, labels = digits.images[order[:890]], features[order[890:]], digits.labels[order[:890]]
    grain = rng.normal(size=some.shape) * 255
    for name, damaged in {
        "nothing": [some],
        "2,048 images of noise": [rng.integers(0, 256, (2048, *digits_frozen.SHAPE)).astype(np.uint8)],
        "without the digits below 1, 2, 3, 5, 7": [some[labels >= kept] for kept in (1, 2, 3, 5, 7)],
        "blurred by 0.4, 0.5, 0.7, 1 pixel": [_whole(gaussian_filter(some.astype(float), (0, 0, width, width)))
                                              for width in (0.4, 0.5, 0.7, 1.0)],
        "noise of 0.05, 0.1, 0.2, 0.4 added": [_whole(some + grain * share) for share in (0.05, 0.1, 0.2, 0.4)],
    }.items():  # fmt: skip
        print(f"FID, {name}: {', '.join(f'{_fid(forward(network[0], part), reference):.2f}' for part in damaged)}")


def _whole(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _fid(generated: np.ndarray, real: np.ndarray) -> float:
    return FID().estimate(ImageSet.of(generated), ImageSet.of(real), seed=0).value


if __name__ == "__main__":
    main()

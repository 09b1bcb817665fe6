"""A step of DP-SGD, compared with plain steps of as many images and of as many rows.

Run: python -m benchmarks.private_step
"""

from __future__ import annotations

import torch

import leakfront
from benchmarks.digits_model import step_of
from benchmarks.side_by_side import compare
from leakfront.defenses.dp_sgd import DPSGD


def main() -> None:
    """Print times on one thread."""
    torch.set_num_threads(1)
    compare(
        f"leakfront {leakfront.__version__}, training step of the digits benchmark, one thread",
        {
            "plain, 64 images": step_of(64),
            "dp_sgd, 64 images": step_of(64, DPSGD(epsilon=10)),
            "dp_sgd, 64 images, noise multiplicity 4": step_of(64, DPSGD(epsilon=10, noise_multiplicity=4)),
            "plain, 256 images (as many rows)": step_of(256),
        },
        rounds=15,
        warmup=3,
    )


if __name__ == "__main__":
    main()

"""A training step under each defense that changes it, compared with the undefended step; see private_step for DP-SGD.

Run: python -m benchmarks.defense_steps
"""

from __future__ import annotations

import torch

import leakfront
from benchmarks.side_by_side import compare
from benchmarks.steps import step_of
from leakfront.defenses.ambient import Ambient
from leakfront.defenses.augment import Augment
from leakfront.defenses.capacity import Capacity
from leakfront.defenses.distill import Distill
from leakfront.defenses.regularize import Regularize


def main() -> None:
    """Print times on one thread."""
    torch.set_num_threads(1)
    compare(
        f"leakfront {leakfront.__version__}, training step on 64 images of the digits benchmark, one thread",
        {
            "none": step_of(64),
            "augment": step_of(64, Augment()),
            "augment, conditioned": step_of(64, Augment(conditioned=True, probability=0.5)),
            "capacity, half the width": step_of(64, Capacity(width=0.5)),
            "regularize, dropout 0.1": step_of(64, Regularize(dropout=0.1)),
            "ambient": step_of(64, Ambient()),
            "distill, a step of the teachers": step_of(64, Distill()),
            "distill, a step of the student": step_of(64, Distill(), done=100),
        },
        rounds=15,
        warmup=3,
    )


if __name__ == "__main__":
    main()

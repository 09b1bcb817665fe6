"""The undefended training of the harness, compared with the same steps written bare in PyTorch, and with their limit.

Each contender makes STEPS steps on equal networks: draws, forward and backward pass, optimizer and moving average, and
what is set up before. The limit is the time of matrix products of as many floating-point operations as the steps have.
Time is CPU time of one thread, all contenders in turn.

Run: OMP_NUM_THREADS=1 python -m benchmarks.training_step [digits|32x32]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import leakfront
from benchmarks.flops import LIMIT, flops_of, matrix_products
from benchmarks.side_by_side import compare
from benchmarks.steps import Shape, blank
from leakfront.harness.settings.sections import Training
from leakfront.harness.training.loop import TrainingRun, train
from leakfront.harness.training.state import Checkpoints
from leakfront.models.unet import UNet

# name: widths, image shape, images in a batch, steps, rounds
NETWORKS: dict[str, tuple[tuple[int, ...], Shape, int, int, int]] = {
    "digits": ((16, 32), (1, 8, 8), 64, 10, 7),
    "32x32": ((64, 128, 128), (3, 32, 32), 16, 2, 3),
}
POOL = 640


def main() -> None:
    """Print the table of each network."""
    torch.set_num_threads(1)
    for name, (channels, shape, batch, steps, rounds) in NETWORKS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        model: Callable[[], Any] = partial(UNet(channels=channels).build, shape, 10, 0)
        flops = flops_of(lambda: bare(model(), batch, 1, fused=True))  # noqa: B023 (called at once)
        contenders = {
            "bare, fused Adam, foreach average": lambda: bare(model(), batch, steps, fused=True),  # noqa: B023
            "leakfront's training loop": lambda: ours(model(), batch, steps),  # noqa: B023
            "bare, Adam and average as by default": lambda: bare(model(), batch, steps, fused=False),  # noqa: B023
            LIMIT: matrix_products(flops * steps),
        }
        title = f"leakfront {leakfront.__version__}, {name} UNet, {steps} steps of {batch} images, one thread"
        print(f"{flops / 1e9:.2f} GFLOP a step")
        compare(title, contenders, rounds, clock=time.thread_time)


def ours(model: Any, batch: int, steps: int) -> None:
    """The steps by the harness's training loop."""
    shape = model.image_shape
    training = TrainingRun(Training(steps=steps, batch_size=batch), (), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder) / "checkpoint", "key", seconds=1e9)
        train(model, blank(POOL, shape), blank(0, shape), POOL, training, checkpoints, lambda *_: None)


def bare(model: Any, batch: int, steps: int, fused: bool) -> None:
    """The same steps without the harness. fused: fused Adam and a foreach average; else one tensor after another."""
    network, levels, shape = model.network.train(), model.alphas_cumprod, model.image_shape
    parameters = list(network.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.Adam(parameters, lr=3e-3, fused=fused)
    data = torch.zeros(POOL, *shape)
    for _ in range(steps):
        images, t = data[torch.randint(POOL, (batch,))], torch.randint(len(levels), (batch,))
        noise, alpha_bar = torch.randn_like(images), levels[t][:, None, None, None]
        (output,) = network(alpha_bar.sqrt() * images + (1 - alpha_bar).sqrt() * noise, t, return_dict=False)
        loss = (output - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            if fused:
                torch._foreach_lerp_(average, parameters, 0.001)
            else:
                for mean, parameter in zip(average, parameters, strict=True):
                    mean.lerp_(parameter, 0.001)
        loss.item()


if __name__ == "__main__":
    main()

"""A step of DP-SGD, compared with plain steps of as many rows and with the private steps of Opacus and torch.func.

Time is CPU time of one thread, all contenders in turn. Memory is the peak of a process of its own, above what it holds
after imports. A kept per-example gradient takes the operations of a plain weight gradient, so the limit is the plain
step of as many rows.

Run: OMP_NUM_THREADS=1 python -m benchmarks.private_step [digits|32x32]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import leakfront
from benchmarks import opacus_steps
from benchmarks.side_by_side import compare
from benchmarks.steps import blank, step_on, training_setup
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.models.unet import UNet

# name: widths, image shape, examples in a batch, rounds
NETWORKS: dict[str, tuple[tuple[int, ...], tuple[int, int, int], int, int]] = {
    "digits": ((16, 32), (1, 8, 8), 64, 15),
    "32x32": ((64, 128, 128), (3, 32, 32), 16, 5),
}
DRAWS = (1, 4)


def main() -> None:
    """Print times and memory."""
    if len(sys.argv) == 4:
        print(_peak(*sys.argv[1:]))
        return
    torch.set_num_threads(1)
    for network, (_, _, examples, rounds) in NETWORKS.items():
        if sys.argv[1:] and network not in sys.argv[1:]:
            continue
        for draws in DRAWS:
            title = f"leakfront {leakfront.__version__}, {network} UNet, {examples} images, K = {draws}, one thread"
            steps = {name: _make(network, draws, name) for name in _names(draws)}
            compare(title, steps, rounds=rounds, warmup=2, clock=time.thread_time)
            _print_memory(title, network, draws)


def _names(draws: int) -> list[str]:
    names = ["plain, as many rows", "ours", "Opacus hooks", "Opacus ghost", "vmap(grad)"]
    return [name for name in names if draws == 1 or name != "Opacus ghost"]


def _make(network: str, draws: int, name: str) -> Callable[[], object]:
    channels, shape, examples, _ = NETWORKS[network]
    setup = training_setup(UNet(channels=channels).build(shape, 10, 0), examples, blank(640, shape))
    images = torch.rand(examples, *shape) * 2 - 1
    others: dict[str, Any] = {
        "Opacus hooks": opacus_steps.hooks,
        "Opacus ghost": opacus_steps.ghost,
        "vmap(grad)": opacus_steps.vmap_grad,
    }
    if name in others:
        made: Callable[[], object] = others[name](setup, images, torch.zeros(examples, dtype=torch.long), draws)
        return made
    return step_on(setup, images, draws, DPSGD(noise_multiplicity=draws, accountant="rdp") if name == "ours" else None)


def _peak(network: str, draws: str, name: str) -> float:
    """MiB that three steps add to what the process holds after imports."""
    torch.set_num_threads(1)
    torch.nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).sum().backward()
    import diffusers.models.unets.unet_2d  # noqa: F401  (imports at the first use count for nobody)

    before = _memory("VmRSS")
    step = _make(network, int(draws), name)
    for _ in range(3):
        step()
    return _memory("VmHWM") - before


def _memory(kind: str) -> float:
    """MiB of this process as Linux counts them: "VmRSS" now, "VmHWM" at most so far."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1024


def _print_memory(title: str, network: str, draws: int) -> None:
    found = {}
    for name in _names(draws):
        command = [sys.executable, "-m", "benchmarks.private_step", network, str(draws), name]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        found[name] = float(said.stdout.split()[-1])
    base = found[next(iter(found))]
    table = Table(title=f"{title}: peak memory above imports", title_justify="left")
    for heading in ("", "MiB", "ratio to the first"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, peak in found.items():
        table.add_row(name, f"{peak:.0f}", f"{peak / base:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

"""What one GPU gives, in at most 8 minutes: the tests that need one, and throughput at the size of CIFAR-10.

Measured are a training step, a private step against it, sampling, and the signals of every attack. A part for which
no time is left says so in the result.

Run: python -m benchmarks.gpu [--device cuda] [--out gpu.json] [--small]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import leakfront
from benchmarks.steps import blank, step_on, training_setup
from leakfront.attacks import registry as attacks
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.harness.stages.probe import ProbeSettings, measure_signals
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.models.unet import UNet

LIMIT = 8 * 60  # seconds of the whole script
TESTS = 3 * 60  # seconds of the tests
PART = 10  # seconds of a measurement
SHAPE = (3, 32, 32)
# the network of DDPM for CIFAR-10 (Ho et al. 2020), 35.7 million weights; a small one to try the script
CIFAR10 = UNet(channels=(128, 256, 256, 256), layers_per_block=2, attention=(1,), head_channels=256, norm_groups=32)
SMALL = UNet(channels=(8, 8), head_channels=8)


def main() -> None:
    """Measure, write the JSON file, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", default="gpu.json")
    parser.add_argument("--small", action="store_true", help="a small network and no tests, to try the script")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device here; try the script with --device cpu --small")
    found = measure(given.device, given.small)
    Path(given.out).write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def measure(device: str, small: bool) -> dict[str, Any]:
    """All results as JSON holds them: seconds, images per second, MiB; {"skipped": why} where nothing was measured."""
    began = time.monotonic()

    def in_time(part: Callable[[], Any]) -> Any:
        late = time.monotonic() - began > LIMIT - 3 * PART
        return {"skipped": "no time left"} if late else part()

    family, batch = (SMALL, 4) if small else (CIFAR10, 128)
    model = family.build(SHAPE, 10, 0)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "leakfront": leakfront.__version__,
        "torch": torch.__version__,
        "weights": sum(parameter.numel() for parameter in model.network.parameters()),
        "batch_size": batch,
        "tests": {"skipped": "the script is only tried"} if small else _tests(),
    }
    parts: dict[str, Callable[[], Any]] = {
        "training_step": lambda: _step(model, batch, device, 1, private=False),
        "private_step": lambda: _step(model, batch, device, 1, private=True),
        "training_step_of_4_times_the_rows": lambda: _step(model, batch // 4, device, 4, private=False),
        "private_step_of_4_draws": lambda: _step(model, batch // 4, device, 4, private=True),
        "sampling": lambda: _sampling(model, batch, device),
    }
    for name, part in parts.items():
        found[name] = in_time(part)
    found["attacks"] = {name: in_time(partial(_attack, name, model, batch, device)) for name in attacks.names()}
    found["private_over_plain"] = _ratio(found["private_step"], found["training_step"])
    found["private_over_plain_of_4_draws"] = _ratio(
        found["private_step_of_4_draws"], found["training_step_of_4_times_the_rows"]
    )
    found["seconds"] = time.monotonic() - began
    return found


def _tests() -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=TESTS, check=False)
    except subprocess.TimeoutExpired:
        return {"passed": False, "said": f"more than {TESTS} seconds"}
    return {"passed": ran.returncode == 0, "said": ran.stdout[-2000:]}


def _timed(work: Callable[[], object], images: int, device: str) -> dict[str, float]:
    """Medians of as many rounds as fit into PART seconds, after two to warm up; 3 to 50."""

    def once() -> float:
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    once()
    rounds = max(3, min(50, int(PART / max(once(), 1e-6)))) if device == "cuda" else 3
    seconds = [once() for _ in range(rounds)]
    median = statistics.median(seconds)
    found = {"seconds": median, "seconds_low": min(seconds), "seconds_high": max(seconds), "rounds": float(rounds)}
    found["images_per_second"] = images / median
    if device == "cuda":
        found["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def _step(model: Any, examples: int, device: str, draws: int, private: bool) -> dict[str, float]:
    setup = training_setup(model, examples, blank(50_000), steps=100, learning_rate=1e-4, device=device)
    images = (torch.rand(examples, *SHAPE) * 2 - 1).to(device)
    rows = examples * draws
    privacy = DPSGD(noise_multiplicity=draws, accountant="rdp", physical_batch_size=rows) if private else None
    return _timed(step_on(setup, images, draws, privacy), examples if private else rows, device)


def _evaluated(model: Any, device: str) -> Any:
    model.network.to(device).eval().requires_grad_(False)
    return model


def _sampling(model: Any, batch: int, device: str) -> dict[str, float]:
    sampler = make_sampler(_evaluated(model, device), SamplerSettings("ddim", 10), 0, device)
    return {"steps": 10.0, **_timed(lambda: sampler(range(batch)), batch, device)}


def _attack(name: str, model: Any, batch: int, device: str) -> dict[str, Any]:
    """Pool images per second through all signals of an attack."""
    signals = list(dict.fromkeys(attacks.get(name)().signals()))
    if not signals:
        return {"skipped": "it measures no signals"}
    images, labels = (torch.rand(batch, *SHAPE) * 2 - 1).to(device), torch.zeros(batch, dtype=torch.long, device=device)
    settings, calls = ProbeSettings(batch, max(batch // 4, 1)), 0

    def ask() -> None:
        nonlocal calls
        calls = measure_signals(signals, model, images, labels, settings, lambda *_: None)[1]

    _evaluated(model, device)
    start = time.perf_counter()
    ask()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "images_per_second": batch / seconds, "model_calls_per_image": float(calls)}


def _ratio(a: dict[str, float], b: dict[str, float]) -> float | None:
    return a["seconds"] / b["seconds"] if "seconds" in a and "seconds" in b else None


if __name__ == "__main__":
    main()

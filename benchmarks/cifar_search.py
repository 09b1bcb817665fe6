"""Which small network memorizes the most photographs in a core-hour: the search behind configs/cifar10.toml.

Each network is trained for the same CPU time, on N images of a folder, some of which are planted several times; N
others are decoys. Then it is sampled, and members and decoys are counted that a sample copies: by the rule of
Carlini et al. 2023 as Yoon et al. 2023 have it, d1 < d2 / 3 for the distances of a sample to its nearest and second
nearest pool image, and by the attack `extraction`. What counts is the excess of members over decoys, per hour of
training. Sampling is not counted.

Each network's result is a line of a JSON Lines file, and what is there is not measured again, so a search that was
stopped goes on. With the defaults, 9 networks of 5 minutes of one core each, and their sampling.

Run: python -m benchmarks.cifar_search FOLDER [--out FILE] [--seconds 300] [--networks NAME ...]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leakfront.attacks.nearest import flatten_unit, nearest_neighbours
from leakfront.datasets.folder import ImageFolder
from leakfront.harness.monitor import LeakMonitor
from leakfront.harness.training.loop import to_unit_range
from leakfront.models.contract import DiffusionModel
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.models.unet import UNet

SHAPE, EMA = (3, 32, 32), 0.999
RATIO = 1 / 3  # of d1 to d2


@dataclass(frozen=True)
class Trial:
    """A network and how it is trained."""

    model: dict[str, Any]
    learning_rate: float = 1e-3
    batch_size: int = 32


TRIALS = {
    "pixels": Trial({"channels": (32, 64)}),
    "patch 2": Trial({"channels": (64, 128), "patch": 2}),
    "patch 2, EDM": Trial({"channels": (64, 128), "patch": 2, "prediction": "edm"}),
    "patch 2, v": Trial({"channels": (64, 128), "patch": 2, "prediction": "v_prediction"}),
    "patch 2, EDM, wide": Trial({"channels": (128, 256), "patch": 2, "prediction": "edm"}),
    "patch 4": Trial({"channels": (128, 256), "patch": 4}),
    "patch 4, EDM": Trial({"channels": (128, 256), "patch": 4, "prediction": "edm"}),
    "patch 4, EDM, fast": Trial({"channels": (128, 256), "patch": 4, "prediction": "edm"}, learning_rate=3e-3),
    "patch 4, EDM, small batches": Trial({"channels": (128, 256), "patch": 4, "prediction": "edm"}, batch_size=8),
}


@dataclass(frozen=True)
class Budget:
    """Settings that all networks share; groups: the first members, each `copies` times in the training set."""

    seconds: float = 300.0
    images: int = 300
    groups: int = 30
    copies: int = 10
    samples: int = 512
    sampling_steps: int = 20
    seed: int = 0


@dataclass
class Trained:
    """What a training came to; seconds: CPU time."""

    model: DiffusionModel
    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


def main() -> None:
    """Measure what the file does not have yet, one line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="photographs of 32 x 32 pixels, in sub-folders")
    parser.add_argument("--out", type=Path, default=Path("cifar_search.jsonl"))
    parser.add_argument("--networks", nargs="+", choices=TRIALS, default=list(TRIALS))
    for name, default in vars(Budget()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = parser.parse_args()
    budget = Budget(**{name: getattr(given, name) for name in vars(Budget())})
    torch.set_num_threads(1)
    members, decoys = drawn(ImageFolder(given.folder, size=SHAPE[1], mode="rgb").load().images, budget)
    done = read(given.out)
    print("| network | weights | steps | copied members | of them planted | decoys | copies among samples "
          "| excess by extraction | members a core-hour |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    for name in given.networks:
        key = json.loads(json.dumps({"network": name, **vars(TRIALS[name]), "budget": vars(budget)}))
        found = next((line for line in done if line.items() >= key.items()), None)
        if found is None:
            found = {**key, **measured(TRIALS[name], members, decoys, budget)}
            done.append(found)
            given.out.write_text("".join(json.dumps(line) + "\n" for line in done))
        print(row(found), flush=True)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines that are there; one that was cut short by a stop is left out."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def row(found: dict[str, Any]) -> str:
    """A line of the table."""
    return (
        f"| {found['network']} | {found['weights']:,} | {found['steps']:,} | {found['members']} | {found['planted']} "
        f"| {found['decoys']} | {found['copying_samples']} of {found['budget']['samples']} "
        f"| {found['excess']:.1f} [{found['excess_low']:.1f}, {found['excess_high']:.1f}] | {found['per_hour']:.1f} |"
    )


def drawn(images: np.ndarray, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
    """Members and decoys, uint8 [N, C, H, W] each, all different."""
    distinct = np.unique(images.reshape(len(images), -1), axis=0).reshape(-1, *images.shape[1:])
    order = np.random.default_rng(budget.seed).permutation(len(distinct))[: 2 * budget.images]
    members, decoys = np.split(distinct[order], [budget.images])
    return members, decoys


def measured(trial: Trial, members: np.ndarray, decoys: np.ndarray, budget: Budget) -> dict[str, Any]:
    """Train, sample and count."""
    of_member = np.repeat(np.arange(len(members)), np.where(np.arange(len(members)) < budget.groups, budget.copies, 1))
    trained = train(trial, members[of_member], budget)
    samples = sampled(trained.model, budget)
    copied = copied_by(samples, np.concatenate([members, decoys]))
    found, leak = np.unique(copied[copied >= 0]), LeakMonitor(members, decoys)(samples)
    of_members, of_decoys = (found < len(members)).sum(), (found >= len(members)).sum()
    hours = trained.seconds / 3600
    return {
        "weights": sum(weights.numel() for weights in trained.model.parameters().values()),
        "steps": trained.steps,
        "cpu_seconds": round(trained.seconds, 1),
        "loss": float(np.mean(trained.losses[-100:])),
        "members": int(of_members),
        "planted": int((found < budget.groups).sum()),
        "decoys": int(of_decoys),
        "copying_samples": int(((copied >= 0) & (copied < len(members))).sum()),
        "members_before_decoys": leak.members_before_decoys,
        "excess": leak.excess.value,
        "excess_low": leak.excess.low,
        "excess_high": leak.excess.high,
        "per_hour": float(of_members - of_decoys) / hours,
    }


def train(trial: Trial, images: np.ndarray, budget: Budget) -> Trained:
    """Plain steps of Adam until the CPU time is used up, as the harness trains; the model has the averaged weights."""
    from diffusers.training_utils import EMAModel

    result = Trained(UNet(**trial.model).build(SHAPE, 0, budget.seed))
    network: Any = result.model.network
    optimizer = torch.optim.Adam(network.parameters(), lr=trial.learning_rate, fused=True)
    loss, average = result.model.loss(), EMAModel(network.parameters(), decay=EMA, foreach=True)
    generator = torch.Generator().manual_seed(budget.seed)
    condition = torch.zeros(trial.batch_size, dtype=torch.long)
    network.train()
    start = time.process_time()
    while result.seconds < budget.seconds:
        chosen = torch.randint(len(images), (trial.batch_size,), generator=generator)
        value = loss(network, to_unit_range(images[chosen.numpy()]), condition, generator).mean()
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        average.step(network.parameters())
        result.steps, result.seconds = result.steps + 1, time.process_time() - start
        result.losses.append(value.item())
        if not math.isfinite(result.losses[-1]):
            raise SystemExit(f"{trial} diverged at step {result.steps}: leave it out with --networks")
    average.copy_to(network.parameters())
    network.eval()
    return result


def sampled(model: DiffusionModel, budget: Budget) -> np.ndarray:
    """Samples, uint8 [n, C, H, W]."""
    sampler = make_sampler(model, SamplerSettings(steps=budget.sampling_steps), budget.seed)
    batches = [sampler(range(i, min(i + 64, budget.samples))) for i in range(0, budget.samples, 64)]
    return ((torch.cat(batches) + 1) * 127.5).round().to(torch.uint8).numpy()


def copied_by(samples: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """The pool image that each sample copies, int64 [n]; -1 for none."""
    distances, nearest = nearest_neighbours(flatten_unit(samples), flatten_unit(pool), 2)
    return np.where(distances[:, 0] < RATIO * distances[:, 1], nearest[:, 0], -1)


if __name__ == "__main__":
    main()

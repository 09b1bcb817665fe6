"""What a run costs on one device, by the plan: images through the network, operations, and hours at a stated speed.

The plan says how many images go through the network for training (a step counts three forward passes), sampling and
the attacks' queries; early stops and sampler guards share a training. The operations of a forward pass are counted by
torch on the network without memory, a multiplication and an addition as two. Not counted are features, FID, the search
through training images by guards and extraction, gradients of attacks (a query counts one pass), and the data.

With `--network`, passes are those of a published network on its latents, not of the config's own; its autoencoder and
text encoder are not counted. (`leakfront run` does not train on these weights: this says what it would cost.)

The speed is what the device reaches in this network, not what its data sheet says: `python -m benchmarks.gpu` measures
training steps and samples a second. No GPU was used for the number that docs state.

Run: python -m benchmarks.operations CONFIG [--teraflops 40] [--network stable-diffusion-1] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import heapq
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.trainings import longest_of, models_of
from leakfront.harness.plan.workload import probing_work, sampling_work, training_work
from leakfront.harness.settings.file import load_config

# name: of diffusers' UNet2DConditionModel what differs from its defaults, the latents' shape, and that of a text
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, int, int], tuple[int, int]]] = {
    "stable-diffusion-1": ({"cross_attention_dim": 768, "attention_head_dim": 8}, (4, 64, 64), (77, 768)),
}


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="the name of a benchmark, or a path")
    parser.add_argument(
        "--teraflops", type=float, default=40.0, help="10^12 operations a second that the device reaches"
    )
    parser.add_argument(
        "--shape", type=int, nargs=3, default=(3, 32, 32), help="channels, height and width of the images"
    )
    parser.add_argument("--network", choices=NETWORKS, help="instead of the config's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    given = parser.parse_args()
    plan = make_plan(load_config(given.config, tuple(given.set)))
    shape: Any = NETWORKS[given.network][1] if given.network else tuple(given.shape)
    weights, operations = published_call(given.network) if given.network else call(plan, shape)
    print(
        f"{weights / 1e6:.1f} million weights, {operations / 1e9:.2f} x 10^9 operations for one image's forward pass\n"
    )
    print(f"| | forward passes | operations | hours at {given.teraflops:g} x 10^12 a second |\n|---|---:|---:|---:|")
    hours = operations / given.teraflops / 1e12 / 3600  # of a forward pass
    for name, passes in work(plan, shape).items():
        print(f"| {name} | {passes:.3g} | {passes * operations:.3g} | {passes * hours:.1f} |")
    tasks = trainings(plan, shape)
    spread = [f"{number} GPU{'s' * (number > 1)} {longest(tasks, number) * hours:.1f}" for number in (1, 8, 64)]
    what = f"{len(tasks)} trainings, each with what is asked of its models on one GPU"
    print(f"\nHours of its {what}: {', '.join(spread)}.")


def call(plan: Plan, shape: tuple[int, int, int]) -> tuple[int, float]:
    """The weights of the network, and the operations of a forward pass of one image."""
    network: Any = plan.model.build(shape, 0, 0).network
    network.to("meta").eval()
    image, t = torch.zeros(1, *shape, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image, t)
    return sum(weights.numel() for weights in network.parameters()), float(counter.get_total_flops())


def published_call(name: str) -> tuple[int, float]:
    """The same of a network of `NETWORKS`, on one image's latents with one text."""
    from diffusers import UNet2DConditionModel

    settings, latents, text = NETWORKS[name]
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = UNet2DConditionModel(**settings).eval()
        network(torch.zeros(1, *latents), torch.zeros(1, dtype=torch.long), torch.zeros(1, *text))
    return sum(weights.numel() for weights in network.parameters()), float(counter.get_total_flops())


def work(plan: Plan, shape: tuple[int, int, int]) -> dict[str, float]:
    """The forward passes of one image that a run takes, by what it does, and their sum."""
    parts = {
        "training": sum(training_work(plan, model.cell) for model in longest_of(models_of(plan))),
        "sampling": sampling_work(plan) * len(plan.cells),
        "queries": probing_work(plan, shape) * len(plan.cells),
    }
    return {**parts, "all": sum(parts.values())}


def trainings(plan: Plan, shape: tuple[int, int, int]) -> list[float]:
    """The forward passes of each training, its models' samples and queries included."""
    models, of_a_cell = models_of(plan), sampling_work(plan) + probing_work(plan, shape)
    cells = Counter(model.family for model in models for _ in model.cells)
    return [training_work(plan, model.cell) + of_a_cell * cells[model.family] for model in longest_of(models)]


def longest(tasks: Sequence[float], devices: int) -> float:
    """The load of the device that ends last, if each takes the largest task that is left as soon as it is free."""
    loads = [0.0] * devices
    for task in sorted(tasks, reverse=True):
        heapq.heapreplace(loads, loads[0] + task)
    return max(loads)


if __name__ == "__main__":
    main()

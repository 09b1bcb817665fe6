"""`leakfront attack`: attack a model that exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leakfront.cli import completion
from leakfront.cli.run import with_device

if TYPE_CHECKING:
    from leakfront.harness.settings.sections import Config


MEMBERS = click.option(
    "--members", required=True, metavar="DIR", help="Images that the model was trained on.",
    shell_complete=completion.folders,
)  # fmt: skip
DECOYS = click.option(
    "--decoys", required=True, metavar="DIR", help="Images of the same distribution that it never saw.",
    shell_complete=completion.folders,
)  # fmt: skip


@click.command()
@click.argument("pipeline", metavar="PIPELINE", shell_complete=completion.folders)
@MEMBERS
@DECOYS
@click.option("--reference", metavar="DIR", help="Images that are neither, for FID.  [default: no FID]",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--captions", metavar="FILE", help="Captions of all images: .jsonl or .csv with file_name and text."
              "  [default: those in the folders]", shell_complete=completion.folders)  # fmt: skip
@click.option("--lora", metavar="FILE", help="A LoRA on PIPELINE, in safetensors.", shell_complete=completion.folders)
@click.option("--base", metavar="DIR", help="The pipeline that PIPELINE was fine-tuned from.",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--prompts", type=click.IntRange(min=1), metavar="N",
              help="Ask for N captions again and again, those that the model picks out.  [default: all]")  # fmt: skip
@click.option("--generations", type=click.IntRange(min=2), metavar="N",
              help="Ask for each caption N times, to extract by caption.")  # fmt: skip
@click.option("--guidance", type=float, help="Scale of classifier-free guidance.  [default: 7.5 with captions]")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]),
              help="Precision of a text-to-image model.  [default: float32]")  # fmt: skip
@click.option("--offload", is_flag=True, help="Keep text encoders and autoencoder off the GPU while they are not used.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/attack-NAME]")
@click.option("--suite", default="quick-v2", show_default=True, help="The attacks: quick-v2 or v2 (before: quick, v1).",
              shell_complete=completion.suites)  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, as in run.",
              shell_complete=completion.settings)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: as in run]")
@click.option("--device", help="cpu, cuda or cuda:N.")
@click.option("--dry-run", is_flag=True, help="Print the plan with memory and time, and run nothing.")
def attack(
    pipeline: str,
    members: str,
    decoys: str,
    reference: str | None,
    out: Path | None,
    suite: str,
    overrides: tuple[str, ...],
    workers: int | None,
    device: str | None,
    dry_run: bool,
    **options: Any,
) -> int:
    """Attack a model you already have.

    PIPELINE is a folder of diffusers in safetensors: a UNet2DModel with its scheduler (a pipeline, a checkpoint of a
    training script, or a snapshot of the hub's cache), or a Stable Diffusion pipeline, which is asked with the captions
    of the images. Nothing in it is run, and only the run's folder is written to.
    Members and decoys must differ in nothing but membership: attacks measure any other difference as leakage. Lines in
    front of the table say whether the model was read rightly, and what a control finds that never sees the model: it is
    fitted on the images and on the facts of their files.
    """
    from leakfront.harness.settings.external import external_config
    from leakfront.harness.settings.external_text import as_overrides

    changes = with_device((*as_overrides(pipeline, options), *overrides), device)
    settings = external_config(pipeline, members, decoys, reference, suite, changes)
    if dry_run:
        from rich.console import Console

        from leakfront.harness.dry_run import print_plan
        from leakfront.harness.execution.devices import default_workers
        from leakfront.harness.store.layout import Layout

        layout = Layout(out or Path("runs") / settings.name)
        print_plan(settings, layout, workers or default_workers(settings), Console(soft_wrap=True))
        return 0
    return carry_out(settings, out, workers)


def carry_out(settings: Config, out: Path | None, workers: int | None) -> int:
    """Carry out a run of known members and decoys, and print its table."""
    from rich.console import Console

    from leakfront.harness.execution.devices import default_workers
    from leakfront.harness.run import run as run_benchmark
    from leakfront.harness.show import print_numbers
    from leakfront.harness.store.layout import Layout
    from leakfront.results.run.data import RunData

    layout, console = Layout(out or Path("runs") / settings.name), Console(soft_wrap=True)
    result = run_benchmark(settings, layout, workers or default_workers(settings), console)
    print_numbers(RunData(layout.root), console)
    return 1 if result.diverged or result.failed else 0

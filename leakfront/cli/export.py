"""`leakfront export`: a run's numbers for a tracker of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from leakfront.cli import completion


@click.command()
@click.argument("run_folder", metavar="RUN", shell_complete=completion.folders)
@click.option("--to", required=True, type=click.Choice(["tensorboard", "wandb", "trackio"]), help="The tracker.")
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder of TensorBoard's file, or of wandb's.  [default: tensorboard/NAME, wandb's]")  # fmt: skip
@click.option("--project", help="Project of wandb or Trackio.  [default: leakfront]")
def export(run_folder: str, to: Any, out: Path | None, project: str | None) -> None:
    """Hand a run's numbers and settings to a tracker of experiments.

    Every row's number and the ends of its interval, and the config without secrets and absolute paths. wandb uploads
    them unless WANDB_MODE=offline; TensorBoard keeps them here, and so does Trackio unless it is set up otherwise.
    """
    from leakfront.harness.export import export_run
    from leakfront.harness.store.run_folder import find_run

    click.echo(export_run(find_run(run_folder), to, out, project))

"""`leakfront samples`: judge generated images alone."""

from __future__ import annotations

from pathlib import Path

import click

from leakfront.cli import completion
from leakfront.cli.attack import DECOYS, MEMBERS, carry_out
from leakfront.cli.run import with_device


@click.command()
@click.argument("generated", metavar="GENERATED", shell_complete=completion.folders)
@MEMBERS
@DECOYS
@click.option("--reference", metavar="DIR", help="Images that are neither, for quality.  [default: no quality]",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/samples-NAME]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, as in run.",
              shell_complete=completion.settings)  # fmt: skip
@click.option("--device", help="cpu, cuda or cuda:N.")
def samples(
    generated: str,
    members: str,
    decoys: str,
    reference: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
) -> int:
    """Judge generated images alone, without their model.

    GENERATED is a folder of images that a model made. Extraction looks for members among them, and distance metrics
    compare their distances to members and decoys. Attacks that query the model are left out. With a reference, FID,
    KID, precision, recall, density and coverage are measured as far as there are enough images.
    """
    from leakfront.harness.settings.external import SUITE_OF_IMAGES, external_config

    changes = with_device(overrides, device)
    settings = external_config(None, members, decoys, reference, SUITE_OF_IMAGES, changes, generated=generated)
    return carry_out(settings, out, workers=1)

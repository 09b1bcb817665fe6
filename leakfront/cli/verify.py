"""`leakfront verify`: check the files of a run."""

from __future__ import annotations

import click

from leakfront.cli import completion


@click.command()
@click.argument("run_folder", metavar="RUN", shell_complete=completion.folders)
def verify(run_folder: str) -> int:
    """Check every artifact of a run against its checksum."""
    from leakfront.harness.store.integrity import verify as verify_files
    from leakfront.harness.store.run_folder import find_run

    layout = find_run(run_folder)
    checked, faults = verify_files(layout, layout.cells, layout.models)
    for fault in faults:
        click.echo(f"{fault.artifact}: {fault.what}" if fault.artifact != "." else fault.what, err=True)
    click.echo(f"{checked} files checked, {len(faults)} missing or changed")
    return 1 if faults else 0

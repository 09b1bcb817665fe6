"""`leakfront clean`: remove what a run no longer uses."""

from __future__ import annotations

import click

from leakfront.cli import completion


@click.command()
@click.argument("run_folder", metavar="RUN", shell_complete=completion.folders)
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
def clean(run_folder: str, dry_run: bool) -> None:
    """Remove models and cells that a run's config no longer uses."""
    from leakfront.harness.clean import clean as clean_run
    from leakfront.harness.store.run_folder import find_run

    layout = find_run(run_folder)
    removed = clean_run(layout, dry_run)
    for path, size in removed:
        click.echo(f"{path.relative_to(layout.root)}  {size / 2**20:.1f} MiB")
    total = sum(size for _, size in removed) / 2**20
    click.echo(f"{len(removed)} folders {'can be removed' if dry_run else 'removed'}, {total:.1f} MiB")

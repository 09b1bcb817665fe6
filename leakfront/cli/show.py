"""`leakfront show`: the table of a run in the terminal."""

from __future__ import annotations

import click

from leakfront.cli import completion


@click.command()
@click.argument("run_folder", metavar="RUN", shell_complete=completion.folders)
def show(run_folder: str) -> None:
    """Print the table of a run."""
    from rich.console import Console

    from leakfront.errors import InputError
    from leakfront.harness.store.integrity import check_results, is_sealed
    from leakfront.harness.store.run_folder import find_run

    layout = find_run(run_folder)
    if not (layout.root / "results.csv").is_file():
        raise InputError(f"{run_folder} holds no results yet; finish it with: leakfront run")
    check_results(layout)
    from leakfront.harness.show import print_numbers
    from leakfront.results.run.data import RunData
    from leakfront.results.run.state import UNFINISHED

    run, console = RunData(layout.root, finished=is_sealed(layout)), Console()
    if not run.finished:
        console.print(UNFINISHED, highlight=False, markup=False)
    print_numbers(run, console)

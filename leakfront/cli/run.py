"""`leakfront run`: train, attack, measure, report."""

from __future__ import annotations

from pathlib import Path

import click

from leakfront.cli import completion


@click.command()
@click.argument("config", default="digits", shell_complete=completion.benchmarks)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/NAME]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, e.g. training.steps=500.",
    shell_complete=completion.settings,
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: one per core or GPU]")
@click.option("--ray", metavar="ADDRESS", help="Run on a Ray cluster: HOST:PORT of its head node, auto, or local.")
@click.option("--device", help="cpu, cuda or cuda:N.")
@click.option("--smoke", is_flag=True, help="Shrink everything to test that it runs; the numbers mean nothing.")
@click.option("--dry-run", is_flag=True, help="Print the plan with a time estimate, and run nothing.")
def run(
    config: str,
    out: Path | None,
    overrides: tuple[str, ...],
    workers: int | None,
    ray: str | None,
    device: str | None,
    smoke: bool,
    dry_run: bool,
) -> int:
    """Train, attack, measure, report.

    CONFIG is a TOML file, the name of a bundled benchmark, or the folder of a run that goes on; `studies` runs all
    bundled studies, `studies/NAME` one of them. Finished work is kept: a stopped run resumes, and adding a defense
    trains that defense only.
    """
    if config == "studies" or config.startswith("studies/") or config.endswith(".toml"):
        from leakfront.harness.studies.run import asks_for_studies, run_studies

        if asks_for_studies(config):
            from rich.console import Console

            if ray is not None:
                raise click.UsageError("studies run on this machine: leave out --ray")
            changes = with_device(overrides, device)
            whole = run_studies(config, out, changes, smoke, workers, Console(soft_wrap=True), dry_run)
            return 0 if whole else 1
    from leakfront.harness.held import config_and_folder

    settings, layout = config_and_folder(config, out, with_device(overrides, device), smoke)
    from rich.console import Console

    from leakfront.harness.execution.devices import default_workers

    count, cluster = workers or default_workers(settings), None
    if ray is not None:
        from leakfront.harness.execution.ray_cluster import join

        if workers is not None and ray != "local":
            raise click.UsageError("leave out --workers with --ray ADDRESS: the nodes' resources decide how many run")
        cluster = join(ray, settings.execution, count)
        count = cluster.slots
    console = Console(soft_wrap=True)
    if dry_run:
        from leakfront.harness.dry_run import print_plan

        print_plan(settings, layout, count, console)
        return 0
    from leakfront.harness.run import run as run_benchmark

    result = run_benchmark(settings, layout, count, console, cluster)
    return 1 if result.diverged or result.failed else 0


def with_device(overrides: tuple[str, ...], device: str | None) -> tuple[str, ...]:
    """The changed settings, and that of the device."""
    return overrides if device is None else (*overrides, f"execution.device={device}")

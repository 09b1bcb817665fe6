"""Run the stress tests and print their counts. Run: python -m stress [NAME ...] [--seed N] [--budget SHARE]."""

from __future__ import annotations

import pkgutil
import sys
import time
from importlib import import_module

import click

import stress


def kinds() -> list[str]:
    """The modules of this package that define `run`, one for each kind of fault."""
    names = [module.name for module in pkgutil.iter_modules(stress.__path__) if module.name != "__main__"]
    return [name for name in names if hasattr(import_module(f"stress.{name}"), "run")]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(kinds()))
@click.option("--seed", type=int, help="Seed of all random choices.  [default: the time]")
@click.option("--budget", type=float, default=1.0, show_default=True, help="Share of the full number of cases.")
def main(names: tuple[str, ...], seed: int | None, budget: float) -> None:
    """Disturb runs with every kind of fault, or with those in NAMES. Exit code 1 if a run did not survive."""
    seed = int(time.time()) if seed is None else seed
    click.echo(f"seed {seed}, budget {budget:g}")
    failed = 0
    for name in names or kinds():
        started = time.monotonic()
        counts = import_module(f"stress.{name}").run(seed, budget)
        tried = ", ".join(f"{number} {what}" for what, number in counts.tried.items())
        click.echo(f"{name}: {tried}; {len(counts.failures)} failed ({time.monotonic() - started:.0f} s)")
        for line in [*counts.notes, *(f"FAILED {failure}" for failure in counts.failures)]:
            click.echo(f"  {line}")
        failed += len(counts.failures)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

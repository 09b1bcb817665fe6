"""`leakfront gate`: a verdict on a run."""

from __future__ import annotations

from pathlib import Path

import click

from leakfront.cli import completion


@click.command()
@click.argument("run_folder", metavar="RUN", shell_complete=completion.folders)
@click.argument("gate_file", metavar="[GATE]", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path),
              help="File of the verdict.  [default: verdict.json in the run's folder]")  # fmt: skip
def gate(run_folder: str, gate_file: Path | None, out: Path | None) -> int:
    """Judge a run by a gate: pass, fail or undecided. Exit code 3 if it fails.

    GATE is a TOML file of rules; without it, the rules that verdict.json in the run's folder states, or the default
    ones. Each rule compares the unfavourable end of an interval with a limit. An undecided rule names the number of
    members that would decide it. The report states the verdict when it is drawn again: leakfront report RUN.
    """
    from leakfront.harness.decision import verdict_of, write_verdict
    from leakfront.harness.report import written_elsewhere
    from leakfront.harness.store.run_folder import find_run
    from leakfront.results.run.data import RunData
    from leakfront.results.verdict.gate import VERDICT, read_gate
    from leakfront.results.verdict.sentences import headline, lines
    from leakfront.results.verdict.untried import untried

    layout = find_run(run_folder)
    verdict = verdict_of(layout, read_gate(gate_file) if gate_file is not None else None)
    click.echo(headline(verdict))
    for _, subject, text in lines(verdict):
        click.echo(f"  {subject}: {text}" if text else f"  {subject}")
    click.echo("Not tried:")
    for text in untried(RunData(layout.root), verdict.gate):
        click.echo(f"  * {text}")
    path = out or layout.root / VERDICT
    with written_elsewhere(path):
        write_verdict(layout, verdict, path)
    return 3 if verdict.fails else 0

"""The command line: a file for each command, which imports only what it needs, when it runs."""

from leakfront.cli import attack, clean, export, gate, report, run, samples, show, verify
from leakfront.cli.group import main
from leakfront.cli.look_up import list_plugins, schema

__all__ = ["main"]

for command in (
    attack.attack,
    clean.clean,
    export.export,
    gate.gate,
    report.report,
    run.run,
    samples.samples,
    show.show,
    verify.verify,
    list_plugins,
    schema,
):
    main.add_command(command)

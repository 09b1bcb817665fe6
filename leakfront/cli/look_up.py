"""The commands that say what a config can hold: `leakfront list` and `leakfront schema`."""

from __future__ import annotations

import json

import click

from leakfront.cli import completion

ROOMS = ("defenses", "attacks", "metrics", "features", "models", "datasets")  # of harness.rooms, not imported here


@click.command("list")
@click.argument("what", required=False, type=click.Choice(ROOMS))
@click.argument("name", required=False, shell_complete=completion.plugins)
@click.option("--json", "as_json", is_flag=True, help="For programs: summary, package and parameters of each plug-in.")
def list_plugins(what: str | None, name: str | None, as_json: bool) -> None:
    """List the plug-ins that a config can name, with one line on each.

    With WHAT their parameters too, with NAME those of one plug-in. A plug-in of another package is loaded, and its
    parameters are shown, only if it is named.
    """
    from leakfront.harness.listing import listing, print_listing

    if as_json:
        click.echo(json.dumps(listing(what, name), indent=2))
    else:
        print_listing(what, name)


@click.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors.

    The plug-ins of installed packages are part of it, and are loaded for it. A config names the file in its first
    line: #:schema ./schema.json
    """
    from leakfront.harness.schema.config import config_schema

    found, not_loaded = config_schema()
    click.echo(json.dumps(found, indent=1))
    for sentence in not_loaded:
        click.echo(sentence, err=True)

"""The command `leakfront`, and how it says what went wrong."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from leakfront.memory import collect_less
from leakfront.version import __version__

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Sentences(click.Group):
    """Shows an error as one sentence and exits with the documented code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        from leakfront.errors import InputError, StageError

        debug = "--debug" in sys.argv
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            sys.exit(2)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; finished work is kept, and the same command resumes from there", err=True)
            sys.exit(130)
        except InputError as error:
            if debug:
                raise
            for sentence in error.sentences:
                click.echo(f"error: {sentence}", err=True)
            sys.exit(2)
        except (OSError, StageError) as error:
            if debug:
                raise
            click.echo(f"error: {_system_sentence(error) if isinstance(error, OSError) else error}", err=True)
            sys.exit(1)
        sys.exit(code or 0)


def _system_sentence(error: OSError) -> str:
    """The error of the system, and what to do about it."""
    from leakfront.errors import is_of_disk

    what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    if is_of_disk(error):
        return f"{what}; finished work is kept: free some space or make the folder writable, and run the command again"
    return f"{what} (leakfront --debug shows where)"


@click.group(cls=_Sentences, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="leakfront")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Measure what a privacy defense for image diffusion models buys.

    Exit codes: 0 done, 1 some models failed or diverged or the disk is full, 2 the input was wrong, 3 a gate failed,
    130 interrupted (finished work is kept).
    """
    collect_less()

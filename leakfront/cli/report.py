"""`leakfront report`: draw tables and figures again."""

from __future__ import annotations

from pathlib import Path

import click

from leakfront.cli import completion


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=completion.folders)
@click.option(
    "--out", type=click.Path(path_type=Path),
    help="Folder of the report.  [default: RUN/report or RUN/shareable; of several runs: report or shareable]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Merge runs that differ in suite or protocol; the report says how.")
@click.option("--theme", type=click.Choice(["paper", "talk"]), default="paper", show_default=True,
              help="Figures for a paper column, or for slides (16:9, larger type, wider lines).")  # fmt: skip
@click.option("--marks", type=click.Path(path_type=Path), metavar="FILE",
              help="The marks.csv of the sheet of copies: draw precision and recall from it, too.")  # fmt: skip
@click.option("--shareable", is_flag=True,
              help="Leave out pictures of images, paths, and names of files, folders and users.")  # fmt: skip
def report(
    runs: tuple[str, ...], out: Path | None, force: bool, theme: str, marks: Path | None, shareable: bool
) -> None:
    """Redraw tables and figures; several runs share one report.

    The folder of a study, or of several, gets a report over the studies. With --shareable, a report of its own that may
    be given away; it says what it leaves out.
    """
    from leakfront.errors import InputError
    from leakfront.harness.report import SHAREABLE, draw_report, draw_shareable, written_elsewhere
    from leakfront.harness.store.run_folder import find_run
    from leakfront.harness.studies.folder import studies_in
    from leakfront.harness.studies.report import draw_studies

    if shareable and marks is not None:
        raise InputError("a report that may be shared has no marks; leave out --marks or --shareable")
    if len(runs) == 1 and studies_in(Path(runs[0])):
        if shareable or marks is not None or force:
            raise InputError("a report over studies shows no images; leave out --shareable, --marks and --force")
        place = out or Path(runs[0]) / "report"
        with written_elsewhere(place):
            click.echo(draw_studies(Path(runs[0]), place, theme))
        return
    layouts = [find_run(folder) for folder in runs]
    name = SHAREABLE if shareable else "report"
    folder = out or (layouts[0].root / name if len(layouts) == 1 else Path(name))
    with written_elsewhere(folder):
        if not shareable:
            click.echo(draw_report(layouts, folder, force, theme, marks=marks))
            return
        page, left_out = draw_shareable(layouts, folder, force, theme)
    click.echo(page)
    click.echo("\n".join(["It leaves out:", *(f"* {sentence}" for sentence in left_out)]), err=True)

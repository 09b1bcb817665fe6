"""The command line. Each command imports only what it needs, when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from leakfront import completion
from leakfront.look_up import list_plugins, schema
from leakfront.memory import collect_less
from leakfront.version import __version__

if TYPE_CHECKING:
    from leakfront.harness.settings.sections import Config

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


@main.command()
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
            changes = _with_device(overrides, device)
            whole = run_studies(config, out, changes, smoke, workers, Console(soft_wrap=True), dry_run)
            return 0 if whole else 1
    from leakfront.harness.held import config_and_folder

    settings, layout = config_and_folder(config, out, _with_device(overrides, device), smoke)
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


@main.command()
@click.argument("pipeline", metavar="PIPELINE", shell_complete=completion.folders)
@click.option("--members", required=True, metavar="DIR", help="Images that the model was trained on.",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--decoys", required=True, metavar="DIR", help="Images of the same distribution that it never saw.",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--reference", metavar="DIR", help="Images that are neither, for FID.  [default: no FID]",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--captions", metavar="FILE", help="Captions of all images: .jsonl or .csv with file_name and text."
              "  [default: those in the folders]", shell_complete=completion.folders)  # fmt: skip
@click.option("--lora", metavar="FILE", help="A LoRA on PIPELINE, in safetensors.", shell_complete=completion.folders)
@click.option("--base", metavar="DIR", help="The pipeline that PIPELINE was fine-tuned from.",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--prompts", type=click.IntRange(min=1), metavar="N",
              help="Ask for N captions again and again, those that the model picks out.  [default: all]")  # fmt: skip
@click.option("--generations", type=click.IntRange(min=2), metavar="N",
              help="Ask for each caption N times, to extract by caption.")  # fmt: skip
@click.option("--guidance", type=float, help="Scale of classifier-free guidance.  [default: 7.5 with captions]")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]),
              help="Precision of a text-to-image model.  [default: float32]")  # fmt: skip
@click.option("--offload", is_flag=True, help="Keep text encoders and autoencoder off the GPU while they are not used.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/attack-NAME]")
@click.option("--suite", default="quick-v2", show_default=True, help="The attacks: quick-v2 or v2 (before: quick, v1).",
              shell_complete=completion.suites)  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, as in run.",
              shell_complete=completion.settings)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: as in run]")
@click.option("--device", help="cpu, cuda or cuda:N.")
@click.option("--dry-run", is_flag=True, help="Print the plan with memory and time, and run nothing.")
def attack(
    pipeline: str,
    members: str,
    decoys: str,
    reference: str | None,
    out: Path | None,
    suite: str,
    overrides: tuple[str, ...],
    workers: int | None,
    device: str | None,
    dry_run: bool,
    **options: Any,
) -> int:
    """Attack a model you already have.

    PIPELINE is a folder of diffusers in safetensors: a UNet2DModel with its scheduler (a pipeline, a checkpoint of a
    training script, or a snapshot of the hub's cache), or a Stable Diffusion pipeline, which is asked with the captions
    of the images. Nothing in it is run, and only the run's folder is written to.
    Members and decoys must differ in nothing but membership: attacks measure any other difference as leakage. Lines in
    front of the table say whether the model was read rightly, and what a control finds that never sees the model: it is
    fitted on the images and on the facts of their files.
    """
    from leakfront.harness.settings.external import external_config
    from leakfront.harness.settings.external_text import as_overrides

    changes = _with_device((*as_overrides(pipeline, options), *overrides), device)
    settings = external_config(pipeline, members, decoys, reference, suite, changes)
    if dry_run:
        from rich.console import Console

        from leakfront.harness.dry_run import print_plan
        from leakfront.harness.execution.devices import default_workers
        from leakfront.harness.store.layout import Layout

        layout = Layout(out or Path("runs") / settings.name)
        print_plan(settings, layout, workers or default_workers(settings), Console(soft_wrap=True))
        return 0
    return _attack(settings, out, workers)


@main.command()
@click.argument("generated", metavar="GENERATED", shell_complete=completion.folders)
@click.option("--members", required=True, metavar="DIR", help="Images that the model was trained on.",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--decoys", required=True, metavar="DIR", help="Images of the same distribution that it never saw.",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--reference", metavar="DIR", help="Images that are neither, for quality.  [default: no quality]",
              shell_complete=completion.folders)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/samples-NAME]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting, as in run.",
              shell_complete=completion.settings)  # fmt: skip
@click.option("--device", help="cpu, cuda or cuda:N.")
def samples(
    generated: str,
    members: str,
    decoys: str,
    reference: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str | None,
) -> int:
    """Judge generated images alone, without their model.

    GENERATED is a folder of images that a model made. Extraction looks for members among them, and distance metrics
    compare their distances to members and decoys. Attacks that query the model are left out. With a reference, FID,
    KID, precision, recall, density and coverage are measured as far as there are enough images.
    """
    from leakfront.harness.settings.external import SUITE_OF_IMAGES, external_config

    changes = _with_device(overrides, device)
    settings = external_config(None, members, decoys, reference, SUITE_OF_IMAGES, changes, generated=generated)
    return _attack(settings, out, workers=1)


def _with_device(overrides: tuple[str, ...], device: str | None) -> tuple[str, ...]:
    return overrides if device is None else (*overrides, f"execution.device={device}")


def _attack(settings: Config, out: Path | None, workers: int | None) -> int:
    """Carry out a run of known members and decoys, and print its table."""
    from rich.console import Console

    from leakfront.harness.execution.devices import default_workers
    from leakfront.harness.run import run as run_benchmark
    from leakfront.harness.show import print_numbers
    from leakfront.harness.store.layout import Layout
    from leakfront.results.run.data import RunData

    layout, console = Layout(out or Path("runs") / settings.name), Console(soft_wrap=True)
    result = run_benchmark(settings, layout, workers or default_workers(settings), console)
    print_numbers(RunData(layout.root), console)
    return 1 if result.diverged or result.failed else 0


@main.command()
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


@main.command()
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


@main.command()
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


@main.command()
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


@main.command()
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


@main.command()
@click.argument("run_folder", metavar="RUN", shell_complete=completion.folders)
@click.option("--to", required=True, type=click.Choice(["tensorboard", "wandb", "trackio"]), help="The tracker.")
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder of TensorBoard's file, or of wandb's.  [default: tensorboard/NAME, wandb's]")  # fmt: skip
@click.option("--project", help="Project of wandb or Trackio.  [default: leakfront]")
def export(run_folder: str, to: Any, out: Path | None, project: str | None) -> None:
    """Hand a run's numbers and settings to a tracker of experiments.

    Every row's number and the ends of its interval, and the config without secrets and absolute paths. wandb uploads
    them unless WANDB_MODE=offline; TensorBoard keeps them here, and so does Trackio unless it is set up otherwise.
    """
    from leakfront.harness.export import export_run
    from leakfront.harness.store.run_folder import find_run

    click.echo(export_run(find_run(run_folder), to, out, project))


main.add_command(list_plugins)
main.add_command(schema)


if __name__ == "__main__":
    main()

"""Run studies one after another into one folder, and draw one report over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from leakfront.configs import STUDIES, bundled_studies
from leakfront.errors import InputError
from leakfront.harness.dry_run import print_plan
from leakfront.harness.execution.devices import default_workers
from leakfront.harness.plan.make import make_plan
from leakfront.harness.run import run
from leakfront.harness.store.layout import Layout
from leakfront.harness.studies.folder import StudyFolder, studies_in
from leakfront.harness.studies.load import LoadedStudy, check_models, is_study, load_study
from leakfront.harness.studies.report import draw_studies

ALL = STUDIES  # the name under which all bundled studies are run


def asks_for_studies(source: str) -> bool:
    """Whether `leakfront run` is asked for studies: "studies", or a benchmark with a section `study`."""
    if source in (ALL, *bundled_studies()):
        return True
    return Path(source).is_file() and is_study(source)


def run_studies(
    source: str,
    out: Path | None,
    overrides: tuple[str, ...],
    smoke: bool,
    workers: int | None,
    console: Console,
    dry_run: bool = False,
) -> bool:
    """Run one study, or all that are bundled, and draw the report over them; finished work is kept.

    source: "studies", the name of a bundled study, or a TOML file. out: the study's folder, by default
    runs/studies/NAME, or the folder of all, by default runs/studies. Studies whose folders lie beside each other share
    what they have in common. workers: processes, by default as many as fit. dry_run: print the plans, run nothing.
    Returns whether every model was trained and attacked. Raises `InputError`.
    """
    several = source == ALL
    studies = [load_study(name, overrides, smoke) for name in (bundled_studies() if several else [source])]
    studies.sort(key=_longest, reverse=True)  # a shorter training of another study is the beginning of a longer one
    root = out or Path("runs") / STUDIES
    folders = [StudyFolder(root / s.name if several or out is None else root) for s in studies]
    for study, folder in zip(studies, folders, strict=True):
        plans = {arm: make_plan(config, folder.arm(arm)) for arm, config in study.arms.items()}
        if not smoke:  # which may shorten what a defense is named by
            check_models(study.study, plans)
    if dry_run:
        for study, folder in zip(studies, folders, strict=True):
            for arm, config in study.arms.items():
                print_plan(config, folder.arm(arm), workers or default_workers(config), console)
        return True
    whole = True
    for study, folder in zip(studies, folders, strict=True):
        whole &= _run_one(study, folder, workers, console)
    where = root if several else folders[0].root
    console.print(f"the report over the studies is {draw_studies(where, where / 'report')}", highlight=False)
    return whole


def _longest(study: LoadedStudy) -> int:
    """The steps of a study's longest training; 0 if they are given in epochs."""
    return max(config.training.steps or 0 for config in study.arms.values())


def _run_one(study: LoadedStudy, folder: StudyFolder, workers: int | None, console: Console) -> bool:
    """Run the arms of a study that are not finished."""
    folder.write(study)
    whole = True
    for arm, config in study.arms.items():
        layout = folder.arm(arm)
        done = run(config, layout, workers or default_workers(config), console, report=False, others=_beside(layout))
        whole &= not (done.diverged or done.failed)
    return whole


def _beside(layout: Layout) -> Sequence[Layout]:
    """The runs of the same study, and of the studies beside it."""
    study = layout.root.parent
    around = {found.root.resolve(): found for found in [*studies_in(study.parent), StudyFolder(study)]}
    arms: list[Layout] = []
    for found in around.values():
        try:
            arms += found.arms.values()
        except InputError:  # the study beside is of another version; nothing is taken from it
            continue
    return [arm for arm in arms if arm.root.resolve() != layout.root.resolve() and arm.root.is_dir()]

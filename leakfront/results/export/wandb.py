"""To Weights & Biases: one run whose only step has all numbers, and the settings as its config."""

from __future__ import annotations

from pathlib import Path

from leakfront.errors import InputError
from leakfront.results.export.numbers import Export


def send(export: Export, project: str, folder: Path | None) -> None:
    """Log to a project; online, offline or not at all as wandb is set up (WANDB_MODE).

    Of its own accord wandb records the command line, packages, code, git state, output, machine and its load; the
    settings here turn that off. folder: where wandb keeps its files, by default where it is set up to. Raises
    `InputError` if wandb does not start a run, as where nobody is logged in.
    """
    import wandb

    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        save_code=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # else wandb takes a temporary one
    place = str(folder) if folder is not None else None
    try:
        run = wandb.init(project=project, name=export.name, config=export.settings, dir=place, settings=settings)
    except wandb.Error as error:
        raise InputError(
            f"wandb starts no run ({error}); log in with: wandb login, or set WANDB_MODE=offline"
        ) from None
    try:
        run.log(export.numbers)
    finally:
        run.finish()

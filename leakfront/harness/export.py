"""A finished run in a tracker of experiments, for `leakfront export`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from leakfront.errors import InputError
from leakfront.harness.store.integrity import check_results
from leakfront.harness.store.layout import Layout
from leakfront.labels import is_name

Tracker = Literal["tensorboard", "wandb", "trackio"]
PROJECT = "leakfront"


def export_run(layout: Layout, to: Tracker, folder: Path | None = None, project: str | None = None) -> str:
    """Hand a finished run's numbers and settings to a tracker; returns a sentence on what was done.

    to: its library is imported here, and no other. folder: of TensorBoard's event file (by default tensorboard/NAME),
    or for the files of wandb. project: of wandb or Trackio, "leakfront" by default. Raises `InputError` for a run that
    is unfinished or damaged, a library that is not installed, and a folder or project without effect.
    """
    if folder is not None and to == "trackio":
        raise InputError("--out has no effect on trackio; set TRACKIO_DIR to the folder for its files")
    if project is not None and to == "tensorboard":
        raise InputError("--project has no effect on tensorboard, which has no projects; give the folder with --out")
    if not (layout.root / "results.csv").is_file() or not (layout.root / "run.json").is_file():
        raise InputError(f"{layout.root} holds no results yet; finish it with: leakfront run")
    check_results(layout)
    if not _is_installed(to):
        raise InputError(f'--to {to} needs the package {to}, an extra: pip install "leakfront[{to}]"')
    from leakfront.results.export.numbers import exported
    from leakfront.results.run.data import RunData

    export = exported(RunData(layout.root))
    if to == "tensorboard":
        from leakfront.results.export import tensorboard

        if folder is None and not is_name(export.name):  # of a run from somebody else, which must not lead elsewhere
            raise InputError(f"{layout.root} calls its run {export.name!r}, which names no folder; give one with --out")
        folder = folder or Path("tensorboard") / export.name
        tensorboard.write(export, folder)
        where = f"{folder}; show it with: tensorboard --logdir {folder}"
    elif to == "wandb":
        from leakfront.results.export import wandb

        wandb.send(export, project or PROJECT, folder)
        where = f"the wandb project {project or PROJECT}"
    else:
        from leakfront.results.export import trackio

        trackio.send(export, project or PROJECT)
        where = f"the Trackio project {project or PROJECT}; show it with: trackio show --project {project or PROJECT}"
    left_out = f" ({export.left_out} rows without a finite number are left out)" if export.left_out else ""
    return f"{len(export.numbers)} numbers{left_out} in {where}"


def _is_installed(library: str) -> bool:
    """Whether a package is installed, not only a folder of this name at hand, as wandb makes one for its files."""
    spec = find_spec(library)
    return spec is not None and spec.origin is not None

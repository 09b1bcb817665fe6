"""Where the files of a model lie: in a pipeline, a flat folder, a checkpoint of a training script, a hub cache.

Links are followed only inside the folder that the user named, and from a snapshot of the hub's cache into the `blobs`
of the same repository.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from leakfront.errors import InputError

INDEX, CONFIG, SCHEDULER = "model_index.json", "config.json", "scheduler_config.json"
PARTS = ("unet_ema", "unet")  # of diffusers' training scripts; a pipeline has only the second
POINTER = "is a git-lfs pointer, not the file itself; fetch the file with git lfs pull"
_POINTER = b"version https://git-lfs.github.com/spec/"
CHECKPOINT = re.compile(r"checkpoint-\d+")
_SINGLE = (".safetensors", ".ckpt")  # of whole models in one file
_ID = re.compile(r"[\w.-]+/[\w.-]+")  # of a repository on the hub, or a path of two names
_LISTED = 5  # names in a sentence


@dataclass(frozen=True)
class Places:
    """The files of a model, before any is opened; None for one that is missing.

    home: the folder that the user named; links must not lead out of it. index: model_index.json. config: the network's
    settings, beside its weights. scheduler: the settings of the noise levels, and scheduler_home the folder that its
    links must not leave. notes: what was chosen where a folder holds more than one model.
    """

    home: Path
    index: Path | None
    config: Path | None
    scheduler: Path | None
    scheduler_home: Path
    notes: tuple[str, ...] = ()


def find(folder: Path, faults: list[str]) -> Places:
    """The places of a model's files in a folder, with a sentence in `faults` for each that is missing.

    Raises `InputError` if the folder does not exist.
    """
    require_folder(folder, f"unet/{CONFIG}")
    home = snapshot(folder)
    notes = [] if home == folder else [f"{home.name} is the one snapshot in {folder}"]
    parts = [name for name in PARTS if os.path.lexists(home / name)]
    network: Path | None = None
    if len(parts) == 2:
        chosen = "unet" if os.path.lexists(home / INDEX) else "unet_ema"
        why = "the pipeline's own" if chosen == "unet" else "averaged weights, with which diffusers' scripts sample"
        other = next(name for name in parts if name != chosen)
        network = home / chosen
        notes.append(f"{chosen} was read ({why}); to attack the other weights, give the folder {home / other}")
    elif parts:
        network = home / parts[0]
    elif os.path.lexists(home / CONFIG):
        network = home
    else:
        faults.append(_no_network(home))
    base, scheduler = _scheduler(home, faults)
    if base != home:
        notes.append(f"the noise levels were read from {scheduler}")
    index = home / INDEX if os.path.lexists(home / INDEX) else None
    config = network / CONFIG if network is not None else None
    return Places(home, index, config, scheduler, base, tuple(notes))


def require_folder(folder: Path, file: str) -> None:
    """Raise `InputError` for what is no folder; it says how to come by one. file: what such a folder has in it."""
    if folder.is_dir():
        return
    if folder.is_file():
        remedy = "give the folder of a diffusers pipeline"
        if folder.suffix in _SINGLE:
            remedy = "write it as a folder with diffusers' from_single_file(…).save_pretrained(…), and give that folder"
        raise InputError(f"{folder} is a single file; {remedy}")
    hub = "; a model of the hub is fetched with: hf download ID --local-dir DIR" if _ID.fullmatch(str(folder)) else ""
    raise InputError(f"{folder} does not exist; give the folder of a diffusers pipeline, with a {file} in it{hub}")


def inside(path: Path, home: Path, faults: list[str]) -> Path | None:
    """The regular file at `path`; None with a sentence in `faults` if it is missing, or a link out of `home`."""
    try:
        allowed = leads_inside(path, home) or path.resolve().parent in _blobs(home.resolve())
    except (OSError, RuntimeError) as error:  # a loop of links
        faults.append(f"{path} cannot be resolved: {error}")
        return None
    if not allowed:
        faults.append(
            f"{path} is a link that leads out of the folder, which is not followed; copy the file into the folder"
        )
        return None
    if not path.is_file():
        faults.append(f"{path} {'is no regular file' if os.path.lexists(path) else 'does not exist'}")
        return None
    return path


def leads_inside(path: Path, home: Path) -> bool:
    """Whether a path, with all its links followed, lies in the folder `home`."""
    return path.resolve().is_relative_to(home.resolve())


def is_pointer(path: Path) -> bool:
    """Whether a file is what git-lfs leaves in place of a large file that was not fetched."""
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _scheduler(home: Path, faults: list[str]) -> tuple[Path, Path | None]:
    """The folder with the scheduler, and its settings: `home`, or one above a checkpoint or a part of a model.

    Training scripts write checkpoints without a scheduler, and at their end a pipeline with one above the checkpoints.
    """
    bases = [home]
    while (name := (here := Path(os.path.normpath(bases[-1].absolute()))).name) in PARTS or CHECKPOINT.fullmatch(name):
        bases.append(bases[-1].parent if bases[-1].name == name else here.parent)
    for base in bases:
        for place in (base / "scheduler" / SCHEDULER, base / SCHEDULER):
            if os.path.lexists(place):
                return base, place
    looked = " or ".join(str(base / "scheduler" / SCHEDULER) for base in bases)
    faults.append(
        f"there is no file {looked}, which states the noise levels; write it with save_pretrained of the scheduler "
        "that the model was trained with, or copy it from the pipeline that the training wrote at its end"
    )
    return home, None


def _no_network(home: Path) -> str:
    """Why a folder holds no network, and where there is one."""
    checkpoints = sorted(
        (entry.name for entry in home.iterdir() if CHECKPOINT.fullmatch(entry.name)),
        key=lambda name: int(name.rpartition("-")[2][:18]),
    )
    if checkpoints:
        return f"{home} has checkpoints of a training and no unet; give one of them, such as {home / checkpoints[-1]}"
    return f"{home} is no diffusers pipeline of a UNet2DModel: it has no file unet/{CONFIG}, nor {CONFIG}"


def snapshot(folder: Path) -> Path:
    """The only snapshot in a repository of the hub's cache; any other folder itself."""
    if not ((folder / "snapshots").is_dir() and (folder / "blobs").is_dir()):
        return folder
    snapshots = sorted(entry.name for entry in (folder / "snapshots").iterdir())
    if len(snapshots) != 1:
        listed = ", ".join(snapshots[:_LISTED]) or "none"
        raise InputError(f"{folder} has {len(snapshots)} snapshots ({listed}); give the folder of one of them")
    return folder / "snapshots" / snapshots[0]


def _blobs(home: Path) -> list[Path]:
    """Where the hub's cache keeps the files of a snapshot, if `home` is one or a folder in one; else nothing."""
    snapshots = [place.parent for place in (home, *home.parents) if place.parent.name == "snapshots"]
    return [place.parent / "blobs" for place in snapshots if place.parent.name.startswith("models--")]

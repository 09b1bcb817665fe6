"""What of a run may be shared: which names are private follows from its paths and its user."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath, PureWindowsPath

from leakfront import attacks, datasets, defenses, models
from leakfront.attacks.suites import SUITES
from leakfront.documents import load_toml
from leakfront.harness.machine.user import user_names
from leakfront.harness.plan.external import LABEL
from leakfront.harness.settings.places import paths_at, places
from leakfront.harness.store.integrity import is_sealed
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.private_paths import read_paths
from leakfront.results import features, metrics
from leakfront.results.run.data import RunData
from leakfront.results.run.rows import HELD_OUT, NOISE
from leakfront.results.run.shareable import Shareable
from leakfront.results.run.shown_names import ShownNames

_ROOTS = ("home", "Users")  # whose folders are those of users


def shareable_runs(layouts: Sequence[Layout]) -> list[Shareable]:
    """The runs as they may be shown. Raises `InputError` for a run whose files are not as they should be."""
    runs = [RunData(layout.root, finished=is_sealed(layout)) for layout in layouts]
    data = list(dict.fromkeys(str(run.info.get("dataset", {}).get("checksum")) for run in runs))
    return [
        Shareable(run, _names(run, layout), number, 1 + data.index(str(run.info.get("dataset", {}).get("checksum"))))
        for number, (run, layout) in enumerate(zip(runs, layouts, strict=True), start=1)
    ]


def left_out(runs: Sequence[Shareable]) -> list[str]:
    """What the report of these runs leaves out, in sentences."""
    replaced = list(dict.fromkeys(label for run in runs for label in run.replaced))
    stand_in = ", ".join(f"“{label}”" for label in replaced)
    return [
        "Pictures: no image of the pool and no generated image is shown, nor a figure that has any.",
        "Names of files and subjects on the pages of single images and of the release, and in per_image.csv: numbers "
        "stand for them.",
        "The data: its name, its place, its checksum and the names of its classes. Of the settings, all paths and all "
        "texts that may hold one.",
        f"Labels with a path or the name of a file, a folder of the data or a user: {stand_in} stand for them."
        if replaced
        else "Labels with a path or the name of a file, a folder of the data or a user; there was none.",
        "Why models failed, since errors name files.",
        "Other labels and the title are shown as the config gives them: read them before you share this report. "
        "Numbers, settings, seeds, versions and the kind of machine are shown in full.",
    ]


def _names(run: RunData, layout: Layout) -> ShownNames:
    """What is known of the names of a run."""
    known, users = read_paths(layout), set(user_names())
    folders: set[str] = set()
    keys: set[str] = set(known)
    texts = [*known.values()]
    for config in (run.info.get("config", {}), _held(layout)):
        found = {**places(config), **paths_at(config, known)}
        keys |= set(found)
        texts += found.values()
    for text in texts:
        parts = PureWindowsPath(text).parts if "\\" in text else PurePath(text).parts
        folders |= {name for part in parts for name in (part, PurePath(part).stem)}
        users |= {after for before, after in pairwise(parts) if before in _ROOTS}
    return ShownNames(frozenset(users), frozenset(folders), _public(), frozenset(keys))


def _held(layout: Layout) -> dict[str, object]:
    """The settings in config.toml; empty if it cannot be read."""
    try:
        return load_toml(layout.config)
    except ValueError:
        return {}


def _public() -> frozenset[str]:
    """The names that this package gives."""
    rooms = (attacks, datasets, defenses, models, features, metrics)
    registered = {name for room in rooms for name in room.registry.names() if not room.registry.offered_by(name)}
    return frozenset({*registered, *SUITES, *(label for suite in SUITES.values() for label in suite), LABEL, HELD_OUT,
                      NOISE})  # fmt: skip

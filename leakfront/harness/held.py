"""A run that goes on from its own folder, and the config in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from leakfront.configs import bundled
from leakfront.documents import load_toml
from leakfront.errors import InputError
from leakfront.harness.settings.file import load_config, overridden
from leakfront.harness.settings.places import DATASET, filled, paths_at, places, short_name
from leakfront.harness.settings.sections import Config
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.private_paths import FILE, exists, read_paths
from leakfront.harness.store.run_folder import find_run


def config_and_folder(
    source: str, out: str | Path | None, overrides: tuple[str, ...] = (), smoke: bool = False
) -> tuple[Config, Layout]:
    """The config of a run and its folder.

    source: a TOML file, the name of a bundled benchmark, or the folder of a run that goes on. out: the run's folder, by
    default runs/NAME, or the folder that goes on. overrides, smoke: see `load_config`. Raises `InputError`.
    """
    if source in bundled() or not os.path.isfile(os.path.join(source, "config.toml")):  # noqa: PTH113, PTH118
        settings = load_config(source, overrides, smoke)
        return settings, Layout(Path(out) if out is not None else Path("runs") / settings.name)
    layout = find_run(source)
    if out is not None and Path(out).resolve() != layout.root.resolve():
        raise InputError(f"{source} is the folder of a run, which goes on in it; leave out --out, or give a TOML file")
    return held_config(layout, overrides, smoke), layout


def held_config(layout: Layout, overrides: tuple[str, ...] = (), smoke: bool = False) -> Config:
    """The config in a run's folder, with its paths. Raises `InputError` if it cannot be read, or a path is not known.

    config.toml states the last name of each path; `private-paths.json` holds the paths, unless the folder comes from
    somebody else. `overrides` may state them.
    """
    try:
        held = load_toml(layout.config)
    except ValueError as error:
        raise InputError(
            f"{layout.config} cannot be read ({error}); it must be the file that `leakfront run` wrote"
        ) from None
    held.pop("provenance", None)
    given = {override.partition("=")[0].strip() for override in overrides}
    keys = [key for key in places(held) if not any(f"{key}.".startswith(f"{one}.") for one in given)]
    known = read_paths(layout)
    for key, name in paths_at(held, keys).items():
        known.setdefault(key, name if name != short_name(name) else "")  # earlier versions wrote the whole path
        if not known[key] or not exists(known[key]):
            raise InputError(_missing(layout, held, key, name, known[key]))
    return overridden(filled(held, {key: known[key] for key in keys}), overrides, smoke)


def _missing(layout: Layout, held: dict[str, Any], key: str, name: str, path: str) -> str:
    """The sentence on a path that is not known, or at which there is nothing."""
    kind = f"{held['data']['dataset'].partition(':')[0]}:" if key == DATASET else ""
    problem = (
        f"{layout.root} does not say where {name!r} is ({key}), since there is no {FILE} in it"
        if not path
        else f"{path}, which is {key} of the run in {layout.root}, is not there"
    )
    inside_a_list = any(part.isdigit() for part in key.split("."))
    if inside_a_list:
        return f"{problem}; write its path into {layout.root / FILE}: {{{key!r}: PATH}}".replace("'", '"')
    return f"{problem}; give its path: leakfront run {layout.root} --set {key}={kind}PATH"

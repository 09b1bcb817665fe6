"""A run's folder: which run it holds, and a lock so that only one process writes to it."""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from leakfront.documents import load_toml
from leakfront.errors import InputError, is_of_disk
from leakfront.harness.settings.file import check_values
from leakfront.harness.settings.places import filled, is_alike, paths_at, places, short_name, shortened
from leakfront.harness.settings.sections import Config
from leakfront.harness.store.artifacts import write_atomically
from leakfront.harness.store.durable import make_folder
from leakfront.harness.store.inside import check_no_links, without_links
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.locks import CANNOT, try_lock
from leakfront.harness.store.private_paths import FILE as PATHS
from leakfront.harness.store.private_paths import absolute, is_another, read_paths, write_paths

LOCK = ".lock"
# sections that may change between two runs on one folder: models, attacks and metrics may be added or dropped, and
# executed in another way
_MAY_CHANGE = ("title", "defenses", "attacks", "metrics", "figures", "statistics", "splits", "execution", "probe",
               "suite")  # fmt: skip


def check_compatible(layout: Layout, config: Config) -> None:
    """Raise `InputError` if the folder holds a different run, files that are not a run, or links. Writes nothing."""
    try:
        is_held = layout.config.exists()
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{layout.root} cannot be used ({cause}); give another folder with --out") from None
    if is_held:
        check_no_links(layout.root)
        try:
            held = load_toml(layout.config)
            check_values(held)
        except ValueError as error:
            raise InputError(
                f"{layout.config} is not valid TOML ({error}); delete it if the run there is this one, "
                "or give another folder with --out"
            ) from None
        paths = paths_of(config)
        for key, there, here in _differences(_as_stated(held, paths), resolved(config), ""):
            raise InputError(
                f"{layout.root} holds a different run ({key} is {there!r} there and {here!r} here); give another "
                "folder with --out, or delete it"
            )
        _check_paths(layout, read_paths(layout) or _unshortened(held, paths), paths)
    elif layout.root.is_file():
        raise InputError(f"{layout.root} is a file; give a folder with --out")
    elif layout.root.is_dir() and not all(_is_left_by_a_start(path.name) for path in layout.root.iterdir()):
        raise InputError(f"{layout.root} is not empty and holds no run; give another folder with --out")
    else:
        check_no_links(layout.root)


def _is_left_by_a_start(name: str) -> bool:
    """Whether a run that was killed before it wrote its config leaves a file of this name."""
    begun = name.startswith((".config.toml.", f".{PATHS}.")) and name.endswith((".tmp", ".lock"))
    return name in (LOCK, PATHS) or begun


def _as_stated(held: dict[str, Any], paths: dict[str, str]) -> dict[str, Any]:
    """The settings in a run's folder, with paths as this version and this user state them."""
    stated = paths_at(held, paths)
    names = {k: short_name(paths[k]) if is_alike(text, paths[k]) else short_name(text) for k, text in stated.items()}
    return filled(held, names)


def _unshortened(held: dict[str, Any], paths: dict[str, str]) -> dict[str, str]:
    """The whole paths that an earlier version wrote into config.toml."""
    return {key: absolute(text) for key, text in paths_at(held, paths).items() if text != short_name(text)}


def _check_paths(layout: Layout, known: dict[str, str], paths: dict[str, str]) -> None:
    """Raise `InputError` for data or a model that lies elsewhere than that of the run, unless the latter is gone."""
    for key, there in known.items():
        if key in paths and is_another(there, absolute(paths[key])):
            raise InputError(
                f"{layout.root} holds a different run ({key} is {there!r} there and {absolute(paths[key])!r} here); "
                f"give another folder with --out, or, if both hold the same, delete {layout.root / PATHS}"
            )


def write_config(layout: Layout, config: Config, provenance: dict[str, Any]) -> None:
    """Write config.toml: every setting, defaults included, and the provenance of this session (versions, commit,
    machine).

    Paths are stated by their last names. The paths themselves go to a file of their own; see `private_paths`.
    """
    import tomli_w

    paths = paths_of(config)
    write_paths(layout, paths)
    head = f"# Of each path, this is the last name; the whole paths are in {PATHS}.\n" if paths else ""
    write_atomically(layout.config, head + tomli_w.dumps({**resolved(config), "provenance": provenance}))


def resolved(config: Config) -> dict[str, Any]:
    """All settings in a form that TOML can hold, for files of the run: of each path the last name.

    Settings without a value, and the privacy seed, are left out.
    """
    return shortened(_settings(config))


def paths_of(config: Config) -> dict[str, str]:
    """The paths in a config by their keys, as they were given; see `settings.places`."""
    return places(_settings(config))


def _settings(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude_none=True, exclude={"privacy_seed"})


def _differences(held: Any, wanted: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if not path:
        held = {k: v for k, v in held.items() if k not in (*_MAY_CHANGE, "provenance")}
        wanted = {k: v for k, v in wanted.items() if k not in _MAY_CHANGE}
    if isinstance(held, dict) and isinstance(wanted, dict):
        for key in sorted({*held, *wanted}):
            if f"{path}{key}" not in ("training.checkpoint_seconds", "sampling.batch_size"):
                yield from _differences(held.get(key, {}), wanted.get(key, {}), f"{path}{key}.")
    elif held != wanted:
        yield path.rstrip("."), held or None, wanted or None


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Lock the folder for this process.

    Raises `InputError` if another process uses it (named, with its host), if it is read-only or on a file system that
    cannot lock, or if its lock is a link.
    """
    try:
        make_folder(layout.root)
        opened = without_links(layout.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        if is_of_disk(error) and error.errno != errno.EROFS:
            raise
        raise InputError(
            f"{layout.root} cannot be written to ({error.strerror}: {error.filename}); make it writable or give "
            "another folder with --out"
        ) from None
    with os.fdopen(opened, "a+", errors="replace") as file:
        if not _try_lock(layout, file):
            raise InputError(
                f"{layout.root} is in use by process {_holder(file)}; wait for it or give another folder with --out"
            )
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}")
        file.flush()
        yield


def _try_lock(layout: Layout, file: TextIO) -> bool:
    """Lock the file, unless another process has. Raises `InputError` on a file system that cannot lock."""
    try:
        return try_lock(file.fileno(), layout.root / LOCK)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        raise InputError(
            f"{layout.root} lies on a file system that cannot lock files ({os.strerror(error.errno)}), so two runs "
            "there could not notice each other; give a folder elsewhere with --out, or have it mounted with locks "
            "(Lustre: with flock; NFS: without nolock)"
        ) from None


def _holder(file: TextIO) -> str:
    """The process that holds the lock, and its host: "17 on node-3"; it writes both just after locking."""
    for _ in range(20):
        file.seek(0)
        # a run of an earlier version writes the number alone
        if found := re.fullmatch(r"(\d{1,10})(?: (\S{1,255}))?", file.read(300).strip()):
            return f"{found[1]} on {found[2]}" if found[2] else found[1]
        time.sleep(0.05)
    return "unknown"


def find_run(folder: str) -> Layout:
    """The layout of an existing run. Raises `InputError` if the folder holds none, or links."""
    layout = Layout(Path(folder))
    if not layout.config.is_file():
        raise InputError(f"{folder} holds no run (there is no config.toml in it)")
    check_no_links(layout.root)
    return layout

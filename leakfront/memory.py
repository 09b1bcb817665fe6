"""The memory that this process may use, and how often garbage is sought in it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_PROC = Path("/proc/self")
_LIMITS = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}  # by type of file system, versions 2 and 1


def memory(proc: Path = _PROC) -> int:
    """The memory that this process may use, in bytes: the smallest of RAM, rlimits and the limits of its cgroups.

    rlimits: those on address space and on data (setrlimit). Cgroups: version 1 and 2, the process's own and all above
    it that can be seen; a container has its limit there. proc: the process's folder under /proc.
    """
    return min([_physical(), *_rlimits(), *_of_cgroups(proc)])


def collect_less() -> None:
    """Look less often for garbage in cycles. Imports make a million objects, and the search took a fifth of a start."""
    gc.set_threshold(50_000, 20, 100)


def _physical() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _rlimits() -> Iterator[int]:
    import resource  # not on Windows

    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit = resource.getrlimit(kind)[0]
        if limit not in (resource.RLIM_INFINITY, -1):
            yield limit


def _of_cgroups(proc: Path) -> Iterator[int]:
    """The limits of the process's memory cgroup and of those above it; nothing on systems without cgroups."""
    try:
        mounts = (proc / "mountinfo").read_text().splitlines()
        groups = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
    except OSError:
        return
    path_of = {"cgroup2" if number == "0" else "cgroup": path for number, controllers, path in groups
               if number == "0" or "memory" in controllers.split(",")}  # fmt: skip
    for line in mounts:
        before, _, after = line.partition(" - ")
        (kind, *_, options), (root, point) = after.split(" ", 2), before.split()[3:5]
        if kind in path_of and (kind == "cgroup2" or "memory" in options.split(",")):
            for folder in _from_here_up(Path(point), PurePosixPath(root), PurePosixPath(path_of[kind])):
                with suppress(OSError, ValueError):  # no file at the root, or "max"
                    yield int((folder / _LIMITS[kind]).read_text())


def _from_here_up(point: Path, root: PurePosixPath, path: PurePosixPath) -> Iterator[Path]:
    """The folders of a cgroup and of those above it, in a mount that shows the cgroups below `root` at `point`.

    In a container the path may lie outside what is mounted; then the mount is the container's own group.
    """
    inside = path.relative_to(root) if path.is_relative_to(root) else PurePosixPath()
    for part in (inside, *inside.parents):
        yield point / part

"""A disk whose power fails: what a folder may hold afterwards, at every moment of what is done to it.

Every call that syncs, renames, makes or removes something in the folder is recorded, in its order. A power loss keeps
what was synced. Of the rest it keeps what it likes: of the entries of each folder those up to some moment, whichever
folder came first, and of each file that was not synced its former content, its present one, or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

# of so many possible states of "entries" or a "content", which one; the first keeps the least, the last the most
Choice = Callable[[str, int], int]
Contents = dict[str, bytes | None]  # of files, by their paths; folders have none


@dataclass(eq=False)
class File:
    """A file with the content that is on the disk."""

    durable: bytes = b""


@dataclass(eq=False)
class Folder:
    """A folder with the entries that are on the disk, and the changes since, each made at once."""

    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[dict[str, Node | None]] = field(default_factory=list)

    def entries(self, changes: int | None = None) -> dict[str, Node]:
        """The entries after so many of the pending changes; None: all."""
        found: dict[str, Node | None] = dict(self.durable)
        for change in self.pending[:changes]:
            found.update(change)
        return {name: node for name, node in found.items() if node is not None}


Node = File | Folder
_MOVES = ("rename", "replace")


def write(contents: Contents, place: Path) -> None:
    """Write contents of a disk to the new folder `place`."""
    for name, content in contents.items():
        if content is None:
            (place / name).mkdir()
        else:
            (place / name).write_bytes(content)


class Disk:
    """The disk below `root`. moment: called before each recorded call, and at the end."""

    def __init__(self, root: Path, moment: Callable[[Disk], None]) -> None:
        self.root = root.resolve()
        self.calls: list[str] = []
        self._top = Folder()
        self._moment = moment
        self._paused = False
        self._observe(self._top, self.root)
        self._harden(self._top, self.root)  # all that was there before is on the disk

    @contextmanager
    def recording(self) -> Iterator[Disk]:
        """Record the calls in the block."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("fsync", "rename", "replace", "mkdir", "rmdir", "unlink", "remove"):
                patch.setattr(os, name, self._recorded(name, getattr(os, name)))
            yield self
        self._tell()

    def after_power_loss(self, choose: Choice) -> Contents:
        """What the disk may hold after a loss of power at this moment."""
        return dict(self._left(self._top, self.root, "", choose))

    def _recorded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            paths = [self._path(argument, named.get("dir_fd")) for argument in arguments[: 2 if name in _MOVES else 1]]
            if self._paused or not any(path.is_relative_to(self.root) for path in paths):
                return None if name == "fsync" else real(*arguments, **named)
            self._tell()
            result = None if name == "fsync" else real(*arguments, **named)  # it takes time, and changes nothing here
            self.calls.append(" ".join([name, *(str(path.relative_to(self.root)) for path in paths)]))
            self._note(name, paths)
            return result

        return call

    def _tell(self) -> None:
        self._observe(self._top, self.root)
        self._paused = True
        try:
            self._moment(self)
        finally:
            self._paused = False

    def _note(self, name: str, paths: list[Path]) -> None:
        """Change the disk as the call did."""
        if name == "fsync":
            node = self._node(paths[0])
            if isinstance(node, File):
                node.durable = paths[0].read_bytes()
            else:
                node.durable, node.pending = node.entries(), []
            return
        if name == "mkdir":
            self._folder(paths[0]).pending.append({paths[0].name: Folder()})
            return
        here = self._folder(paths[0])
        moved: dict[str, Node | None] = {paths[0].name: None}
        if len(paths) == 2:
            there, node = self._folder(paths[1]), self._node(paths[0])
            if there is here:
                moved[paths[1].name] = node
            else:
                there.pending.append({paths[1].name: node})
        here.pending.append(moved)

    def _observe(self, folder: Folder, place: Path) -> None:
        """Take note of what came and went without a recorded call: files, by whichever library they were opened."""
        there, known = {entry.name: entry for entry in os.scandir(place)}, folder.entries()
        folder.pending += [{name: None} for name in known if name not in there]
        for name, entry in there.items():
            node = known.get(name)
            if node is None:
                node = Folder() if entry.is_dir(follow_symlinks=False) else File()
                folder.pending.append({name: node})
            if isinstance(node, Folder):
                self._observe(node, place / name)

    def _harden(self, folder: Folder, place: Path) -> None:
        folder.durable, folder.pending = folder.entries(), []
        for name, node in folder.durable.items():
            if isinstance(node, Folder):
                self._harden(node, place / name)
            else:
                node.durable = (place / name).read_bytes()

    def _left(self, folder: Folder, live: Path | None, name: str, choose: Choice) -> Iterator[tuple[str, bytes | None]]:
        """What is left of a folder. live: where it is now; None if it was removed."""
        yield name, None
        where = {id(node): name for name, node in folder.entries().items()}
        for entry, node in folder.entries(choose("entries", len(folder.pending) + 1)).items():
            now = live / where[id(node)] if live is not None and id(node) in where else None
            path = f"{name}/{entry}" if name else entry
            if isinstance(node, Folder):
                yield from self._left(node, now, path, choose)
            else:
                present = now.read_bytes() if now is not None else node.durable
                if present != node.durable:
                    present = (node.durable, b"", present)[choose("content", 3)]
                yield path, present

    def _path(self, argument: Any, dir_fd: int | None) -> Path:
        if isinstance(argument, int):
            return Path(f"/proc/self/fd/{argument}").readlink()
        start = Path.cwd() if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink()
        return Path(os.path.normpath(start / os.fspath(argument)))

    def _folder(self, path: Path) -> Folder:
        node = self._node(path.parent)
        assert isinstance(node, Folder), path
        return node

    def _node(self, path: Path) -> Node:
        node: Node = self._top
        for name in path.relative_to(self.root).parts:
            assert isinstance(node, Folder), path
            node = node.entries()[name]
        return node


def keep_least(what: str, possibilities: int) -> int:
    """Nothing survives that was not synced."""
    return 0


def keep_most(what: str, possibilities: int) -> int:
    """All survives."""
    return possibilities - 1


def keep_names(what: str, possibilities: int) -> int:
    """All entries of folders survive, and files that were not synced are empty."""
    return 1 if what == "content" else possibilities - 1


def keep_any(seed: object) -> Choice:
    """Some survives."""
    rng = Random(str(seed))
    return lambda what, possibilities: rng.randrange(possibilities)

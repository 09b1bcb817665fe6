"""The names by which this machine knows whoever runs the program."""

from __future__ import annotations

import getpass
from contextlib import suppress
from pathlib import Path

# accounts that many machines have; they name no person
_NOBODY = frozenset({
    "admin", "administrator", "app", "debian", "docker", "ec2-user", "fedora", "guest", "home", "jovyan", "nobody",
    "node", "opc", "public", "root", "runner", "tmp", "ubuntu", "user", "users", "vagrant", "worker",
})  # fmt: skip


def user_names() -> frozenset[str]:
    """The login name and the name of the home folder, without those that name no person; empty if there are none."""
    found = set()
    with suppress(OSError, KeyError, ImportError):  # this user has no name
        found.add(getpass.getuser())
    with suppress(RuntimeError):  # nor a home
        found.add(Path.home().name)
    return frozenset(name for name in found if len(name) > 1 and name.lower() not in _NOBODY)

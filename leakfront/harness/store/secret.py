"""The secret behind the random draws of a run's private models: a file of its own in the run's folder.

DP-SGD protects only against those who do not know its noise and its batches. So these draws follow from a secret, and
not from the run's seed, which stands in the config. No other file of the run, no key and no log holds the secret.

Whoever sends a run's folder may know the secret in it. So a secret that this installation did not make is replaced.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Literal

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.harness.store.installation import is_marked, mark
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.private_file import write_private

FILE = "privacy-secret.json"
_USE = "secret"
Origin = Literal["operating system", "privacy_seed"]


@dataclass(frozen=True)
class Secret:
    """The secret of a run, 32 bytes. origin: who drew it.

    before: whether the folder held private models, or the beginnings of some, that may have drawn from another secret,
    which this installation did not make or cannot recognize.
    """

    key: bytes
    origin: Origin
    before: bool = False

    def key_of(self, model: str) -> bytes:
        """The key of all draws of one private model, 32 bytes, by HMAC-SHA256. model: all that sets it apart.

        Keys of different models are independent for everyone who does not know the secret.
        """
        return hmac.digest(self.key, model.encode(), "sha256")


def make_secret(layout: Layout, privacy_seed: int | None, begun: bool = False) -> None:
    """Write the secret of a run, from the operating system or from `privacy_seed`, unless its folder holds one of ours.

    A secret that came from elsewhere is replaced, unless it is that of `privacy_seed`. begun: whether the folder holds
    private models or the beginnings of some. Raises `InputError` if the folder holds another secret than that of
    `privacy_seed`, or a file that cannot be read.
    """
    held = read_secret(layout) if (layout.root / FILE).exists() else None
    if held is not None and privacy_seed is not None:
        if held.key != _of_seed(privacy_seed):
            raise InputError(
                f"{layout.root} holds private models (or their beginnings) of another privacy_seed; give the one that "
                "it was started with, none to go on with it, or another folder with --out"
            )
        return
    if held is not None and _is_own(layout, held):
        return
    key = secrets.token_bytes(32) if privacy_seed is None else _of_seed(privacy_seed)
    origin: Origin = "operating system" if privacy_seed is None else "privacy_seed"
    _write(layout, Secret(key, origin, before=begun or (held is not None and held.before)))


def read_secret(layout: Layout) -> Secret:
    """The secret of a run. Raises `InputError` if there is no file that `make_secret` wrote."""
    path = layout.root / FILE
    try:
        held = load_json(path)
        key, origin = bytes.fromhex(held["key"]), held["origin"]
        if len(key) != 32 or origin not in ("operating system", "privacy_seed"):
            raise ValueError("not the key of a run")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); delete it, and private models that are not finished are trained with a "
            "new secret"
        ) from None
    return Secret(key, origin, before=held.get("before") is True)


def _is_own(layout: Layout, secret: Secret) -> bool:
    """Whether this installation made the secret in a run's folder."""
    found = load_json(layout.root / FILE).get("mark")
    return isinstance(found, str) and found.isascii() and is_marked(_USE, secret.key, found.encode())


def _of_seed(privacy_seed: int) -> bytes:
    return hashlib.sha256(f"leakfront privacy_seed {privacy_seed}".encode()).digest()


def _write(layout: Layout, secret: Secret) -> None:
    """Write the file, for the user's eyes only, with the mark of this installation."""
    made_here = mark(_USE, secret.key)
    held = {"key": secret.key.hex(), "origin": secret.origin, "before": secret.before}
    content = held | ({"mark": made_here.decode()} if made_here is not None else {})
    write_private(layout.root / FILE, json.dumps(content).encode())

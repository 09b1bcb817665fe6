"""The secret behind the random draws of a run's private models: a file of its own in the run's folder.

DP-SGD protects only against those who do not know its noise and its batches. So these draws follow from a secret, and
not from the run's seed, which stands in the config. No other file of the run, no key and no log holds the secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from typing import Literal

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.temporaries import temporary_beside

FILE = "privacy-secret.json"
Origin = Literal["operating system", "privacy_seed"]


@dataclass(frozen=True)
class Secret:
    """The secret of a run, 32 bytes. origin: who drew it."""

    key: bytes
    origin: Origin

    def key_of(self, model: str) -> bytes:
        """The key of all draws of one private model, 32 bytes, by HMAC-SHA256. model: all that sets it apart.

        Keys of different models are independent for everyone who does not know the secret.
        """
        return hmac.digest(self.key, model.encode(), "sha256")


def make_secret(layout: Layout, privacy_seed: int | None) -> None:
    """Write the secret of a run, unless its folder holds one: from the operating system, or from `privacy_seed`.

    Raises `InputError` if the folder holds another secret than that of `privacy_seed`, or a file that cannot be read.
    """
    if not (layout.root / FILE).exists():
        fresh = secrets.token_bytes(32) if privacy_seed is None else _of_seed(privacy_seed)
        origin: Origin = "operating system" if privacy_seed is None else "privacy_seed"
        _write(layout, Secret(fresh, origin))
    elif privacy_seed is not None and read_secret(layout).key != _of_seed(privacy_seed):
        raise InputError(
            f"{layout.root} holds private models (or their beginnings) of another privacy_seed; give the one that it "
            "was started with, none to go on with it, or another folder with --out"
        )


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
    return Secret(key, origin)


def _of_seed(privacy_seed: int) -> bytes:
    return hashlib.sha256(f"leakfront privacy_seed {privacy_seed}".encode()).digest()


def _write(layout: Layout, secret: Secret) -> None:
    """Write the file, for the user's eyes only from its first moment on; it is complete or absent."""
    path = layout.root / FILE
    place = temporary_beside(path)
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"key": secret.key.hex(), "origin": secret.origin}, file)
        file.flush()
        os.fsync(file.fileno())
    place.rename(path)

"""Fixed lists of attacks with fixed settings, so that the results of different studies can be compared.

Whoever changes the settings or the outcome of an attack in a numbered suite makes a new version of that suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakfront.errors import InputError

# the label of an attack in rows -> its parameters, and its name as `attack` where the label differs
Suite = dict[str, dict[str, Any]]

# the paper's attack and the cheapest attack of each kind of membership inference
QUICK: Suite = {
    "extraction": {},
    "loss": {"timesteps": [50, 100, 150, 200, 300], "draws": 2},
    "pia": {"timesteps": [50, 100, 150, 200, 250, 300]},
    "secmi": {},
}

V1: Suite = {
    "blind": {},
    "extraction": {},
    "outlier": {},
    "generate_and_filter": {},
    "side": {},
    "inpainting": {"repeats": 8, "keep": 2, "steps": 10},
    "loss": {},
    "lira_online": {"attack": "lira", "form": "online", "shrink": True},
    "lira_offline": {"attack": "lira", "form": "offline", "shrink": True},
    "lira_strong": {
        "attack": "lira",
        "form": "online",
        "timesteps": [100, 200],
        "draws": 16,
        "flips": True,
        "shrink": True,
    },
    "quantile": {},
    "secmi": {},
    "secmi_learned": {},
    "pia": {},
    "pian": {},
    "sima": {},
    "pfami": {},
    "rediffuse": {},
    "dataset_inference": {},
    "gsa1": {"attack": "gsa", "form": 1},
    "gsa2": {"attack": "gsa", "form": 2},
    "trajectory": {},
}

SUITES: dict[str, Suite] = {"quick": QUICK, "v1": V1}
OWN = "own"


def chosen_attacks(suite: str, attacks: Mapping[str, Mapping[str, Any]]) -> tuple[str, Suite]:
    """The suite's name in results and its attacks, for a config's `suite` and `attacks`.

    Without a suite, the suite is "quick"; if there are attacks, these alone make up the suite "own". A suite with
    additional attacks or changed settings is called "v1, changed". Raises `InputError` for a suite that does not exist.
    """
    if suite and suite not in SUITES:
        raise InputError(f"suite = {suite!r} does not exist (suites: {', '.join(SUITES)})")
    if attacks and not suite:
        return OWN, {label: dict(params) for label, params in attacks.items()}
    name = suite or "quick"
    chosen = SUITES[name]
    own = {label: {**chosen.get(label, {}), **params} for label, params in attacks.items()}
    is_changed = any(chosen.get(label) != params for label, params in own.items())
    return f"{name}, changed" if is_changed else name, {**chosen, **own}

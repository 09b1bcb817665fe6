"""Fixed lists of attacks with fixed settings, so that the results of different studies can be compared.

Whoever changes the settings or the outcome of an attack in a numbered suite makes a new version of that suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leakfront.errors import InputError

# the label of an attack in rows -> its parameters, and its name as `attack` where the label differs
Suite = dict[str, dict[str, Any]]

_BY_FIFTIES = [50, 100, 150, 200, 250, 300]
_BY_TENS = [*range(10, 301, 10)]
_BY_HUNDREDS = [*range(0, 1000, 100)]
_EXTRACTION = {
    "alpha": 0.5, "neighbours": 50, "center": "generated", "distance": 0.15, "tiles": 1, "ratio": 1 / 3,
}  # fmt: skip
# the timestep with the highest AUC on the shadow models, by however little, and smaller errors for members
_AS_BEST: dict[str, Any] = {"signed": False, "margin": 0.0, "calibrated": False}
_SECMI = {"timesteps": [100], "interval": 10, "default_timestep": 100, **_AS_BEST}
_LIRA = {"attack": "lira", "log": True, "shrink": True, "robust": False, "per_example_variance_from": 64}
_GSA = {"attack": "gsa", "timesteps": _BY_HUNDREDS, "classifier": "trees", "calibrated": False, "fresh_noise": False}

# the paper's attack and the cheapest attack of each kind of membership inference
QUICK: Suite = {
    "extraction": _EXTRACTION,
    "loss": {"timesteps": [50, 100, 150, 200, 300], "draws": 2, "default_timestep": 100, **_AS_BEST},
    "pia": {"timesteps": _BY_FIFTIES, "norm": 4.0, "default_timestep": 200, **_AS_BEST},
    "secmi": _SECMI,
}

# every setting is stated, so that new defaults of an attack change no numbered suite
V1: Suite = {
    "blind": {"neighbours": 10},
    "extraction": _EXTRACTION,
    "outlier": {"neighbours": 5, "fraction": 0.25, "extraction_neighbours": 50, "alpha": 0.5},
    "generate_and_filter": {
        "samples_per_prompt": 2048,
        "tiles": 4,
        "clique": 10,
        "quantiles": [0.01, 0.02, 0.05, 0.1, 0.2],
        "default_quantile": 0.05,
    },
    "side": {
        "clusters": 10,
        "drop": 0.2,
        "scale": 5.0,
        "steps": 400,
        "learning_rate": 0.002,
        "batch_size": 128,
        "neighbours": 50,
    },
    "inpainting": {"repeats": 8, "keep": 2, "steps": 10, "loss_timestep": 100},
    "loss": {"timesteps": _BY_FIFTIES, "draws": 4, "default_timestep": 100, **_AS_BEST},
    "lira_online": {**_LIRA, "form": "online", "timesteps": _BY_FIFTIES, "draws": 4, "flips": False},
    "lira_offline": {**_LIRA, "form": "offline", "timesteps": _BY_FIFTIES, "draws": 4, "flips": False},
    "lira_strong": {**_LIRA, "form": "online", "timesteps": [100, 200], "draws": 16, "flips": True},
    "quantile": {"alpha": 0.05, "timesteps": _BY_FIFTIES, "draws": 4, "default_timestep": 100, "components": 32},
    "secmi": _SECMI,
    "secmi_learned": {"timestep": 100, "interval": 10, "hidden": 32, "epochs": 60},
    "pia": {"timesteps": _BY_TENS, "norm": 4.0, "default_timestep": 200, **_AS_BEST},
    "pian": {"timesteps": _BY_TENS, "norm": 4.0, "default_timestep": 200, **_AS_BEST},
    "sima": {"timesteps": [10, *_BY_FIFTIES], "norm": 4.0, "default_timestep": 100, **_AS_BEST},
    "pfami": {
        "timesteps": [*range(0, 451, 50)],
        "crops": 10,
        "largest": 0.95,
        "smallest": 0.7,
        "draws": 1,
        "relative": True,
        "fresh_noise": False,
        "calibrated": False,
    },
    "rediffuse": {"timestep": 200, "interval": 100, "repeats": 10, "norm": 2.0, "calibrated": False},
    "dataset_inference": {"sizes": [10, 20, 50, 100], "calibrated": False},
    "gsa1": {**_GSA, "form": 1},
    "gsa2": {**_GSA, "form": 2},
    "trajectory": {"timesteps": _BY_HUNDREDS, "fresh_noise": False},
}

_CHOSEN = {"signed": True, "margin": 2.0}
_LOSS = {"timesteps": [50, 100, 200, 300], "draws": 4, "default_timestep": 100, **_CHOSEN}
_PIA = {"timesteps": _BY_FIFTIES, "norm": 4.0, "default_timestep": 200, **_CHOSEN}
_SECMI_2 = {"timesteps": [20, 40, 60, 90], "interval": 10, "default_timestep": 90, **_CHOSEN}
_LIRA_2 = {
    "attack": "lira", "timesteps": [50, 100, 200, 300], "draws": 4, "flips": False, "log": True, "shrink": True,
    "robust": True, "per_example_variance_from": 64,
}  # fmt: skip


def _in_both_forms(**attacks: dict[str, Any]) -> Suite:
    """Each attack as it is, and `LABEL_calibrated`, compared with what the score would be if it were no member."""
    suite: Suite = {}
    for label, params in attacks.items():
        suite[label] = {**params, "calibrated": False}
        suite[f"{label}_calibrated"] = {"attack": label, **params, "calibrated": True}
    return suite


# the same with what shadow models add, at little more cost: calibration, LiRA on the losses at hand, SecMI's timestep
QUICK_V2: Suite = {
    "extraction": _EXTRACTION,
    "lira_difference": {**_LIRA_2, "form": "difference"},
    "lira_online": {**_LIRA_2, "form": "online"},
    **_in_both_forms(loss=_LOSS, pia=_PIA, secmi=_SECMI_2),
}

_STRONG = {**_LIRA_2, "timesteps": [100, 200], "draws": 16, "flips": True}
_GSA_2 = {**_GSA, "classifier": "logistic", "calibrated": True, "fresh_noise": True}
_WITHOUT_SHADOWS = ("blind", "extraction", "outlier", "generate_and_filter", "side", "inpainting")

V2: Suite = {
    **{label: V1[label] for label in _WITHOUT_SHADOWS},
    **QUICK_V2,
    "lira_offline": {**_LIRA_2, "form": "offline"},
    "lira_strong": {**_STRONG, "form": "online"},
    "lira_strong_difference": {**_STRONG, "form": "difference"},
    "quantile": V1["quantile"],
    **_in_both_forms(
        secmi={**_SECMI_2, "timesteps": _BY_TENS},
        pia={**_PIA, "timesteps": _BY_TENS},
        pian={"timesteps": _BY_TENS, "norm": 4.0, "default_timestep": 200, **_CHOSEN},
        sima={"timesteps": [10, *_BY_FIFTIES], "norm": 4.0, "default_timestep": 100, **_CHOSEN},
        pfami={
            "timesteps": [*range(0, 451, 50)], "crops": 10, "largest": 0.95, "smallest": 0.7, "draws": 1,
            "relative": True, "fresh_noise": True,
        },
        rediffuse={"timestep": 200, "interval": 100, "repeats": 10, "norm": 2.0},
    ),
    "secmi_learned": V1["secmi_learned"],
    "dataset_inference": {"sizes": [10, 20, 50, 100], "calibrated": True},
    "gsa1": {**_GSA_2, "form": 1},
    "gsa2": {**_GSA_2, "form": 2},
    "trajectory": {"timesteps": _BY_HUNDREDS, "fresh_noise": True},
}  # fmt: skip

_CLID = {"timesteps": [100, 200, 300, 450], "spacing": 10, "default_timestep": 450, "margin": 2.0}
_PROMPT_TIMESTEPS = {"timesteps": [700, 900, 980], "default_timestep": 980, "margin": 2.0}

# text-to-image models: every attack of v1 with the pair's own caption, and those that only captions allow
T2I_V1: Suite = {
    **V1,
    "generate_by_prompt": {
        "samples_per_prompt": 12,
        "clique": 5,
        "tiles": 4,
        "once": 40,
        "order": "blind",
        "keep": "all",
        "quantiles": [0.05, 0.1, 0.2, 0.3],
        "default_quantile": 0.2,
    },
    "outlier_by_prompt": {
        "neighbours": 5,
        "fraction": 0.1,
        "samples_per_prompt": 12,
        "clique": 5,
        "tiles": 4,
        "quantiles": [0.05, 0.1, 0.2, 0.3],
        "default_quantile": 0.2,
    },
    "reconstruction": {
        "form": "mean", "samples_per_prompt": 12, "compared": 3, "once": 40,  # the images of generate_by_prompt
    },
    "clid": {**_CLID, "form": "sum"},
    "clid_trees": {"attack": "clid", **_CLID, "form": "trees"},
    "base_ratio": {"timesteps": [50, 100, 200, 300, 450], "draws": 4, "margin": 2.0},
    "prompt_magnitude": {"form": "all", "steps": 10, "guidance": 7.5, "draws": 4},
    "prompt_magnitude_first": {
        "attack": "prompt_magnitude", "form": "first", "steps": 50, "guidance": 7.5, "draws": 4,
    },
    "prompt_curvature": {**_PROMPT_TIMESTEPS, "draws": 4},
    "prompt_alignment": {
        "timestep": 980, "late_timestep": 40, "weights": [0.0, 0.1, 0.5, 1.0, 2.0, 5.0], "default_weight": 2.0,
        "margin": 2.0,
    },
    "onestep": {
        "timesteps": [700, 900, 980, 999], "default_timestep": 999, "margin": 2.0, "form": "white", "guidance": 7.5,
        "draws": 4,
    },
    "retained": {
        "pairs": 50, "steps": 50, "batch_size": 8, "learning_rate": 0.1, "samples": 10, "matches": 5, "tiles": 4,
    },
}  # fmt: skip

SUITES: dict[str, Suite] = {"quick": QUICK, "v1": V1, "quick-v2": QUICK_V2, "v2": V2, "t2i-v1": T2I_V1}
DEFAULT, OWN = "quick-v2", "own"
OF_TIMESTEPS = 1000  # the timesteps of the models for which the suites are written

# the attack whose AUC stands in front, fixed before any result is seen: the first of these that a suite has and that
# the shadow models at hand allow. (The highest AUC of many is chosen after seeing them, and is too high for that.)
IN_FRONT = ("lira_difference", "lira_strong", "lira_online", "loss")


def chosen_attacks(
    suite: str, attacks: Mapping[str, Mapping[str, Any]], timesteps: int = OF_TIMESTEPS
) -> tuple[str, Suite]:
    """The suite's name in results and its attacks, for a config's `suite` and `attacks`.

    Without a suite, the suite is "quick-v2"; if there are attacks, these alone make up the suite "own". A suite with
    additional attacks or changed settings is called "v1, changed". A suite's timesteps are those of a model of 1,000;
    for one of another number they are scaled, and the suite is called "v1, scaled to T = 300". Raises `InputError` for
    a suite that does not exist.
    """
    if suite and suite not in SUITES:
        raise InputError(f"suite = {suite!r} does not exist (suites: {', '.join(SUITES)})")
    if attacks and not suite:
        return OWN, {label: dict(params) for label, params in attacks.items()}
    name = suite or DEFAULT
    chosen = SUITES[name]
    if timesteps != OF_TIMESTEPS:
        chosen = {label: scaled(params, timesteps) for label, params in chosen.items()}
        name = f"{name}, scaled to T = {timesteps}"
    own = {label: {**chosen.get(label, {}), **params} for label, params in attacks.items()}
    is_changed = any(chosen.get(label) != params for label, params in own.items())
    return f"{name}, changed" if is_changed else name, {**chosen, **own}


def scaled(params: Mapping[str, Any], timesteps: int) -> dict[str, Any]:
    """The settings of an attack on a model of 1,000 timesteps, for one of another number: the same share of them.

    Timesteps are rounded, stay multiples of the attack's interval, and two that fall together become one.
    """
    share, found = timesteps / OF_TIMESTEPS, dict(params)
    interval = max(1, round(params["interval"] * share)) if "interval" in params else 1

    def at(t: int) -> int:
        place = round(t * share / interval) * interval
        most = (timesteps - 1) // interval * interval
        return min(place if place or not t else interval, most)

    for key, value in params.items():
        if key == "interval":
            found[key] = interval
        elif key == "timesteps":
            found[key] = list(dict.fromkeys(map(at, value)))
        elif key in ("timestep", "default_timestep", "loss_timestep", "late_timestep"):
            found[key] = at(value)
        elif key == "spacing":
            found[key] = max(1, round(value * share))
    return found

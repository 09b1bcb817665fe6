"""Whether models that were trained elsewhere were read rightly, in sentences that stand in front of all numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leakfront.results.run.data import RunData

IMPLAUSIBLE = 0.9  # of the noise error; an untrained network has about 0.8, a model read rightly about 0.1
RIGHT = "about 0.1 is usual for a model that is read rightly, and 0.8 for an untrained one"
OF_LATENTS = "1 is what predicting no noise gives; latents have more error than the 0.1 that is usual for pixels"


def doubts(run: RunData) -> list[tuple[str, str]]:
    """What speaks against the way in which external models were read: the model's name, and a sentence."""
    return [(_name(source), text) for source in run.sources for text in _doubts(_facts(source))]


def in_front(run: RunData) -> list[str]:
    """The lines in front of the numbers of external models: warnings, or that the check found nothing."""
    lines = []
    for source in run.sources:
        facts = _facts(source)
        found = [f"warning: {text}" for text in _doubts(facts)]
        if facts and not found:
            found = [f"check of the model: {_measured(facts)}; {_right(facts)}"]
        lines += found
    return lines


def _facts(run: RunData) -> dict[str, Any]:
    """What the check of a model found; empty for models that a run trained, and for runs before there was a check.

    A run may come from somebody else, so its facts are numbers or they are left out.
    """
    found = (run.external_model or {}).get("plausibility")
    facts = found if isinstance(found, dict) else {}
    numbers = {key: value for key, value in facts.items() if _is_number(value)}
    if not {"images", "timestep", "timesteps"} <= set(numbers):
        return {}
    gain = facts.get("labels_gain")
    if isinstance(gain, list) and len(gain) == 3:
        numbers["labels_gain"] = [value if _is_number(value) else None for value in gain]
    return numbers


def _right(facts: dict[str, Any]) -> str:
    return OF_LATENTS if facts.get("latent") else RIGHT


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name(run: RunData) -> str:
    return str((run.external_model or {}).get("name", ""))


def _measured(facts: dict[str, Any]) -> str:
    error = facts.get("noise_error")
    value = "not finite" if error is None else f"{error:.2f}"
    return (
        f"its mean squared noise error on {facts.get('images')} members at t = {facts.get('timestep')} of "
        f"{facts.get('timesteps'):,} is {value}"
    )


def _doubts(facts: dict[str, Any]) -> Iterator[str]:
    if not facts:
        return
    error, gain = facts.get("noise_error"), facts.get("labels_gain")
    if error is None or error > IMPLAUSIBLE:
        yield (
            f"the model is probably not read as it was trained: {_measured(facts)} ({_right(facts)}). The range of the "
            "images (model.range), their orientation, the order of their channels, or prediction_type may be another "
            "than in training; do not trust the numbers below."
        )
    elif gain is not None and (gain[1] is None or gain[1] <= 0):
        own, permuted = facts.get("noise_error_own_labels"), facts.get("noise_error_permuted_labels")
        what, other, cause = "classes", "permuted ones", "in another order"
        if facts.get("texts"):
            what, other, cause = "captions", "those of other images", "others"
        yield (
            f"the {what} of the images are probably not those of the model's training: its noise error on members at "
            f"t = {facts.get('label_timestep')} is {_short(own)} with their {what} and {_short(permuted)} with "
            f"{other}. Either the {what} are {cause} than in training, or the model hardly uses them."
        )


def _short(value: Any) -> str:
    return f"{value:.3g}" if _is_number(value) else "not finite"

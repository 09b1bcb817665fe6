"""What was not tried on the models of a run: a verdict says nothing about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.summary import EXTRACTION

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.verdict.gate import Gate

ACCESS = {"samples": "generated images", "loss": "the loss (the weights)", "gradients": "gradients (the weights)"}
_NAMED = 12  # attacks in a sentence


def untried(run: RunData, gate: Gate) -> list[str]:
    """Sentences on attackers, attacks and efforts that were not tried, the largest gap first."""
    found = []
    if gate.attacker == "samples":
        found.append("Attackers who hold the weights: this gate takes it that only generated images leave the house.")
    made = {run.summary.facts.get(attack, {}).get("access") for attack in run.summary.attacks}
    kinds = [kind for kind in ACCESS if gate.attacker == "weights" or kind == "samples"]
    found += [f"Any attack on {ACCESS[kind]}: the run has none." for kind in kinds if kind not in made]
    found += _left_out(run)
    if absent := [str(label) for label in run.info.get("not_in_suite", ())]:
        named = ", ".join(absent[:_NAMED]) + (", …" if len(absent) > _NAMED else "")
        found.append(f"{len(absent)} attacks of the full suite that are not in this run: {named}.")
    if EXTRACTION in run.summary.attacks:
        samples = run.info.get("samples_per_model", "?")
        found.append(f"More than {samples} generated images from each model: more of them can extract more members.")
        found.append("Copies that are near in meaning and not in pixels, such as mirrored or recoloured ones.")
    splits = int(run.info.get("splits", 1)) if not run.known_membership else 1
    shadows = f"More than {splits - 1} shadow model{'s' if splits > 2 else ''} for each model."
    found.append(shadows if splits > 1 else "Shadow models: there are none.")
    if run.known_membership:
        found.append("An audit of epsilon: it needs members that were drawn by coins.")
    return [*found, "Attacks that are made for this model, or not yet known."]


def _left_out(run: RunData) -> list[str]:
    """The attacks that were left out of all models, with the reason."""
    rows = run.rows[(run.rows["metric"] == "left_out") & run.rows["source"].isin(run.summary.suite)]
    reasons = dict(zip(rows["source"], rows["ci_method"], strict=True))
    by_reason: dict[str, list[str]] = {}
    for attack, reason in reasons.items():
        if attack not in run.summary.attacks:
            by_reason.setdefault(reason.removeprefix("left out: "), []).append(attack)
    return [f"{', '.join(attacks)}: {reason}." for reason, attacks in by_reason.items()]

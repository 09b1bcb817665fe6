"""A membership that is given, or a model that is: what then can be asked, and the notes on what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.harness.plan.sweeps import DefensePoint
from leakfront.harness.settings.sections import Config
from leakfront.harness.store.artifacts import stored_key
from leakfront.harness.store.layout import Layout

if TYPE_CHECKING:
    from leakfront.harness.plan.plan import Plan
    from leakfront.harness.pool.pool import Pool

LABEL = "given model"
NO_AUDIT = "left out: membership is given, not flipped, and the bound needs independent fair coins"
NO_OUTSIDE = "left out: it needs images that are neither member nor decoy, and there are none"
NO_FID = "left out: there are no images that are neither member nor decoy to compare with"


def check_given(config: Config, model: Any, dataset: Any) -> None:
    """Raise `InputError` where a config asks of a given membership or a given model what neither can have."""
    of_data, data = dataset.known_membership, config.data
    if model.external and not of_data:
        raise InputError(
            f"model.name = {config.model.get('name')!r} is a model that was trained elsewhere, so data.dataset must "
            f"state who its members are, as members_decoys does; {data.dataset!r} does not"
        )
    if not of_data:
        return
    what = f"data.dataset = {data.dataset!r} states who the members are"
    if config.splits != 1:
        raise InputError(f"{what}, which is one split; set splits = 1, not {config.splits}")
    if data.coin != 0.5:
        raise InputError(f"{what}, so that no coins are flipped; leave out data.coin = {data.coin}")
    if data.duplicates.groups:
        raise InputError(f"{what}, so that none can be planted; set data.duplicates.groups = 0")
    if data.pool != (count := dataset.count()):
        raise InputError(f"{what}, all of whose {count} members and decoys are the pool; set data.pool = {count}")
    if config.metrics.names and not dataset.has_outside:
        raise InputError(
            "metrics.names lists metrics, which compare with real images, but no image is neither member nor decoy: "
            "give data.params.reference, a folder of such images (--reference), or set metrics.names = []"
        )


def given_points(model: Any, points: Sequence[DefensePoint]) -> list[DefensePoint]:
    """The points of a run: of a given model the one that it is, with whatever defenses it was trained."""
    if not model.external:
        return list(points)
    if len(points) != 1 or points[0].line != "none":
        raise InputError("defenses names some, but a given model cannot be trained anew; leave it out")
    return [replace(points[0], line=LABEL)]


def check_given_model(plan: Plan, pool: Pool, layout: Layout) -> None:
    """Raise `InputError` for a model of other classes than the images', or whose files do not make one; the latter is
    looked at once, before the model is copied to the run's folder."""
    if plan.model.classes and plan.model.classes != len(pool.classes):
        raise InputError(
            f"the model in {plan.model.path} is conditioned on {plan.model.classes} classes, and the images have "
            f"{len(pool.classes)}; put members and decoys into a sub-folder for each class, which are taken in the "
            "order of their names"
        )
    for cell in plan.cells:
        if stored_key(layout.stage(cell.name, "train")) != cell.keys["train"]:
            plan.model.examine()


def facts_of(plan: Plan, pool: Pool) -> dict[str, Any]:
    """What the report says of a given membership, in place of the coin."""
    if not plan.is_given or pool.membership is None:
        return {"coin": plan.config.data.coin}
    return {"membership": "given", "members": int(pool.membership.sum())}


def given_notes(dataset: Any) -> list[str]:
    """A line for everything that is left out because membership is given."""
    if not dataset.known_membership:
        return []
    return [f"audit of epsilon: {NO_AUDIT}", *([] if dataset.has_outside else [f"FID: {NO_FID}"])]

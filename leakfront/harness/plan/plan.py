"""The plan of a run: its cells, all plug-ins that it needs, and the content keys of its stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from leakfront.attacks.contract import Attack, signal_key
from leakfront.harness.plan.external import (
    NO_BASE,
    NO_DENOISER,
    NO_DISCRIMINATOR,
    NO_MODEL,
    NO_NULL,
    NO_OUTSIDE,
    NO_QUERIES,
    NO_TEXT,
)
from leakfront.harness.plan.sweeps import DefensePoint
from leakfront.harness.pool.data_files import DataFiles
from leakfront.harness.settings.places import shortened
from leakfront.harness.settings.sections import Config


@dataclass(frozen=True)
class CellPlan:
    """One defense at one strength on one split: a model to sample and attack. Cells may share a model.

    keys: by stage, for all stages of models and cells but the late ones (see `plan/keys.py`).
    """

    name: str
    point: DefensePoint
    split: int
    keys: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """A checked config, with an instance of every plug-in that it names.

    keys: by stage, for the stages of the whole run. data: what the files of the data set hold. generated: the folder of
    images that are judged in place of the model's samples; None if the run draws samples.
    """

    config: Config
    points: list[DefensePoint]
    suite: str
    attacks: dict[str, Attack]
    model: Any
    dataset: Any
    data: DataFiles
    metrics: list[Any]
    extractor: Any
    cells: list[CellPlan]
    keys: dict[str, str]
    generated: Any = None

    @cached_property
    def by_name(self) -> dict[str, CellPlan]:
        """The cells by their names."""
        return {cell.name: cell for cell in self.cells}

    @cached_property
    def data_name(self) -> str:
        """The data set as rows name it: a path by its last name, "folder:photos"."""
        return str(shortened({"data": {"dataset": self.config.data.dataset}})["data"]["dataset"])

    @property
    def signals(self) -> list[Any]:
        """The distinct signals that the attacks ask for, in a fixed order."""
        return _distinct(s for attack in self.attempted for s in attack.signals())

    @property
    def outside_signals(self) -> list[Any]:
        """The distinct signals of images outside the pool that the attacks ask for, in a fixed order."""
        return _distinct(s for attack in self.attempted for s in attack.outside_signals())

    @property
    def generations(self) -> list[Any]:
        """The distinct generations that the attacks ask the model for, in a fixed order."""
        return _distinct(g for attack in self.attempted for g in attack.generations())

    @property
    def known_membership(self) -> bool:
        """Whether the data set states who the members are; then no coins are flipped."""
        return bool(self.dataset.known_membership)

    @property
    def external(self) -> bool:
        """Whether the model was trained elsewhere."""
        return bool(self.model.external)

    @property
    def has_model(self) -> bool:
        """Whether there is a model to query, and not generated images alone."""
        return bool(self.model.name != NO_MODEL)

    @property
    def attempted(self) -> list[Attack]:
        """The attacks that can run if all splits have a model."""
        return [self.attacks[label] for label in self.judged_by(self.config.splits - 1)]

    def judged_by(self, shadows: int) -> list[str]:
        """The labels of the attacks that can run with this number of shadow models."""
        return [
            label
            for label, attack in self.attacks.items()
            if attack.shadows_needed() <= shadows and not self._lacks(attack)
        ]

    def note(self, label: str, shadows: int) -> str:
        """One line on what changes for an attack with this number of shadow models, or why it is left out; or ""."""
        attack = self.attacks[label]
        return self._lacks(attack) or attack.note(shadows)

    def _lacks(self, attack: Attack) -> str:
        """Why an attack cannot run, whatever the number of shadow models; or ""."""
        model, dataset = self.model, self.dataset
        asks = attack.signals() or attack.outside_signals() or attack.generations()
        generator = model.kind == "generator"
        reasons = {
            NO_QUERIES: not self.has_model and asks,
            NO_DENOISER: generator and asks and not attack.needs_discriminator,
            NO_DISCRIMINATOR: attack.needs_discriminator and not generator,
            NO_OUTSIDE: attack.outside_signals() and not dataset.has_outside,
            NO_TEXT: attack.needs_captions and not (model.text and dataset.has_captions),
            NO_NULL: attack.compares_with_null and not model.has_null,
            NO_BASE: attack.needs_base and not model.has_base,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    @property
    def features(self) -> str:
        """The name of the features in rows."""
        return str(self.extractor.label)

    def siblings(self, cell: CellPlan) -> list[CellPlan]:
        """The other splits of the same defense, the candidates for shadow models."""
        return [other for other in self.cells if other.point.label == cell.point.label and other.split != cell.split]


def _distinct(signals: Iterable[Any]) -> list[Any]:
    by_key = {signal_key(signal): signal for signal in signals}
    return [by_key[key] for key in sorted(by_key)]

"""A run as it may be shown to others: its numbers, without pictures, paths, and names of folders, files and users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.errors import InputError
from leakfront.results.run.data import Cell, RunData
from leakfront.results.run.rows import HELD_OUT, NOISE
from leakfront.results.run.shareable_config import shareable_config
from leakfront.results.run.shown_names import LEFT_OUT, ShownNames

if TYPE_CHECKING:
    import pandas as pd

# facts that are shown with paths, files and users left out of their texts; those of run.json that are named nowhere in
# this module are not shown at all
_TEXTS = ("suite", "seed", "splits", "threads", "workers", "wall_seconds", "cluster", "samples_per_model", "features",
          "model", "versions", "plugins", "git", "machine", "private_draws", "private_draws_before", "metric_facts",
          "composed_guarantees", "external_model", "not_in_suite",
          "near_copies")  # fmt: skip
EXTERNAL = "external model"
OF_MODEL = "model: "  # what the notes on how a model was read begin with
_BY_LABEL = ("guarantees", "covers", "acts_on")


class Shareable(RunData):
    """A run without what may not leave the house. It has no images: `pool` has none, and `samples` raises."""

    may_be_shared = True

    def __init__(self, run: RunData, names: ShownNames, number: int = 1, data: int = 1) -> None:
        """number: of the run among those drawn together. data: of its data set among theirs."""
        super().__init__(run.folder, run.finished, run.marks)
        self._run, self._names, self._number, self._data = run, names, number, data

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows, with labels that may be shown."""
        rows = self._run.rows
        points = list(zip(rows["defense"], rows["params"], strict=True))
        return rows.assign(
            run=self.info["name"],
            cell=[self._cells.get(cell, "") for cell in rows["cell"]],
            dataset=[self._kind(name) for name in rows["dataset"]],
            model=rows["model"] if self._run.external_model is None else EXTERNAL,
            defense=[self._lines[line] for line, _ in points],
            params=[self._params[point] for point in points],
            source=[self._attacks.get(source, source) for source in rows["source"]],
            ci_method=[self._names.of_text(text) for text in rows["ci_method"]],
        )

    @cached_property
    def info(self) -> dict[str, Any]:
        """Those facts that may be shown."""
        whole, names = self._run.info, self._names
        info = {key: names.of_texts(whole[key]) for key in _TEXTS if key in whole}
        info |= {"name": self._name, "title": self._title, "attacks": list(self._attacks.values())}
        if "made" in whole:  # the paths of artifacts have labels in them
            ways = [{key: value for key, value in way.items() if key != "which"} for way in whole["made"]]
            info["made"] = [names.of_texts(way) for way in ways]
        for key in _BY_LABEL:
            info[key] = {self._label(label): names.of_texts(of) for label, of in whole.get(key, {}).items()}
        if "stops_short_of" in whole:
            stops = whole["stops_short_of"].items()
            info["stops_short_of"] = {self._label(label): self._label(other) for label, other in stops}
        facts = whole.get("attack_facts", {}).items()
        info["attack_facts"] = {self._attacks.get(label, LEFT_OUT): names.of_texts(of) for label, of in facts}
        notes = [str(note) for note in whole.get("attack_notes", []) if not str(note).startswith(OF_MODEL)]
        info["attack_notes"] = [names.of_text(self._note(note)) for note in notes]
        if "external_model" in info:  # its name, and how it was read, hold names of folders
            info["model"] = EXTERNAL
            info["external_model"] = {k: v for k, v in info["external_model"].items() if k not in ("name", "read")}
        info["in_front"] = [self._attacks.get(label, LEFT_OUT) for label in whole.get("in_front", [])]
        info["lines"] = [self._lines[str(line)] for line in whole.get("lines", [])]
        info["dataset"] = {**names.of_texts(whole.get("dataset", {})), "checksum": f"left out (data set {self._data})"}
        info["dataset"]["name"] = self._kind(str(whole.get("dataset", {}).get("name", "")))
        renamed = {"name": self._name, "title": self._title}
        info["config"] = shareable_config(whole.get("config", {}), names, renamed, {**self._lines, **self._attacks})
        info["cells"] = [
            {"name": c.name, "defense": c.defense, "params": c.params, "split": c.split} for c in self.cells
        ]
        info["diverged"] = [self._cells.get(cell, LEFT_OUT) for cell in whole.get("diverged", [])]
        info["failed"] = dict.fromkeys((self._cells.get(cell, LEFT_OUT) for cell in whole.get("failed", {})), LEFT_OUT)
        return info

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells, under names that may be shown; their folders are those of the run."""
        return [
            Cell(self._cells[c.name], self._lines[c.defense], self._params[c.defense, c.params], c.split, c.folder)
            for c in self._run.cells
        ]

    @cached_property
    def pool(self) -> Mapping[str, np.ndarray]:
        """`copies`, int64 [P], and `subjects`, if there are any."""
        return {name: self._run.pool[name] for name in ("copies", "subjects") if name in self._run.pool}

    @cached_property
    def files(self) -> tuple[str, ...] | None:
        """Numbers in place of names: "image 12"."""
        return None if self._run.files is None else tuple(f"image {number}" for number in range(len(self._run.files)))

    @cached_property
    def subject_names(self) -> tuple[str, ...] | None:
        """Numbers in place of names: "subject 3"."""
        of = self.pool.get("subjects")
        return None if of is None else tuple(f"subject {number}" for number in of)

    def l2(self, cell: Cell, nearest: np.ndarray) -> np.ndarray:
        """As of the run."""
        return self._run.l2(cell, nearest)

    def samples(self, cell: Cell) -> np.ndarray:
        """Raise `InputError`: generated images are not shown."""
        raise InputError("a report that may be shared has no generated images, and a figure that asks for them")

    def scores(self, cell: Cell, attack: str) -> Mapping[str, np.ndarray]:
        """As of the run, without evidence that holds images."""
        label = next((old for old, new in self._attacks.items() if new == attack), attack)
        return {name: values for name, values in self._run.scores(cell, label).items() if values.ndim < 3}

    def shown(self, label: str) -> str:
        """The label of a model that may be shown."""
        return self._label(label)

    @property
    def replaced(self) -> list[str]:
        """The labels that stand for others: "defense 2"."""
        labels = {**self._lines, **self._attacks}
        strengths = {self._params[point]: None for point in self._params if self._params[point] != point[1]}
        return [new for old, new in labels.items() if new != old] + list(strengths)

    @cached_property
    def _lines(self) -> dict[str, str]:
        """The label of each defense, by its own."""
        lines = [*self._run.rows["defense"], *(cell.defense for cell in self._run.cells)]
        lines += map(str, self._run.info.get("lines", []))
        return dict(self._renamed(dict.fromkeys(lines), "defense {}", keep=(HELD_OUT, NOISE)))

    @cached_property
    def _params(self) -> dict[tuple[str, str], str]:
        """The strength of each defense, by the defense and its strength."""
        points = [*zip(self._run.rows["defense"], self._run.rows["params"], strict=True)]
        points += [(cell.defense, cell.params) for cell in self._run.cells]
        found: dict[tuple[str, str], str] = {}
        for line in dict.fromkeys(line for line, _ in points):
            of_line = dict.fromkeys(params for other, params in points if other == line)
            found |= {(line, old): new for old, new in self._renamed(of_line, "strength {}", keep=("",))}
        return found

    @cached_property
    def _attacks(self) -> dict[str, str]:
        """The label of each attack, by its own."""
        return dict(self._renamed(dict.fromkeys(self._run.summary.suite), "attack-{}"))

    @cached_property
    def _cells(self) -> dict[str, str]:
        """The name of each cell, by its own: its defense and its split."""
        rows = self._run.rows
        cells = [*zip(rows["cell"], rows["defense"], rows["params"], rows["split"], strict=True)]
        cells += [(cell.name, cell.defense, cell.params, cell.split) for cell in self._run.cells]
        return {
            cell: f"{' '.join(filter(None, (self._lines[line], self._params[line, params])))}, split {split}"
            for cell, line, params, split in dict.fromkeys(cells)
            if cell
        }

    def _renamed(self, labels: Mapping[str, None], form: str, keep: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
        """Each label with itself, or with its number if it may not be shown."""
        yield from ((label, label) for label in keep)
        for number, label in enumerate((label for label in labels if label not in keep), start=1):
            yield label, label if self._names.shows(label) else form.format(number)

    def _label(self, label: str) -> str:
        """The label of a defense at a strength."""
        points = {f"{line} ({params})" if params else line: (line, params) for line, params in self._params}
        if label not in points:
            return label if self._names.shows(label) else LEFT_OUT
        params = self._params[points[label]]
        line = self._lines[points[label][0]]
        return f"{line} ({params})" if params else line

    def _note(self, note: str) -> str:
        """A line "attack LABEL: note" with the attack's label that may be shown."""
        for old, new in self._attacks.items():
            if note.startswith(start := f"attack {old}: "):
                return f"attack {new}: {note.removeprefix(start)}"
        return note

    def _kind(self, dataset: str) -> str:
        """The kind of a data set: "folder" of "folder:photos"."""
        kind = dataset.partition(":")[0]
        return kind if kind in self._names.public else LEFT_OUT

    @cached_property
    def _name(self) -> str:
        if self._run.external_model is not None:  # it is made from the name of the model's folder
            return f"external model {self._number}"
        name = str(self._run.info["name"])
        return name if self._names.shows(name) else f"run {self._number}"

    @cached_property
    def _title(self) -> str:
        if self._run.external_model is not None:
            return "Attacks on an external model"
        title = str(self._run.info.get("title", ""))
        return title if self._names.shows(title) else self._name

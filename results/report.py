"""The report of one run, or of several drawn together: figures, tables and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from results.attack_tables import attack_table, suite_table
from results.cost_table import cost_table
from results.figures import figures, save, style
from results.findings import findings
from results.matched_table import matched_table
from results.page import Drawn, page
from results.run_data import Cell, RunData
from results.table import main_table

if TYPE_CHECKING:
    import pandas as pd

ORDER = ("tradeoff", "tradeoff_auc", "extraction_curve", "gallery", "inpainting", "membership", "heatmap", "roc",
         "audit", "cost")  # fmt: skip
_SUFFIXES = ("pdf", "svg", "png")


def write_report(runs: list[RunData], folder: Path) -> Path:
    """Write figures, tables and `index.html` into `folder`; returns the page's path.

    The same rows and arrays give the same bytes. Raises `InputError` for runs that cannot be compared.
    """
    run = combined(runs)
    drawn = [_draw(name, run, folder / "figures") for name in _names()]
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    made = {"main": main_table, "matched": matched_table, "cost": cost_table, "suite": suite_table,
            "attacks": attack_table}  # fmt: skip
    for name, make in made.items():
        table = make(run)
        if table is None:
            continue
        (tables / f"{name}.csv").write_text(table.to_csv(), encoding="utf-8")
        (tables / f"{name}.md").write_text(table.to_markdown(), encoding="utf-8")
        (tables / f"{name}.tex").write_text(table.to_latex(), encoding="utf-8")
    index = folder / "index.html"
    index.write_text(page(run, runs, drawn, findings(run)), encoding="utf-8")
    return index


def combined(runs: Sequence[RunData]) -> RunData:
    """One run as it is; several as one whose defenses carry their run's name. Raises `InputError` if they differ in
    anything that makes their numbers incomparable."""
    if not runs:
        raise InputError("a report needs at least one run")
    return runs[0] if len(runs) == 1 else CombinedRuns(runs)


class CombinedRuns(RunData):
    """Several runs of one protocol, drawn together: "NAME: dp_sgd". The ends of the FID scale are the first run's."""

    def __init__(self, runs: Sequence[RunData]) -> None:
        super().__init__(runs[0].folder)
        for other in runs[1:]:
            _check_same_protocol(runs[0], other)
        self._runs = dict(zip(_unique([str(run.info["name"]) for run in runs]), runs, strict=True))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows of all runs, with `run` and `defense` telling them apart."""
        import pandas as pd

        parts = []
        for number, (name, run) in enumerate(self._runs.items()):
            rows = run.rows.copy()
            trained = ~rows["defense"].str.startswith("(")
            rows["run"] = name
            rows.loc[trained, "defense"] = f"{name}: " + rows.loc[trained, "defense"]
            parts.append(rows if number == 0 else rows[trained])
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells of all runs."""
        return [
            Cell(f"{name}/{cell.name}", f"{name}: {cell.defense}", cell.params, cell.split, cell.folder)
            for name, run in self._runs.items() for cell in run.cells
        ]  # fmt: skip

    @cached_property
    def info(self) -> dict[str, Any]:
        """The first run's, under all names, with the guarantees and the reach of all defenses."""
        names = {"name": " + ".join(self._runs), "title": " and ".join(self._runs)}
        info: dict[str, Any] = {**next(iter(self._runs.values())).info, **names}
        for key in ("guarantees", "covers"):
            info[key] = {
                f"{name}: {label}": value
                for name, run in self._runs.items()
                for label, value in run.info.get(key, {}).items()
            }
        info["devices"] = [
            run.info.get("config", {}).get("execution", {}).get("device", "cpu") for run in self._runs.values()
        ]
        info["attack_notes"] = list(
            dict.fromkeys(n for run in self._runs.values() for n in run.info.get("attack_notes", ()))
        )
        return info


def _check_same_protocol(first: RunData, other: RunData) -> None:
    """Numbers are comparable only on the same pool and coins, attacks, number of samples, features and reference."""
    for key in ("suite", "attacks", "features", "samples_per_model", "seed"):
        _check_equal(first, other, key, first.info.get(key), other.info.get(key))
    one, two = first.info.get("dataset", {}), other.info.get("dataset", {})
    for key in dict.fromkeys((*one, *two)):
        _check_equal(first, other, f"dataset {key}", one.get(key), two.get(key))


def _check_equal(first: RunData, other: RunData, key: str, one: Any, two: Any) -> None:
    if one != two:
        raise InputError(
            f"the runs {first.info['name']!r} and {other.info['name']!r} cannot be drawn together: {key} is {one!r} in "
            f"the first and {two!r} in the second; report them apart, or run both with the same one"
        )


def _unique(names: list[str]) -> list[str]:
    """Names told apart by a number where two runs share one."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return out


def _names() -> list[str]:
    """Every figure, those of the paper first in the order of its argument."""
    known = figures.names()
    return [name for name in ORDER if name in known] + [name for name in known if name not in ORDER]


def _draw(name: str, run: RunData, folder: Path) -> Drawn:
    """Draw and save a figure; files of an earlier one are taken away when there is nothing to draw now."""
    plugin = figures.get(name)()
    figure = plugin.draw(run)
    svg, wide = None, False
    if figure is None:
        for suffix in _SUFFIXES:
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    else:
        save(figure, folder, name)
        svg, wide = (folder / f"{name}.svg").read_bytes(), figure.get_figwidth() > style.WIDTH
    return Drawn(name, plugin.title, plugin.caption, svg, plugin.reason, wide)

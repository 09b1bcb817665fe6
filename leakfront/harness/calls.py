"""The public calls: the command line's `run` and `attack`, and reading a finished run, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from leakfront.harness.settings.sections import Config


@dataclass(frozen=True)
class Result:
    """A finished run in its folder."""

    folder: Path

    @property
    def rows(self) -> pd.DataFrame:
        """All rows, one number each, with the columns of `leakfront.results.run.rows.Row`."""
        from leakfront.results.run.data import RunData

        return RunData(self.folder).rows

    @property
    def diverged(self) -> list[str]:
        """The cells whose training diverged, which have no other results."""
        return list(self._info["diverged"])

    @property
    def failed(self) -> dict[str, str]:
        """The cells that could not be finished, with their reasons."""
        return dict(self._info["failed"])

    def report(self, folder: str | Path | None = None, theme: str = "paper") -> Path:
        """Draw tables and figures into `folder` (by default the run's own `report`); returns the page."""
        from leakfront.harness.report import draw_report
        from leakfront.harness.store.layout import Layout

        layout = Layout(self.folder)
        return draw_report([layout], Path(folder) if folder is not None else layout.report, theme=theme)

    @property
    def _info(self) -> dict[str, Any]:
        from leakfront.results.run.data import RunData

        return RunData(self.folder).info


def run(
    config: str | Path | Mapping[str, Any] = "digits",
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    workers: int | None = None,
    console: Console | None = None,
) -> Result:
    """Train, attack, measure, report, as `leakfront run` does; what is finished already is kept.

    config: a TOML file, the name of a bundled benchmark, or the settings themselves. out: the run's folder, by default
    runs/NAME. overrides: "dotted.key=value". smoke: shrink everything, to see that it runs. workers: processes, by
    default one for each core or GPU. console: where progress is shown. Raises `InputError` for wrong input. A script
    must guard its call by `if __name__ == "__main__":`, since worker processes import it.
    """
    from leakfront.harness.settings.file import load_config, overridden

    if isinstance(config, Mapping):
        settings = overridden(dict(config), tuple(overrides))
    else:
        settings = load_config(str(config), tuple(overrides), smoke)
    return _carried_out(settings, out, workers, console)


def attack(
    model: str | Path,
    members: str | Path,
    decoys: str | Path,
    reference: str | Path | None = None,
    out: str | Path | None = None,
    suite: str = "quick",
    overrides: Sequence[str] = (),
    workers: int | None = None,
    console: Console | None = None,
) -> Result:
    """Attack a model that was trained elsewhere, as `leakfront attack` does.

    model: a diffusers folder of a UNet2DModel and its scheduler. members, decoys: folders of images it was trained on,
    and of images of the same distribution that it never saw. reference: images that are neither, for FID. The rest is
    as in `run`.
    """
    from leakfront.harness.settings.external import external_config

    place = str(reference) if reference is not None else None
    settings = external_config(str(model), str(members), str(decoys), place, suite, tuple(overrides))
    return _carried_out(settings, out, workers, console)


def load(folder: str | Path) -> Result:
    """A finished run; `InputError` if the folder holds none, or if its results have changed since they were written."""
    from leakfront.errors import InputError
    from leakfront.harness.store.integrity import check_results
    from leakfront.harness.store.run_folder import find_run

    layout = find_run(str(folder))
    if not (layout.root / "results.csv").is_file():
        raise InputError(f"{folder} holds no results yet; finish it with: leakfront run")
    check_results(layout)
    return Result(layout.root)


def _carried_out(settings: Config, out: str | Path | None, workers: int | None, console: Console | None) -> Result:
    from rich.console import Console as NewConsole

    from leakfront.harness.execution.devices import default_workers
    from leakfront.harness.run import run as run_benchmark
    from leakfront.harness.store.layout import Layout

    layout = Layout(Path(out) if out is not None else Path("runs") / settings.name)
    run_benchmark(settings, layout, workers or default_workers(settings), console or NewConsole(soft_wrap=True))
    return Result(layout.root)

"""The public Python calls: `run` and `attack` as on the command line, and `load` to read a finished run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from leakfront.harness.settings.sections import Config
    from leakfront.results.run.data import RunData


@dataclass(frozen=True)
class Result:
    """A run in its folder, read once: after another `run` there, take a new one.

    finished: whether the last run in the folder came to its end.
    """

    folder: Path
    finished: bool = True

    @property
    def rows(self) -> pd.DataFrame:
        """All rows, one number each, with the columns of `leakfront.results.run.rows.Row`."""
        return self._data.rows.copy()

    @property
    def diverged(self) -> list[str]:
        """The cells whose training diverged; they have no other results."""
        return list(self._data.info["diverged"])

    @property
    def failed(self) -> dict[str, str]:
        """The cells that failed, each with the reason."""
        return dict(self._data.info["failed"])

    def report(self, folder: str | Path | None = None, theme: str = "paper", shareable: bool = False) -> Path:
        """Draw tables and figures into `folder` (default: the run's own `report`) and return the path of the page.

        theme: "paper" or "talk", for the figures. shareable: leave out pictures of images, paths, and names of files,
        folders and users; the default folder is then the run's own `shareable`.
        """
        from leakfront.harness.report import SHAREABLE, draw_report, draw_shareable
        from leakfront.harness.store.layout import Layout

        layout = Layout(self.folder)
        if shareable:
            return draw_shareable([layout], Path(folder or layout.root / SHAREABLE), theme=theme)[0]
        return draw_report([layout], Path(folder or layout.report), theme=theme)

    @cached_property
    def _data(self) -> RunData:
        from leakfront.results.run.data import RunData

        return RunData(self.folder)


def run(
    config: str | Path | Mapping[str, Any] = "digits",
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    workers: int | None = None,
    console: Console | None = None,
) -> Result:
    """Train, attack, measure and report, as `leakfront run` does; finished work is kept.

    config: a TOML file, the name of a bundled benchmark, the folder of a run that goes on, or the settings themselves.
    out: the run's folder, by default runs/NAME. overrides: "dotted.key=value". smoke: shrink it to test that it runs.
    workers: processes, by default one per core or GPU. console: where progress is shown. Raises `InputError` for wrong
    input. A script must guard its call with `if __name__ == "__main__":`, because worker processes import the script.
    """
    from leakfront.harness.held import config_and_folder
    from leakfront.harness.settings.file import overridden

    if isinstance(config, Mapping):
        settings = overridden(copy.deepcopy(dict(config)), tuple(overrides), smoke)
    else:
        settings, layout = config_and_folder(str(config), out, tuple(overrides), smoke)
        out = layout.root
    return _execute(settings, out, workers, console)


def attack(
    model: str | Path,
    members: str | Path,
    decoys: str | Path,
    reference: str | Path | None = None,
    out: str | Path | None = None,
    suite: str = "quick-v2",
    overrides: Sequence[str] = (),
    workers: int | None = None,
    console: Console | None = None,
) -> Result:
    """Attack an external model (one that was trained elsewhere), as `leakfront attack` does.

    model: a diffusers folder with a UNet2DModel and its scheduler. members: a folder of images that the model was
    trained on. decoys: a folder of images of the same distribution that it never saw. reference: a folder of images
    that are neither, for FID. suite: a suite's name, such as "quick-v2" or "v2". out: by default runs/attack-NAME. The
    other parameters are those of `run`. Raises `InputError` for wrong input.
    """
    from leakfront.harness.settings.external import external_config

    place = str(reference) if reference is not None else None
    settings = external_config(str(model), str(members), str(decoys), place, suite, tuple(overrides))
    return _execute(settings, out, workers, console)


def load(folder: str | Path) -> Result:
    """Read a run. Raises `InputError` if the folder holds none, or if its results have changed."""
    from leakfront.errors import InputError
    from leakfront.harness.store.integrity import check_results, is_sealed
    from leakfront.harness.store.run_folder import find_run

    layout = find_run(str(folder))
    if not (layout.root / "results.csv").is_file():
        raise InputError(f"{folder} holds no results yet; finish it with: leakfront run")
    check_results(layout)
    return Result(layout.root, is_sealed(layout))


def _execute(settings: Config, out: str | Path | None, workers: int | None, console: Console | None) -> Result:
    from rich.console import Console as NewConsole

    from leakfront.harness.execution.devices import default_workers
    from leakfront.harness.run import run as run_benchmark
    from leakfront.harness.store.layout import Layout

    layout = Layout(Path(out) if out is not None else Path("runs") / settings.name)
    run_benchmark(settings, layout, workers or default_workers(settings), console or NewConsole(soft_wrap=True))
    return Result(layout.root)

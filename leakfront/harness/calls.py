"""The public Python calls: `run` and `attack` as on the command line, and `load` to read a finished run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from leakfront.harness.settings.sections import Config
    from leakfront.results.run.data import RunData
    from leakfront.results.verdict.judge import Verdict


@dataclass(frozen=True)
class Result:
    """A run in its folder, read once: after another `run` there, take a new one.

    finished: whether the last run in the folder came to its end.
    """

    folder: Path
    finished: bool = True
    _kept: object = field(default=None, repr=False, compare=False)  # a temporary folder lives as long as this

    @property
    def rows(self) -> pd.DataFrame:
        """All rows, one number each, with the columns of `leakfront.results.run.rows.Row`."""
        return self._data.rows.copy()

    @cached_property
    def per_image(self) -> pd.DataFrame:
        """What the attacks say of every pool image, with q-values (`leakfront.results.run.per_image.per_image`)."""
        from leakfront.results.run.per_image import per_image

        return per_image(self._data)

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict on the release, by the gate that the run states or the default one; see `leakfront gate`."""
        from leakfront.harness.decision import verdict_of
        from leakfront.harness.store.layout import Layout

        return verdict_of(Layout(self.folder), None)

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

    def show(self) -> None:
        """Print what stands in front of the numbers, and the main table, as `leakfront show` does."""
        from rich.console import Console

        from leakfront.harness.show import print_numbers

        print_numbers(self._data, Console())

    def _repr_html_(self) -> str:
        from leakfront.harness.show import numbers_as_html

        return numbers_as_html(self._data)

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
    model: Any = None,
    *,
    members: Any,
    decoys: Any,
    samples: Any = None,
    reference: Any = None,
    suite: str = "quick-v2",
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    workers: int = 0,
    console: Console | None = None,
) -> Result:
    """Attack a model that was trained elsewhere, generated images, or both, as `leakfront attack` and `samples` do.

    model: the folder of a diffusers pipeline with a UNet2DModel, such a pipeline, or an object with
    `predict_noise(x_t, t, labels)` and `alphas_cumprod` (`leakfront.models.own_network`; with an attribute `classes` if
    it is conditioned on classes). None: generated images are judged alone. samples: images that it generated; None:
    they are drawn from the model. members: images that it was trained on. decoys: images of the same distribution that
    it never saw. reference: images that are neither, for FID.

    Images are a folder, an array or tensor uint8 [N, C, H, W] or floats in [-1, 1], a list of Pillow images, or a pair
    (images, labels) of these and int [N]. suite: a suite's name, such as "quick-v2" or "v2". out: the folder of the
    run, which a later call goes on with; by default a temporary one that is deleted with the result, without a report
    until `Result.report` draws one. workers: processes; 0 runs everything in this process, as an object of your own
    needs. overrides and console are those of `run`.
    Raises `InputError` for wrong input.
    """
    from leakfront.harness.given import TemporaryFolder, device_of, folder_of, model_of
    from leakfront.harness.settings.external import external_config

    inputs, kept = TemporaryFolder(), None if out is not None else TemporaryFolder()
    named = {"members": members, "decoys": decoys, "reference": reference, "samples": samples}
    found = {name: folder_of(images, name, inputs.path) for name, images in named.items() if images is not None}
    folders = {name: folder for name, (folder, _) in found.items()}
    if classes := max(classes for _, classes in found.values()):
        classes = max(classes, int(getattr(model, "classes", 0)))
        overrides = (f"data.params.class_order={[str(label) for label in range(classes)]}", *overrides)
    if (device := device_of(model)) != "cpu":
        overrides = (f"execution.device={device}", *overrides)
    with model_of(model, inputs.path) as known:
        generated = folders.pop("samples", None)
        reference = folders.pop("reference", None)
        settings = external_config(known, **folders, reference=reference, suite=suite, overrides=tuple(overrides),
                                   generated=generated)  # fmt: skip
        folder = kept.path / "run" if kept is not None else out
        result = _execute(settings, folder, workers, console, report=out is not None)
        return replace(result, _kept=kept)


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


def _execute(
    settings: Config, out: str | Path | None, workers: int | None, console: Console | None, report: bool = True
) -> Result:
    """Carry out a run. workers: None for as many as fit, 0 for this process."""
    from rich.console import Console as NewConsole

    from leakfront.harness.execution.devices import default_workers
    from leakfront.harness.run import run as run_benchmark
    from leakfront.harness.store.layout import Layout

    layout = Layout(Path(out) if out is not None else Path("runs") / settings.name)
    count = default_workers(settings) if workers is None else workers
    run_benchmark(settings, layout, count, console or NewConsole(soft_wrap=True), report=report)
    return Result(layout.root)

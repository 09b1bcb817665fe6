"""The checks of metrics, feature extractors, figures and data sets name what is wrong with a plug-in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakfront.datasets import LabelledImages
from leakfront.datasets.digits import Digits
from leakfront.results.features import FittedExtractor
from leakfront.results.features.pixels import Pixels
from leakfront.results.figures import Drawn, Figure, NotDrawn
from leakfront.results.metrics.fid import FID
from leakfront.results.run.data import RunData
from leakfront.results.run.rows import Row, frame
from leakfront.results.statistics.estimate import Estimate
from leakfront.testing import check_dataset, check_feature_extractor, check_figure, check_metric
from tests.testing.broken import Cases, broken, each_of, refused


def anything() -> float:
    """Another number each time."""
    return float(np.random.default_rng().random())


def estimating(change: Callable[..., Any]) -> Any:
    """FID with estimates changed by change(estimate, generated)."""

    def estimate(self: Any, generated: Any, real: Any, seed: int) -> Any:
        return change(FID.estimate(self, generated, real, seed), generated)

    return broken(FID, estimate=estimate)


def shifted(found: Estimate, by: float) -> Estimate:
    return Estimate(found.value + by, found.low + by, found.high + by, found.method)


def spoiled(found: Estimate, generated: Any) -> Estimate:
    generated.matrix()[:] = 0
    return found


METRICS: Cases = [
    (broken(FID, higher_is_better=None), "higher_is_better of metric 'fid' must be true or false"),
    (broken(FID, higher_is_better=True), "must rate no set above the real images themselves; is higher_is_better"),
    (broken(FID, minimum=lambda self, dimensions: 200), "check an instance that accepts 150 images"),
    (broken(FID, check_images=lambda self, *sets: None), "must refuse 8 images, since its minimum is 9"),
    (broken(FID, ceiling=0.5), r"outside its floor and ceiling, 0\.0 and 0\.5"),
    (broken(FID, estimate=lambda self, *_: Estimate(0.0, 0.0, 0.0, "exact")), "must refuse 8 images"),
    (estimating(lambda found, _: found._replace(low=found.value + 1)), "the interval of metric 'fid' must hold"),
    (estimating(lambda found, _: found._replace(method="")), "must say how its interval was made"),
    (estimating(lambda found, _: shifted(found, anything())), "the same estimate with the same seed"),
    (
        estimating(lambda found, rows: shifted(found, rows.matrix()[0].sum())),
        "must not depend on the order of the images",
    ),
    (estimating(lambda found, _: found.value), "metric 'fid' must return an Estimate, not"),
    (estimating(spoiled), "must not change the features in place"),
]


@each_of(METRICS)
def test_a_bad_metric_is_caught(plugin: Any, says: str) -> None:
    refused(check_metric, says, plugin)


class Fitted(FittedExtractor):
    """Pixels as features, changed."""

    accuracy = None

    def __init__(self, extractor: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self._pixels = Pixels.fit(extractor, np.zeros((1, 1, 8, 8), np.uint8), np.zeros(1, np.int64), 0)
        self._change = change

    def extract(self, images: np.ndarray) -> np.ndarray:
        return self._change(self._pixels.extract(images))

    def save(self, path: Path) -> None:
        self._pixels.save(path)


def extracting(change: Callable[[np.ndarray], np.ndarray], of_loaded: Any = None) -> Any:
    return broken(
        Pixels,
        fit=lambda self, images, labels, seed: Fitted(self, change),
        load=lambda self, path: Fitted(self, of_loaded or change),
    )


def remembering(self: Any, images: Any, labels: Any, seed: int) -> Any:
    object.__setattr__(self, "mean", images.mean())
    return Pixels.fit(self, images, labels, seed)


EXTRACTORS: Cases = [
    (extracting(lambda features: features - features.mean(0)), "must not depend on the other images"),
    (extracting(lambda features: features.astype(np.float32)), r"must return float64 \[N, d\]"),
    (extracting(lambda features: features.repeat(30, axis=1)), "more than its dimensions, 768"),
    (extracting(lambda features: features * np.nan), "must be finite"),
    (extracting(lambda features: 0 * features), "must tell images apart"),
    (extracting(lambda features: features + anything()), "must give the same features with the same seed"),
    (
        extracting(lambda features: features, lambda features: features + 1),
        "the same features after saving and loading",
    ),
    (broken(Pixels, fit=remembering), "must return what it found and leave the extractor as it was"),
    (broken(Pixels, fit=lambda self, images, labels, seed: None), "extract raised AttributeError"),
    (broken(Pixels, label=property(lambda self: "")), "the label of feature extractor 'pixels' must be one line"),
    (broken(Pixels, version=lambda self: {"files": {1}}), r"writing version\(\) as JSON raised TypeError"),
]


@each_of(EXTRACTORS)
def test_a_bad_feature_extractor_is_caught(plugin: Any, says: str) -> None:
    refused(check_feature_extractor, says, plugin)


def line(height: float = 1.0) -> Any:
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure()
    figure.subplots().plot([0, height])
    return figure


def figure(draw: Callable[[RunData], Any], **members: Any) -> Any:
    """A figure as another package would write it."""
    stated = {"name": "line", "title": "A line", "__doc__": "A line.", **members}
    return broken(Figure, **stated, draw=lambda self, run: draw(run))


def erased(run: RunData) -> NotDrawn:
    run.rows["value"] = 0.0
    return NotDrawn("nothing to draw")


FIGURES: Cases = [
    (figure(lambda run: None), "must return Drawn or NotDrawn"),
    (figure(lambda run: Drawn(line(), "", "A caption.")), "the title of figure 'line' must be one line"),
    (figure(lambda run: Drawn(line(), "A line", " ")), "must have a caption"),
    (figure(lambda run: Drawn(line(anything()), "A line", "Of some height.")), "the same each time, byte by byte"),
    (figure(lambda run: NotDrawn("")), "the reason of figure 'line' must be one line"),
    (figure(lambda run: NotDrawn("nothing to draw"), title=""), "the title of figure 'line' must be one line"),
    (figure(erased), "must not change the rows of the run"),
    (figure(lambda run: run.nothing), "draw raised AttributeError"),
]


@each_of(FIGURES)
def test_a_bad_figure_is_caught(plugin: Any, says: str, tmp_path: Path) -> None:
    row = Row(run="r", cell="c", dataset="digits", model="unet", defense="none", params="", split="0", kind="privacy",
              source="loss", metric="auc", value=0.6)  # fmt: skip
    frame([row]).to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    refused(check_figure, says, plugin, RunData(tmp_path))
    check_figure(figure(lambda run: Drawn(line(), "A line", "From 0 to 1.")), RunData(tmp_path))


def loading(change: Callable[[LabelledImages], LabelledImages], **members: Any) -> Any:
    return broken(Digits, load=lambda self: change(Digits.load(self)), **members)


def shuffled(data: LabelledImages) -> LabelledImages:
    return replace(data, images=data.images[np.random.default_rng().permutation(len(data))])


def with_roles(change: Callable[[np.ndarray], np.ndarray], count: int = 1797, **members: Any) -> Any:
    """Digits whose even ones are members, and whose odd ones are decoys."""
    return loading(
        lambda data: replace(data, roles=change((np.arange(len(data)) % 2).astype(np.int8))),
        **{"known_membership": True, "has_outside": False, "count": lambda self: count, **members},
    )


DATASETS: Cases = [
    (broken(Digits, places=("path",)), "must be names of its parameters"),
    (broken(Digits, load=lambda self: None), "must return LabelledImages"),
    (broken(Digits, fingerprint=lambda self: [{1}]), "fingerprint raised TypeError"),
    (broken(Digits, fingerprint=lambda self: [anything()]), "the fingerprint of data set 'digits' must be the same"),
    (loading(lambda data: replace(data, images=data.images / 255)), r"must be uint8 \[N, C, H, W\]"),
    (loading(lambda data: replace(data, images=data.images[:, 0])), r"must be uint8 \[N, C, H, W\]"),
    (loading(lambda data: replace(data, images=data.images.repeat(2, axis=1))), "of 1 or 3 channels"),
    (loading(lambda data: replace(data, labels=data.labels[1:])), r"must be int64 \[N\]"),
    (loading(lambda data: replace(data, labels=data.labels + 1)), r"must lie in 0 … 9"),
    (loading(lambda data: replace(data, classes=("a",) * 10)), "must be different texts"),
    (loading(shuffled), "must load the same images and labels in the same order each time"),
    (loading(lambda data: replace(data, roles=np.zeros(len(data), np.int8))), "must state known_membership = True"),
    (broken(Digits, known_membership=True), r"the roles of data set 'digits' must be int8 \[N\]"),
    (with_roles(lambda roles: roles + 1), "must be MEMBER, DECOY or OUTSIDE"),
    (with_roles(lambda roles: 0 * roles), "must have members and decoys"),
    (with_roles(lambda roles: roles, count=5), "is 5, but it loads 1797 members and decoys"),
    (with_roles(lambda roles: roles, has_outside=True), "has_outside of data set 'digits' is True; it must be False"),
]


@each_of(DATASETS)
def test_a_bad_data_set_is_caught(plugin: Any, says: str) -> None:
    refused(check_dataset, says, plugin)


def test_importing_the_checks_imports_neither_torch_nor_pytest() -> None:
    code = (
        "import sys; import leakfront.testing as t; checks = [getattr(t, name) for name in t.__all__]\n"
        "sys.exit(', '.join({'torch', 'pytest', 'pandas', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_no_check_is_refused() -> None:
    import leakfront.testing

    with pytest.raises(AttributeError, match="has no attribute 'check_everything'"):
        _ = leakfront.testing.check_everything

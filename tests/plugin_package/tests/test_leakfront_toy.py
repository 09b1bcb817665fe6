"""Every plug-in of this package keeps to the contract of its kind."""

from pathlib import Path

import pytest
from leakfront_toy.auc_bars import AUCBars
from leakfront_toy.mean_distance import MeanDistance
from leakfront_toy.nearest_image import NearestImage
from leakfront_toy.quantize import Quantize
from leakfront_toy.round_trip import RoundTrip
from leakfront_toy.row_means import RowMeans
from leakfront_toy.stripes import Stripes

from leakfront.errors import InputError
from leakfront.results.run.data import RunData
from leakfront.results.run.rows import Row, frame
from leakfront.testing import (
    check_attack,
    check_dataset,
    check_defense,
    check_feature_extractor,
    check_figure,
    check_metric,
    check_model,
)


def test_the_attack() -> None:
    check_attack(RoundTrip)


def test_the_defense() -> None:
    check_defense(Quantize)
    with pytest.raises(InputError, match="levels is 1; it must lie in 2 … 256"):
        Quantize(levels=1)


def test_the_metric() -> None:
    check_metric(MeanDistance(draws=50))


def test_the_model() -> None:
    check_model(NearestImage)


def test_the_data_set() -> None:
    check_dataset(Stripes(images=20))


def test_the_feature_extractor() -> None:
    check_feature_extractor(RowMeans)


@pytest.mark.parametrize("attacks", [(), ("loss", "pia")])
def test_the_figure(attacks: tuple[str, ...], tmp_path: Path) -> None:
    rows = [
        Row(run="toy", cell="none-split0", dataset="digits", model="unet", defense="none", params="", split="0",
            kind="privacy", source=attack, metric="auc", value=0.6)
        for attack in attacks
    ]  # fmt: skip
    frame(rows).to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    check_figure(AUCBars, RunData(tmp_path))

"""Features in the stages of a run: every image passes the extractor once, however its features are used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from scipy import stats

from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import extractor
from leakfront.harness.stages.extractor import pool_set, reference_set
from leakfront.harness.stages.features import sample_set
from leakfront.harness.stages.pool import stored_pool
from leakfront.harness.stages.sample import load_samples
from leakfront.harness.store.layout import Layout
from leakfront.results.features.embedded import Classifiers
from leakfront.results.metrics.fid import FID
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.run.rows import read_rows
from tests.in_process import run_here
from tests.small_config import small
from tests.synthetic_run import digits

POOL, REFERENCE, SAMPLES, CELLS = 96, 200, 80, 2
ALL = REFERENCE + POOL + SAMPLES + CELLS * SAMPLES  # the third is the noise
METRICS = ["fid", "kid", "recall"]
LOSS = {"loss": {"timesteps": [50], "draws": 1}}
SIDE = {"clusters": 2, "steps": 2, "neighbours": 10}


def quick(**changes: Any) -> dict[str, Any]:
    """Settings of a run that takes a few seconds, with `changes`."""
    settings = {
        "attacks": LOSS,
        "training__steps": 2,
        "metrics__features_params": {"dimensions": 16, "fits": 1, "steps": 5},
    }
    return small(**{**settings, **changes})


def extracted_by(root: Path, settings: dict[str, Any]) -> int:
    """Run in this process; returns how many images passed the extractor."""
    counts = []
    with pytest.MonkeyPatch.context() as patch:
        extract = Classifiers.extract

        def counting(self: Classifiers, images: np.ndarray) -> np.ndarray:
            counts.append(len(images))
            return extract(self, images)

        patch.setattr(Classifiers, "extract", counting)
        outcome, _ = run_here(settings, root, report=False)
    assert not outcome.failed
    assert not outcome.diverged
    return sum(counts)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A finished run, and how many images passed the extractor."""
    root = tmp_path_factory.mktemp("features") / "run"
    return root, extracted_by(root, quick())


@pytest.fixture
def copied(finished: tuple[Path, int], tmp_path: Path) -> Path:
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def test_every_image_passes_the_extractor_once(finished: tuple[Path, int]) -> None:
    assert finished[1] == ALL


def test_another_metric_extracts_nothing_and_attacks_nothing_again(copied: Path) -> None:
    scores = copied / "cells/none-split0/attack/loss/scores.safetensors"
    before = scores.stat().st_mtime_ns
    assert extracted_by(copied, quick(metrics__names=METRICS)) == 0
    rows = read_rows(copied / "results.csv")
    assert set(METRICS) <= set(rows[rows["split"] == "0"]["source"])
    assert set(METRICS) <= set(rows[rows["defense"] == "(noise)"]["source"])
    assert scores.stat().st_mtime_ns == before


def test_another_attack_extracts_nothing_again_though_it_asks_for_features(copied: Path) -> None:
    assert extracted_by(copied, quick(attacks={**LOSS, "side": SIDE})) == 0
    rows = read_rows(copied / "results.csv")
    assert "auc" in set(rows[rows["source"] == "side"]["metric"])


def test_another_extractor_extracts_everything_again(copied: Path) -> None:
    assert extracted_by(copied, quick(metrics__features_params={"dimensions": 16, "fits": 1, "steps": 6})) == ALL


def test_what_is_missing_is_extracted_again_and_in_slices_it_is_the_same(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = copied / "cells/none-split1/features"
    before = ImageSet.stored(features).matrix()
    shutil.rmtree(features)
    monkeypatch.setattr(extractor, "ROWS", 32)
    assert extracted_by(copied, quick()) == SAMPLES
    assert len(list(features.glob("*.safetensors"))) == 3
    np.testing.assert_array_equal(ImageSet.stored(features).matrix(), before)


def test_a_cells_fid_is_that_of_all_its_samples_at_once(finished: tuple[Path, int]) -> None:
    layout, plan = Layout(finished[0]), make_plan(parse_config(quick()))
    pool, extractor = stored_pool(layout), plan.extractor.load(layout.extractor / "extractor.safetensors")
    rows = read_rows(layout.root / "results.csv")
    for cell in plan.cells:
        generated, real = (extractor.extract(x) for x in (load_samples(cell, layout), pool.reference_images))
        found = rows[(rows["cell"] == cell.name) & (rows["metric"] == "fid_embedded-dimensions16-fits1-steps5")][
            "value"
        ].item()
        assert found == pytest.approx(FID().estimate(ImageSet.of(generated), ImageSet.of(real), 0).value, rel=1e-9)


def test_labels_are_the_images_own_or_those_that_a_conditional_model_was_asked_for(copied: Path) -> None:
    layout = Layout(copied)
    pool, cell = stored_pool(layout), make_plan(parse_config(quick())).cells[0]
    real, of_pool = reference_set(layout, pool).labels, pool_set(layout, pool).labels
    assert real is not None
    assert of_pool is not None
    np.testing.assert_array_equal(real, pool.reference_labels)
    np.testing.assert_array_equal(of_pool, pool.labels)
    assert sample_set(cell, layout).labels is None  # this model is unconditional
    path = layout.stage(cell.name, "sample") / "samples.safetensors"
    save_file({**load_file(path), "labels": np.arange(SAMPLES) % 10}, path)
    asked = sample_set(cell, layout).labels
    assert asked is not None
    np.testing.assert_array_equal(asked, np.arange(SAMPLES) % 10)


def test_features_are_keyed_by_the_images_and_the_extractor_and_nothing_else() -> None:
    def keys(**changes: Any) -> tuple[str, str]:
        plan = make_plan(parse_config(quick(**changes)))
        return plan.keys["extractor"], plan.cells[0].keys["features"]

    fitted, features = keys()
    assert keys(metrics__names=METRICS, attacks={**LOSS, "side": SIDE}) == (fitted, features)
    assert keys(statistics__audit_guesses=10, name="another", execution__threads=2) == (fitted, features)
    longer = keys(training__steps=3)
    assert longer[0] == fitted
    assert longer[1] != features
    for changes in ({"metrics__features_params": {"steps": 6}}, {"data__pool": 100}, {"seed": 5}):
        other = keys(**changes)
        assert other[0] != fitted
        assert other[1] != features


def test_several_fits_are_one_row_whose_interval_covers_them_and_a_row_each(tmp_path: Path) -> None:
    root = tmp_path / "run"
    outcome, _ = run_here(quick(metrics__features_params={"dimensions": 16, "steps": 5, "fits": 3}), root, report=False)
    assert not outcome.failed
    rows = read_rows(root / "results.csv")
    rows = rows[rows["source"] == "fid"].set_index(["defense", "split"])
    metric = "fid_embedded-dimensions16-steps5"
    for place in (("none", "0"), ("none", "all"), ("(noise)", "all"), ("(held-out images)", "all")):
        here = rows.loc[[place]]
        one, fits = here[here["metric"] == metric].iloc[0], here[here["metric"] == f"{metric}_of_fit"]
        assert fits["level"].tolist() == [1, 2, 3]
        values = fits["value"].to_numpy()
        assert one["value"] == pytest.approx(values.mean())
        between = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
        assert one["ci_high"] - one["value"] >= between * (1 - 1e-9)
        assert one["ci_method"].endswith("; t over 3 fits of the features")
    layout = Layout(root)
    pool = stored_pool(layout)
    assert pool_set(layout, pool).dimensions == 48
    assert pool_set(layout, pool).first_fit.dimensions == 16


def test_features_that_are_trained_on_classes_are_refused_without_them_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for number, image in enumerate(digits()[:300]):
        Image.fromarray(image[0]).save(tmp_path / "flat" / f"{number}.png")
    flat = quick(data__dataset=f"folder:{tmp_path / 'flat'}", data__reference=100)
    with pytest.raises(InputError, match=r"metrics\.features = 'embedded' needs images of at least 2 classes"):
        check_everything(parse_config(flat), Layout(tmp_path / "run"))
    flat["metrics"] |= {"features": "pixels", "features_params": {}, "names": ["kid"]}
    check_everything(parse_config(flat), Layout(tmp_path / "run"))

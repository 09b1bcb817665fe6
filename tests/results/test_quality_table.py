"""The table of image quality: every metric of the rows, with its parameters, between the ends of the scale."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.aggregate import over_all_splits
from leakfront.results.metrics import metric_facts, row_name
from leakfront.results.metrics.classifier_accuracy import ClassifierAccuracy
from leakfront.results.metrics.fid import FID
from leakfront.results.metrics.kid import KID
from leakfront.results.metrics.precision import Precision
from leakfront.results.page.comparisons import Comparisons
from leakfront.results.page.whole_run import whole_run
from leakfront.results.report import write_report
from leakfront.results.run.combined import combined
from leakfront.results.run.data import RunData
from leakfront.results.run.rows import Row, frame, read_rows
from leakfront.results.run.value import Value
from leakfront.results.tables.quality import quality_table
from leakfront.results.tables.table import Table
from tests.few_figures import only
from tests.small_config import small
from tests.synthetic_run import synthetic_run

MORE = {("precision", "precision_embedded"): 0.8, ("precision", "precision_k5_embedded"): 0.9,
        ("classifier_accuracy", "classifier_accuracy_embedded"): 0.7}  # fmt: skip


def rows_of(run: RunData) -> list[Row]:
    """The rows of a run, to be added to."""
    records = read_rows(run.folder / "results.csv").to_dict("records")
    return [Row(**{**row, "level": None if math.isnan(row["level"]) else row["level"]}) for row in records]


def with_metrics(run: RunData) -> RunData:
    """The run with further metrics next to every FID, each split's 0.1 % higher than the last."""
    rows = rows_of(run)
    for fid in [row for row in rows if row.source == "fid"]:
        for (source, metric), value in MORE.items():
            value += 0.001 * (0 if fid.split == "all" else int(fid.split))
            metric = metric.replace("embedded", fid.metric.removeprefix("fid_"))
            rows.append(replace(fid, source=source, metric=metric, value=value, ci_low=value - 0.1,
                                ci_high=value + 0.1, higher_is_better=True))  # fmt: skip
    frame(rows).to_csv(run.folder / "results.csv", index=False, na_rep="nan")
    metrics = (FID(), KID(), Precision(), Precision(k=5), ClassifierAccuracy())
    info = {**run.info, "metric_facts": metric_facts(metrics, run.info["features"])}
    (run.folder / "run.json").write_text(json.dumps(info))
    return RunData(run.folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return with_metrics(synthetic_run(tmp_path_factory.mktemp("run"), pool=128, samples=150, attacks=("extraction",)))


def column(table: Table | None, key: str) -> list[str]:
    assert table is not None
    return next([str(cell) for cell in column.cells] for column in table.columns if column.key == key)


def test_every_metric_has_a_column_and_the_ends_of_the_scale_have_rows(run: RunData) -> None:
    table = quality_table(run)
    assert table is not None
    titles = ["Defense", "Strength", "FID", "KID", "Precision", "Precision (k = 5)", "Classifier accuracy"]
    assert sorted(c.title for c in table.printed) == sorted(titles)
    assert column(table, "defense") == ["none", "dedup", "(held-out images)", "(noise)"]
    assert column(table, "precision_k5_embedded") == ["0.9 [0.8, 1]"] * 4
    assert column(table, "kid_embedded")[2:] == ["–", "–"]
    [noise] = [c.entries[3] for c in table.columns if c.key == "fid_embedded"]
    assert isinstance(noise, Value)
    assert noise.value == 520


def test_the_notes_say_on_what_the_numbers_rest(run: RunData) -> None:
    table = quality_table(run)
    assert table is not None
    notes = " ".join(table.notes)
    for part in (
        "On embedded features of 150 samples from each model against 600 real images outside the pool",
        "(held-out images): the pool's 128 images",
        "Higher is better, except for FID and KID",
    ):
        assert part in notes


def test_what_their_number_does_to_the_fid_of_held_out_images_is_said(run: RunData, tmp_path: Path) -> None:
    rows = read_rows(run.folder / "results.csv")
    held_out = rows[(rows["defense"] == "(held-out images)") & (rows["source"] == "fid")]
    moved = held_out.assign(metric="fid_embedded_at_samples", value=3.25, n=150)
    of_fit = held_out.assign(metric="fid_embedded_of_fit", level=1.0)
    pd.concat([rows, moved, of_fit]).to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    (tmp_path / "run.json").write_text(json.dumps(run.info))
    table, before = quality_table(RunData(tmp_path)), quality_table(run)
    assert table is not None
    assert before is not None
    assert [c.title for c in table.columns] == [c.title for c in before.columns]
    assert "which at 150 images would have an FID of about 3.25" in " ".join(table.notes)
    assert "would have" not in " ".join(before.notes)
    summary = RunData(tmp_path).summary
    [scale] = [
        found.text
        for found in whole_run(summary, Comparisons(summary, summary.points), summary.points)
        if "ends of the FID scale" in found.text
    ]
    assert "4 [3.6, 4.4] for 150 held-out images (about 3.25 at 150, the number of a model's samples, by" in scale
    assert scale.endswith("520 [468, 572] for noise.")


def test_a_run_with_fid_and_kid_alone_has_no_such_table_and_an_old_one_is_taken_away(
    run: RunData, tmp_path: Path
) -> None:
    plain = synthetic_run(tmp_path / "plain", pool=128, samples=150, attacks=("extraction",))
    assert quality_table(plain) is None
    with only("tradeoff"):
        page = write_report([run], tmp_path / "report").read_text()
    assert page.count("<h2>Image quality</h2>") == 1
    assert page.index("Image quality") < page.index("<h2>Figures</h2>")
    written = [tmp_path / "report" / "tables" / f"quality.{suffix}" for suffix in ("csv", "md", "tex")]
    assert all("0.9" in path.read_text() for path in written)
    with only("tradeoff"):
        page = write_report([plain], tmp_path / "report").read_text()
    assert "<h2>Image quality" not in page
    assert not any(path.exists() for path in written)


def test_runs_on_other_features_have_columns_of_their_own(run: RunData, tmp_path: Path) -> None:
    other = synthetic_run(tmp_path, pool=128, samples=150, attacks=("extraction",), name="other", features="inception")
    table = quality_table(combined([run, with_metrics(other)], force=True))
    assert table is not None
    titles = [c.title for c in table.printed]
    assert "Precision (embedded)" in titles
    assert "Precision (k = 5, inception)" in titles
    assert column(table, "precision_inception")[:3] == ["–", "–", "0.8 [0.7, 0.9]"]
    assert "The runs differ in" in " ".join(table.notes)


def test_without_facts_two_metrics_of_one_source_are_told_apart_by_their_names(run: RunData, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text((run.folder / "results.csv").read_text())
    info = {key: value for key, value in run.info.items() if key != "metric_facts"}
    (tmp_path / "run.json").write_text(json.dumps(info))
    table = quality_table(RunData(tmp_path))
    assert table is not None
    named = ["Precision (precision_embedded)", "Precision (precision_k5_embedded)"]
    assert {"FID", "KID", *named, "Classifier accuracy"} < {c.title for c in table.printed}


# Names of metrics


def test_a_rows_metric_states_the_parameters_that_are_not_the_defaults() -> None:
    assert row_name(Precision()) == row_name(Precision(k=3)) == "precision"
    assert row_name(Precision(k=5)) == "precision_k5"
    assert row_name(KID(subsets=10, subset_size=500)) == "kid_subset_size500_subsets10"


def test_metrics_take_parameters_and_those_are_part_of_the_key() -> None:
    def plan_of(*names: object) -> Plan:
        return make_plan(parse_config(small(metrics__names=list(names))))

    plan = plan_of("fid", "precision", {"name": "precision", "k": 5})
    assert [row_name(metric) for metric in plan.metrics] == ["fid", "precision", "precision_k5"]
    assert plan.keys["reference"] != plan_of("fid", "precision").keys["reference"]
    assert plan_of({"name": "precision", "k": 5}).keys["reference"] != plan_of("precision").keys["reference"]
    assert plan_of({"name": "precision", "k": 3}).keys["reference"] == plan_of("precision").keys["reference"]


def test_accuracies_over_splits_stay_within_their_range() -> None:
    row = Row(run="run", cell="cell", dataset="digits", model="unet", defense="none", params="", split="0",
              kind="utility", source="classifier_accuracy", metric="classifier_accuracy_embedded", value=0.99,
              ci_low=0.97, ci_high=1.0, ci_method="halvings", n=100, higher_is_better=True)  # fmt: skip
    rows = [replace(row, split=str(split), value=value) for split, value in enumerate((0.99, 0.9, 1.0))]
    [over] = over_all_splits(rows, 1e-5, 1)
    assert over.ci_high == 1
    unbounded = [replace(r, source="kid", metric="kid_embedded") for r in rows]
    assert over_all_splits(unbounded, 1e-5, 1)[0].ci_high > 1

"""What a defense costs is a ratio to the undefended model of the same split, and the page prints what it can tell."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from leakfront.results.report import combined, write_report
from leakfront.results.run.data import RunData
from leakfront.results.run.value import Value
from leakfront.results.statistics.ratio import ratio_over_splits
from leakfront.results.tables.attacks import suite_table
from leakfront.results.tables.cost import cost_table
from leakfront.results.tables.main import main_table
from leakfront.results.tables.table import Entry, Table
from tests.few_figures import only
from tests.synthetic_run import TWO, Strength, synthetic_run

SMALL = {"pool": 128, "samples": 150, "attacks": ("extraction", "loss")}
THREE = (TWO[0], Strength("dp_sgd", "epsilon=1", epsilon=1.0), Strength("filter", "ratio=1", past=3))


def entries(table: Table | None, key: str) -> tuple[Entry, ...]:
    assert table is not None
    return next(column.entries for column in table.columns if column.key == key)


def value(entry: Entry) -> Value:
    assert isinstance(entry, Value)
    return entry


def on_gpu(run: RunData) -> RunData:
    info = run.info
    info["config"]["execution"]["device"] = "cuda:0"
    (run.folder / "run.json").write_text(json.dumps(info))
    return RunData(run.folder)


# the statistic ------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_ratio_is_that_of_its_logarithm() -> None:
    rng = np.random.default_rng(0)
    for splits in (2, 3, 7):
        base = rng.uniform(20, 40, splits)
        measured = 3 * base * np.exp(0.1 * rng.normal(size=splits))
        found, log = ratio_over_splits(measured, base), np.log(measured / base)
        low, high = stats.t.interval(0.95, splits - 1, loc=log.mean(), scale=stats.sem(log))
        assert found.value == pytest.approx(stats.gmean(measured / base))
        assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
        assert found.method == f"t of logarithms over {splits} splits"
        back = ratio_over_splits(base, measured)
        assert back[:3] == pytest.approx((1 / found.value, 1 / found.high, 1 / found.low))


def test_what_the_splits_share_does_not_widen_the_interval() -> None:
    slow = np.array([1.0, 5.0, 25.0])  # machines that differ, with a defense that doubles the time of each
    found = ratio_over_splits(2 * slow * [0.99, 1.01, 1.0], slow)
    assert 1.9 < found.low < 2 < found.high < 2.1


def test_ratios_that_do_not_vary_have_no_interval() -> None:
    one, equal, counts = (ratio_over_splits([3.0] * n, [4.0] * n) for n in (1, 2, 3))
    assert one[0] == equal[0] == counts[0] == 0.75
    assert all(math.isnan(end) for found in (one, equal, counts) for end in (found.low, found.high))
    assert (one.method, counts.method) == ("1 split", "3 equal splits")
    assert ratio_over_splits([1.0, 2.0], [3.0, 6.0]).method == "2 equal splits"


def test_pairs_without_two_numbers_are_left_out_and_counted() -> None:
    found = ratio_over_splits([2.0, math.nan, 6.0, 5.0], [1.0, 1.0, 2.0, math.inf])
    assert found[:3] == ratio_over_splits([2.0, 6.0], [1.0, 2.0])[:3]
    assert found.method.endswith("over 2 splits, 2 left out")
    assert math.isnan(ratio_over_splits([], []).value)
    assert ratio_over_splits([math.nan], [1.0]).method == "no pair of finite numbers, 1 left out"


def test_impossible_ratios_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values and 1 bases"):
        ratio_over_splits([1.0, 2.0], [1.0])
    for values, bases in (([0.0], [1.0]), ([1.0], [0.0]), ([-1.0], [-1.0])):
        with pytest.raises(ValueError, match="positive"):
            ratio_over_splits(values, bases)


# the table ----------------------------------------------------------------------------------------------------------


def test_the_table_says_what_the_rows_say(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, THREE, **SMALL)
    table, rows = cost_table(run), run.rows
    for key, source, metric in (
        ("training_seconds", "train", "training_seconds"),
        ("peak_memory_mib", "train", "peak_memory_mib"),
        ("training_model_calls", "train", "training_model_calls"),
        ("sampling_seconds", "sample", "sampling_seconds"),
        ("model_calls_per_sample", "sample", "model_calls_per_image"),
    ):
        of = rows[(rows["source"] == source) & (rows["metric"] == metric)].pivot_table("value", "defense", "split")
        for strength, cost, ratio in zip(THREE, entries(table, key), entries(table, f"{key}_ratio"), strict=True):
            assert value(cost).value == of.loc[strength.defense, "all"]
            mine, its = (of.loc[defense, ["0", "1", "2"]] for defense in (strength.defense, "none"))
            assert value(ratio).value == pytest.approx(stats.gmean(mine / its))
            assert value(ratio).has_interval == (np.ptp(mine / its) > 0)
    assert value(entries(table, "training_seconds_ratio")[1]).low > 2  # a private model of the formula
    assert [value(entry).value for entry in entries(table, "training_model_calls_ratio")] == [1, 0.25, 1]
    assert [value(entry).value for entry in entries(table, "model_calls_per_sample_ratio")] == [1, 1, 2]


def test_the_undefended_model_costs_once_itself(tmp_path: Path) -> None:
    table = cost_table(synthetic_run(tmp_path, TWO, **SMALL))
    assert table is not None
    ratios = [column for column in table.columns if column.key.endswith("_ratio")]
    assert [str(column.cells[0]) for column in ratios] == ["1"] * 5


def test_calls_in_sampling_are_printed_where_they_differ(tmp_path: Path) -> None:
    for name, strengths, printed in (("alike", TWO, False), ("guarded", THREE, True)):
        table = cost_table(synthetic_run(tmp_path / name, strengths, **SMALL))
        assert table is not None
        assert ("Model calls per sample, × none" in [column.title for column in table.printed]) == printed
        assert len(table.printed) == 10 + printed
        lines = list(csv.DictReader(io.StringIO(table.to_csv())))
        assert [float(line["model_calls_per_sample"]) for line in lines[:2]] == [20, 20]


def test_models_that_train_alike_show_what_times_are_worth(tmp_path: Path) -> None:
    guarded = synthetic_run(tmp_path / "guarded", THREE, **SMALL)
    table = cost_table(guarded)
    times = value(entries(table, "training_seconds_ratio")[2]).value
    assert table is not None
    (note,) = [note for note in table.notes if "trained exactly as the undefended model" in note]
    assert note.startswith("filter (ratio=1): ")
    assert f"took {times:.3g} × its time" in note
    several = cost_table(combined([guarded, synthetic_run(tmp_path / "more", THREE, **SMALL)]))
    assert several is not None
    assert any(note.count("filter (ratio=1)") == 2 for note in several.notes)
    alone = cost_table(synthetic_run(tmp_path / "none", TWO, **SMALL))
    assert alone is not None
    assert not any("trained exactly" in note for note in alone.notes)


def test_what_peak_memory_means_depends_on_the_device(tmp_path: Path) -> None:
    cpu, gpu = synthetic_run(tmp_path / "cpu", TWO, **SMALL), on_gpu(synthetic_run(tmp_path / "gpu", TWO, **SMALL))
    for run, said in ((cpu, ["CPU"]), (gpu, ["GPU"]), (combined([gpu, cpu]), ["CPU", "GPU"])):
        table = cost_table(run)
        assert table is not None
        starts = [note.split(" is ")[0] for note in table.notes if note.startswith("Peak memory")]
        assert starts == [f"Peak memory on a {device}" for device in said]


def test_the_notes_name_the_machine(tmp_path: Path) -> None:
    table = cost_table(synthetic_run(tmp_path, TWO, **SMALL))
    assert table is not None
    assert "this run's machine, with 2 workers of 1 thread each" in " ".join(table.notes)
    assert "150 images" in " ".join(table.notes)


def test_of_several_runs_each_has_its_own_undefended_model(tmp_path: Path) -> None:
    one = synthetic_run(tmp_path / "one", TWO, **SMALL)
    other = synthetic_run(tmp_path / "other", [TWO[0], Strength("dp_sgd", "epsilon=1", epsilon=1.0)], name="x", **SMALL)
    table = cost_table(combined([one, other]))
    ratios = [value(entry).value for entry in entries(table, "training_seconds_ratio")]
    alone = [value(entry).value for run in (one, other) for entry in entries(cost_table(run), "training_seconds_ratio")]
    assert ratios == alone
    assert table is not None
    assert "each run's machine" in " ".join(table.notes)


def test_a_model_that_diverged_is_no_row_and_no_pair(tmp_path: Path) -> None:
    lost = (Strength("none", diverged=(1,)), TWO[1], Strength("dp_sgd", "epsilon=1", diverged=(0, 1, 2)))
    run = synthetic_run(tmp_path, lost, **SMALL)
    table, summary = cost_table(run), run.summary
    assert entries(table, "defense") == ("none", "dedup")
    seconds = [summary.per_split(p, "train", "training_seconds") for p in summary.points[:2]]
    pairs = [seconds[1][split].value / seconds[0][split].value for split in ("0", "2")]
    ratio = value(entries(table, "training_seconds_ratio")[1])
    assert ratio.value == pytest.approx(stats.gmean(pairs))
    assert ratio.method == "t of logarithms over 2 splits, 1 left out"


def test_one_split_has_ratios_without_intervals(tmp_path: Path) -> None:
    table = cost_table(synthetic_run(tmp_path, TWO, splits=1, **SMALL))
    assert not any(value(entry).has_interval for entry in entries(table, "training_seconds_ratio"))
    assert value(entries(table, "training_seconds_ratio")[1]).known


def test_what_costs_nothing_or_was_not_measured_has_no_ratio(tmp_path: Path) -> None:
    rows = synthetic_run(tmp_path, TWO, **SMALL).rows
    rows.loc[rows["metric"] == "training_model_calls", "value"] = 0.0  # a model in closed form
    rows.loc[rows["metric"] == "peak_memory_mib", "value"] = math.nan
    rows.to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    table = cost_table(on_gpu(RunData(tmp_path)))
    assert entries(table, "training_model_calls_ratio") == (None, None)
    assert table is not None
    assert [column.title for column in table.printed][2:] == ["Training (s)", "× none", "Sampling (s)", "× none"]


def test_without_two_models_to_compare_there_is_no_table(tmp_path: Path) -> None:
    for number, strengths in enumerate((TWO[:1], TWO[1:], (TWO[1], Strength("none", diverged=(0, 1, 2))))):
        assert cost_table(synthetic_run(tmp_path / str(number), strengths, **SMALL)) is None


def test_the_report_writes_the_table(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path / "run", TWO, **SMALL)
    with only("cost"):
        page = write_report([run], tmp_path / "report").read_text()
    table = cost_table(run)
    assert table is not None
    assert (tmp_path / "report" / "tables" / "cost.csv").read_text() == table.to_csv()
    assert page.index("<h2>Defenses</h2>") < page.index("<h2>Cost</h2>") < page.index("<h2>Figures</h2>")


def test_times_in_cpu_seconds_are_called_so_everywhere(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWO, **SMALL)
    rows = run.rows.copy()
    rows.loc[rows["metric"].str.endswith("_seconds") & (rows["split"] != "all"), "ci_method"] = "CPU time"
    rows.to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    timed = RunData(tmp_path)
    table = cost_table(timed)
    assert table is not None
    assert {"Training (CPU s)", "Sampling (CPU s)"} <= {column.title for column in table.printed}
    assert any("CPU time of a worker" in note for note in table.notes)
    assert "Training (CPU s)" in {column.title for column in main_table(timed).printed}
    assert "Scoring (CPU s)" in {column.title for column in suite_table(timed).printed}
    assert "Training (s)" in {column.title for column in main_table(run).printed}

"""Result files of earlier versions are read as those of today: every old name has exactly one new one, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from leakfront.harness.stages.privacy_rows import range_of
from leakfront.results.run.data import RunData
from leakfront.results.run.old_names import metric_and_level, translated
from leakfront.results.run.rows import COLUMNS, read_rows
from leakfront.results.tables.attacks import attack_table, suite_table
from leakfront.results.tables.main import main_table

# the published files that were written when numbers still travelled in names
PUBLISHED = [
    path
    for path in sorted((Path(__file__).parents[3] / "published").glob("*/results.csv"))
    if ",level," not in path.read_text().partition("\n")[0]
]

LEVELS = {
    **{
        f"{start}_at_fdr_0.05{end}": (f"{start}_at_fdr{end}", 0.05)
        for start in ("extracted", "planted_extracted", "unique_extracted", "decoys_matched", "threshold")
        for end in ("", "_with_weights")
    },
    **{f"tpr_at_fpr_{rate}": ("tpr_at_fpr", rate) for rate in (0.1, 0.01, 0.001)},
    **{
        f"set_{what}_{kind}_{size}": (f"set_{what}_{kind}", float(size))
        for what in ("p_value", "detected")
        for kind in ("members", "decoys")
        for size in (10, 20, 50, 100)
    },
}
RULES = ("adaptive", "distance", "ratio", "flagged")
UNCHANGED = {
    "auc", "left_out", "fid_embedded", "kid_embedded",
    "epsilon_lower_bound", "epsilon_lower_bound_ceiling", "audit_guesses_right",
    "many_run_epsilon_lower_bound", "many_run_epsilon_lower_bound_ceiling",
    "members_before_decoys", "members_before_decoys_with_weights",
    *(f"{kind}_{rule}{end}" for kind in ("members", "decoys", "excess", "precision") for rule in RULES
      for end in ("", "_with_weights")),
    "epsilon", "epsilon_rdp", "delta", "group_epsilon", "noise_multiplier", "sampling_rate", "private_steps",
    "mean_batch_size", "clipped_fraction", "pretrain_seconds", "pretrain_model_calls", "removed",
    "duplicate_precision", "duplicate_recall", "student_steps", "teacher_steps", "images_of_first_teacher",
    "images_of_second_teacher", "training_seconds", "training_steps", "training_model_calls", "peak_memory_mib",
    "sampling_seconds", "probe_seconds", "scoring_seconds", "model_calls_per_image", "model_calls_per_image_apart",
}  # fmt: skip
TODAY = {**LEVELS, **{name: (name, None) for name in UNCHANGED}}


def old_names() -> set[str]:
    """The metrics of the published files, and those of a run of the whole suite that is no longer published."""
    earlier = Path(__file__).with_name("metrics_of_an_earlier_run.txt").read_text().split()
    return {*earlier, *(name for path in PUBLISHED for name in pd.read_csv(path, usecols=["metric"])["metric"])}


def test_every_old_name_has_one_new_name_and_level_and_back() -> None:
    assert len(PUBLISHED) == 4
    assert old_names() <= set(TODAY)
    assert set(LEVELS) <= old_names()  # each was really written
    assert {old: metric_and_level(old) for old in TODAY} == TODAY
    assert len(set(TODAY.values())) == len(TODAY)
    back = {new: old for old, new in TODAY.items()}
    assert all(back[metric_and_level(old)] == old for old in old_names())


def test_the_range_of_every_quantity_is_that_of_earlier_versions() -> None:
    """Then it went by the beginning of the name."""
    began = {
        **dict.fromkeys(("auc", "tpr_", "precision_", "recall_", "coverage_", "set_"), (0, 1)),
        **dict.fromkeys(("extracted", "planted", "unique", "members_", "decoys_", "epsilon"), (0, None)),
    }
    audited = {name for name in TODAY if "epsilon_lower_bound" in name}  # which are not averaged
    for old, (new, _) in TODAY.items():
        if old not in audited | {"fid_embedded", "kid_embedded"}:
            assert range_of(new) == next((ends for start, ends in began.items() if old.startswith(start)), (None, None))


@pytest.mark.parametrize("name", ["precision_k5_embedded", "fid_dinov2-1a2b3c4d", "set_detected_members", "tpr_at_fpr_",
                                  "tpr_at_fpr_x", "my_tpr_at_fpr_0.1", "auc_0.1", ""])  # fmt: skip
def test_other_names_with_numbers_stay_as_they_are(name: str) -> None:
    assert metric_and_level(name) == (name, None)


def test_rates_in_any_notation_are_read() -> None:
    assert metric_and_level("extracted_at_fdr_1e-05") == ("extracted_at_fdr", 1e-5)
    assert metric_and_level("tpr_at_fpr_1") == ("tpr_at_fpr", 1.0)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_a_published_file_is_read_and_drawn_as_a_table(path: Path, tmp_path: Path) -> None:
    rows, old = read_rows(path), pd.read_csv(path, dtype=str, keep_default_na=False)
    assert tuple(rows.columns) == COLUMNS
    assert len(rows) == len(old)
    for name, metric, level in zip(old["metric"], rows["metric"], rows["level"], strict=True):
        assert TODAY[name] == (metric, None if pd.isna(level) else level)
    for column in COLUMNS:
        if column not in ("metric", "level", "value", "ci_low", "ci_high", "n", "higher_is_better"):
            assert (rows[column] == old[column]).all()
    (tmp_path / "results.csv").write_bytes(path.read_bytes())
    (tmp_path / "run.json").write_text(json.dumps({"name": "old", "features": "embedded", "cells": []}))
    run = RunData(tmp_path)
    table = main_table(run)
    shown = {c.key: c for c in table.columns}
    assert [str(cell) for cell in shown["defense"].cells] == [
        f"{p.defense} {p.params}".strip() for p in run.summary.points
    ]
    assert run.summary.rate == 0.05
    for key, metric, level in (("extracted", "extracted_at_fdr", 0.05), ("fid", "fid_embedded", None)):
        chosen = rows[(rows["metric"] == metric) & (rows["split"] == "all")]
        chosen = chosen[chosen["level"].isna() if level is None else chosen["level"] == level]
        chosen = chosen[chosen["source"].isin(("extraction", "fid"))].set_index(["defense", "params"])["value"]
        for point, entry in zip(run.summary.points, shown[key].entries, strict=True):
            expected = chosen.get((point.defense, point.params))
            assert (entry is None) == (expected is None)
            assert entry is None or entry.value == expected  # type: ignore[union-attr]
    assert len(attack_table(run).rows()) > 8
    assert len(suite_table(run).rows()) == len(run.summary.suite)


def test_the_keys_of_an_old_run_json_are_read_as_those_of_today() -> None:
    old = {
        "name": "old",
        "given_model": {"class": "DDPMPipeline"},
        "dataset": {"membership": "given", "pool": 60},
        "attacks": ["loss", "pia"],
        "attack_facts": {"loss": {"access": "loss"}},
        "attack_notes": ["attack loss: left out", "audit of epsilon: left out", "attack pia: a", "attack pia: b"],
    }
    new = translated(old)
    assert new["external_model"] == {"class": "DDPMPipeline"}
    assert "given_model" not in new
    assert new["dataset"] == {"membership": "known", "pool": 60}
    assert new["attack_facts"] == {"loss": {"access": "loss", "note": "left out"}, "pia": {"note": "a; b"}}
    assert translated(json.loads(json.dumps(new))) == new


def test_a_run_states_what_was_known_or_trained_elsewhere(tmp_path: Path) -> None:
    for number, (info, known, external) in enumerate((
        ({"dataset": {"membership": "given"}, "given_model": {"a": 1}}, True, {"a": 1}),
        ({"dataset": {"membership": "known"}, "external_model": {}}, True, {}),
        ({"dataset": {"coin": 0.5}}, False, None),
    )):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(info))
        assert (RunData(folder).known_membership, RunData(folder).external_model) == (known, external)

"""The whole loop from the command line, on real digits with a model that trains in seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from leakfront.results.run.rows import read_rows
from tests.command_line import FIGURES_AS_SVG, WITHOUT_REPORT, leakfront
from tests.few_figures import as_svg
from tests.in_process import command_here
from tests.small_config import FEATURES, small, write_toml

THREE = [{"name": "none"}, {"name": "dedup"}, {"name": "dp_sgd", "epsilon": 10, "accountant": "rdp"}]
METRICS = ["fid", "kid", "precision", "recall", "density", "coverage"]


def settings(defenses: list[dict[str, Any]]) -> dict[str, Any]:
    return small(defenses=defenses, metrics__names=METRICS, training__steps=5, attacks__secmi={"timesteps": [20, 40]})


def without_cost(folder: Path) -> pd.DataFrame:
    rows = read_rows(folder / "results.csv")
    return rows[rows["kind"] != "cost"]


def bytes_without_cost(folder: Path) -> str:
    lines = (folder / "results.csv").read_text().splitlines()
    return "\n".join(line for line in lines if ",cost," not in line)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run, with its config."""
    folder = tmp_path_factory.mktemp("loop")
    config = write_toml(folder / "small.toml", settings(THREE))
    result = leakfront("run", config, "--out", folder / "run", code=FIGURES_AS_SVG)
    assert result.returncode == 0, result.stderr
    return folder / "run", config


def test_every_file_of_a_run_is_there(finished: tuple[Path, str]) -> None:
    run, _ = finished
    for name in (
        "config.toml",
        "results.csv",
        "results.parquet",
        "run.json",
        "per_image.csv",
        "report/index.html",
        "log.jsonl",
    ):
        assert (run / name).is_file(), name
    for suffix in ("pdf", "png", "svg"):
        assert (run / "report" / "figures" / f"tradeoff.{suffix}").is_file()
    page = (run / "report" / "index.html").read_text()
    assert "<dt>wall time</dt>" in page
    pd.testing.assert_frame_equal(
        pd.read_parquet(run / "results.parquet").astype(object).fillna(""),
        read_rows(run / "results.csv").astype(object).fillna(""),
        check_dtype=False,
        check_exact=True,
    )
    assert not list(run.rglob("*.checkpoint"))
    assert not [p for p in run.rglob(".*") if p.name != ".lock"]


def test_every_cell_has_every_row(finished: tuple[Path, str]) -> None:
    rows = without_cost(finished[0])
    per_cell = rows[rows["split"] != "all"].groupby("cell").size()
    assert len(per_cell) == 6
    found = set(zip(rows["source"], rows["metric"], strict=True))
    for source in ("extraction", "loss", "secmi"):
        for metric in ("auc", "tpr_at_fpr", "epsilon_lower_bound"):
            assert (source, metric) in found
        mine = rows[(rows["source"] == source) & (rows["metric"] == "tpr_at_fpr")]
        assert mine["level"].value_counts().to_dict() == dict.fromkeys((0.1, 0.01, 0.001), 9)
    assert set(rows[rows["metric"].str.contains("_at_fdr")]["level"]) == {0.05}
    for metric in ("extracted_at_fdr", "planted_extracted_at_fdr", "excess_adaptive", "excess_ratio"):
        assert ("extraction", metric) in found
    for source, metric in (("fid", f"fid_{FEATURES}"), ("kid", f"kid_{FEATURES}"), ("dedup", "duplicate_recall")):
        assert (source, metric) in found
    assert {"(held-out images)", "(noise)"} < set(rows["defense"])


def test_every_metric_has_its_rows_apart_from_those_of_attacks(finished: tuple[Path, str]) -> None:
    rows = without_cost(finished[0])
    rows = rows[rows["kind"] == "utility"]
    for name in METRICS:
        mine, of_fits = (rows[rows["metric"] == f"{name}_{FEATURES}{end}"] for end in ("", "_of_fit"))
        assert len(of_fits) == 2 * len(mine)
        assert len(mine) == 11  # three defenses on two splits and over both, and both ends of the scale
        assert set(mine["higher_is_better"]) == {name not in ("fid", "kid")}
        assert (mine["ci_low"] < mine["ci_high"]).all()
        if name in METRICS[2:]:
            assert (mine["ci_low"] >= 0).all()
        if name in ("precision", "recall", "coverage"):
            assert (mine["ci_high"] <= 1).all()


def test_every_number_lies_in_its_interval(finished: tuple[Path, str]) -> None:
    rows = read_rows(finished[0] / "results.csv")
    held = rows[rows["ci_low"].notna() & rows["value"].notna()]
    assert len(held) > 100
    assert (held["ci_low"] <= held["value"] + 1e-9).all()
    assert (held["value"] <= held["ci_high"] + 1e-9).all()


def test_a_private_model_reports_the_epsilon_that_it_spent(finished: tuple[Path, str]) -> None:
    rows = without_cost(finished[0])
    spent = rows[(rows["source"] == "dp_sgd") & (rows["metric"] == "epsilon") & (rows["split"] != "all")]["value"]
    assert len(spent) == 2
    assert ((spent > 9) & (spent <= 10)).all()
    info = json.loads((finished[0] / "run.json").read_text())
    assert info["guarantees"]["none"] is None
    assert info["guarantees"]["dp_sgd (epsilon=10, accountant=rdp)"]["epsilon"] == spent.max()


def test_dedup_removed_every_planted_copy(finished: tuple[Path, str]) -> None:
    rows = without_cost(finished[0])
    recall = rows[(rows["defense"] == "dedup") & (rows["metric"] == "duplicate_recall")]["value"]
    assert (recall == 1).all()


def test_the_attacker_knows_which_timestep_was_chosen_on_which_shadows(finished: tuple[Path, str]) -> None:
    choices = json.loads((finished[0] / "cells/none-split0/attack/loss/attack.json").read_text())
    assert choices["shadows"] == 1
    assert "on 1 shadow model" in choices["choices"]["chosen by"]


def test_a_second_run_trains_nothing_and_ends_in_seconds(finished: tuple[Path, str]) -> None:
    run, config = finished
    before, page = (run / "results.csv").read_bytes(), (run / "report" / "index.html").stat().st_mtime_ns
    start = time.monotonic()
    result = command_here("run", config, "--out", run)
    assert result.exit_code == 0
    assert "0 models to train" in result.stdout
    assert (run / "results.csv").read_bytes() == before
    assert (run / "report" / "index.html").stat().st_mtime_ns == page
    assert time.monotonic() - start < 60  # seconds, on a machine however busy


def test_the_report_can_be_redrawn_without_a_model(finished: tuple[Path, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    first = (run / "report" / "index.html").read_bytes()
    shutil.rmtree(run / "report")
    for model in run.glob("models/*/train/model"):
        shutil.rmtree(model)
    with as_svg("tradeoff"):
        assert command_here("report", run).exit_code == 0
    assert (run / "report" / "index.html").read_bytes() == first


def test_show_prints_the_table(finished: tuple[Path, str]) -> None:
    result = command_here("show", finished[0])
    assert result.exit_code == 0
    for word in ("none", "dedup", "dp_sgd"):
        assert word in result.stdout


def test_verify_finds_a_changed_file(finished: tuple[Path, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    assert command_here("verify", run).exit_code == 0
    samples = run / "cells" / "none-split0" / "sample" / "samples.safetensors"
    content = bytearray(samples.read_bytes())
    content[-1] ^= 1
    samples.write_bytes(content)
    result = command_here("verify", run)
    assert result.exit_code == 1
    assert "cells/none-split0/sample: samples.safetensors has changed" in result.stderr


def test_damaged_files_are_reported_and_rebuilt_to_the_same_bytes(finished: tuple[Path, str], tmp_path: Path) -> None:
    """They are detected by checksum: every file keeps its size."""
    run, cell = tmp_path / "run", tmp_path / "run" / "cells" / "none-split0"
    shutil.copytree(finished[0], run)
    model = sorted(run.glob("models/*/train"))[0]
    for path in (model / "model/unet/diffusion_pytorch_model.safetensors", cell / "sample/manifest.json",
                 run / "pool/pool.safetensors", run / "results.csv"):  # fmt: skip
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
    shutil.rmtree(cell / "attack" / "loss")
    assert command_here("show", run).exit_code == command_here("report", run).exit_code == 2
    result = command_here("run", finished[1], "--out", run, report=False)
    assert result.exit_code == 0, result.stderr
    for sentence in (
        f"{model.relative_to(run)}: model/unet/diffusion_pytorch_model.safetensors has changed since it was written",
        "cells/none-split0/sample: manifest.json ",
        "cells/none-split0/attack/loss: the folder is missing; it is rebuilt",
        "pool: pool.safetensors has changed",
        "results.csv has changed since it was written; it is written again",
        "1 model to train",
    ):
        assert sentence in result.stdout
    assert bytes_without_cost(run) == bytes_without_cost(finished[0])
    for path in finished[0].rglob("*.safetensors"):
        assert (run / path.relative_to(finished[0])).read_bytes() == path.read_bytes()
    assert command_here("verify", run).exit_code == 0


def test_adding_a_defense_trains_that_defense_only(finished: tuple[Path, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    kept = {p: p.stat().st_mtime_ns for p in run.glob("models/*/train/manifest.json")}
    config = write_toml(tmp_path / "more.toml", settings([*THREE, {"name": "early_stop"}]))
    result = command_here("run", config, "--out", run, report=False)
    assert result.exit_code == 0, result.stderr
    assert "8 cells (4 defenses x 2 splits), 2 models to train" in result.stdout
    assert all(p.stat().st_mtime_ns == time for p, time in kept.items())
    old, new = without_cost(finished[0]), without_cost(run)
    pd.testing.assert_frame_equal(new[new["defense"].isin(set(old["defense"]))].reset_index(drop=True),
                                  old.reset_index(drop=True))  # fmt: skip


def test_workers_and_order_of_cells_change_no_row(finished: tuple[Path, str], tmp_path: Path) -> None:
    """One process does here what several did there, in another order."""
    config = write_toml(tmp_path / "other.toml", settings(list(reversed(THREE))))
    assert command_here("run", config, "--out", tmp_path / "run", report=False).exit_code == 0
    here, there = (
        frame.sort_values(["defense", "split", "source", "metric"]).reset_index(drop=True)
        for frame in (without_cost(finished[0]), without_cost(tmp_path / "run"))
    )
    pd.testing.assert_frame_equal(here, there, check_exact=True)


@pytest.mark.slow  # `test_training` and the interrupted run below hold the same in less time
@pytest.mark.parametrize("after", [6.0, 9.0, 12.0])
def test_a_killed_and_restarted_run_ends_with_the_same_bytes(
    after: float, finished: tuple[Path, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "leakfront.cli", "run", finished[1], "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert leakfront("run", finished[1], "--out", tmp_path / "run", code=WITHOUT_REPORT).returncode == 0
    assert bytes_without_cost(tmp_path / "run") == bytes_without_cost(finished[0])


def test_an_interrupted_run_keeps_its_state_and_exits_with_130(finished: tuple[Path, str], tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("leakfront")  # "python -m" may exit by the signal
    command = [str(script), "run", finished[1], "--out", str(tmp_path / "run"), "--workers", "1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stdout is not None
    process.stdout.readline()  # the plan is printed when the run has begun
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resumes from there" in errors
    assert "Traceback" not in errors
    assert command_here("verify", tmp_path / "run").exit_code == 0

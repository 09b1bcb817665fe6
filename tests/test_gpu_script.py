"""`make gpu` measures every part; tried on the CPU with a small network."""

import json

import pytest
import torch

from benchmarks import gpu


def test_the_script_measures_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.attacks, "names", lambda: ["gsa", "loss", "outlier"])
    found = json.loads(json.dumps(gpu.measure("cpu", small=True)))
    parts = [found[name] for name in ("training_step", "private_step", "private_step_of_4_draws", "sampling")]
    for part in (*parts, found["attacks"]["gsa"], found["attacks"]["loss"]):
        assert part["images_per_second"] > 0
    assert found["private_over_plain"] == found["private_step"]["seconds"] / found["training_step"]["seconds"]
    assert "skipped" in found["attacks"]["outlier"]
    assert found["seconds"] < gpu.LIMIT


def test_parts_without_time_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LIMIT", 0)
    found = gpu.measure("cpu", small=True)
    assert found["sampling"] == found["attacks"]["loss"] == {"skipped": "no time left"}
    assert found["private_over_plain"] is None


def test_without_a_gpu_the_script_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit, match="no CUDA device"):
        gpu.main()

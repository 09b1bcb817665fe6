"""`leakfront attack` on a text-to-image pipeline: asked with captions where there are any, and it says with what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.plan.make import notes_on
from leakfront.harness.settings.external import external_config
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import read_rows
from tests.in_process import command_here
from tests.models.text_folders import CAPTIONS, SIZE, stable_diffusion

MEMBERS, DECOYS = 12, 10
QUICK = ("--workers", "1", "--set", "sampling.images=24", "--set", "sampling.steps=2",
         "--set", 'attacks.extraction.neighbours=5')  # fmt: skip


def write(folder: Path, numbers: range) -> list[str]:
    folder.mkdir(parents=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return [f"{number}.png" for number in numbers]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline, members and decoys, and a file with all captions."""
    root = tmp_path_factory.mktemp("text")
    stable_diffusion(root / "model")
    names = [f"members/{name}" for name in write(root / "members", range(MEMBERS))]
    names += [f"decoys/{name}" for name in write(root / "decoys", range(50, 50 + DECOYS))]
    lines = [{"file_name": name, "text": f"{CAPTIONS[i % 6]} {i}"} for i, name in enumerate(names)]
    (root / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root


def command(root: Path, *more: str) -> list[str]:
    return ["attack", str(root / "model"), "--members", str(root / "members"), "--decoys", str(root / "decoys"),
            *QUICK, *more]  # fmt: skip


def test_it_is_asked_with_the_captions_of_the_images(given: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = command_here(*command(given, "--captions", str(given / "captions.jsonl"), "--out", str(run)), report=False)
    assert result.exit_code == 0, result.output
    assert "samples: asked for by the captions of members and decoys in turn" in result.output
    assert "1 is what predicting no noise gives" in result.output
    rows = read_rows(run / "results.csv")
    assert set(rows[rows["metric"] == "auc"]["source"]) >= {"extraction", "loss", "pia", "secmi"}
    samples = load_file(run / "cells" / "external_model-split0" / "sample" / "samples.safetensors")
    assert samples["images"].shape == (24, 3, SIZE, SIZE)
    assert samples["prompts"].tolist() == [i % (MEMBERS + DECOYS) for i in range(24)]
    facts = json.loads((run / "cells" / "external_model-split0" / "sample" / "sample.json").read_text())
    assert facts["model_calls_per_image"] == 2 * 2  # with guidance
    kept = next((run / "models").glob("*/train/model"))
    assert {path.parent.name for path in kept.rglob("*") if path.is_file()} == {
        "model", "unet", "vae", "text_encoder", "tokenizer", "scheduler",
    }  # fmt: skip


def config(root: Path, *overrides: str) -> object:
    places = str(root / "model"), str(root / "members"), str(root / "decoys")
    return external_config(*places, None, "quick-v2", ("attacks.extraction.neighbours=5", *overrides))


def test_without_captions_it_is_asked_with_the_empty_one_and_says_so(given: Path, tmp_path: Path) -> None:
    plan, pool = check_everything(config(given), Layout(tmp_path / "run"))
    assert pool.captions is None
    assert plan.config.sampling.guidance == 1
    assert any("asked with the empty caption" in note for note in notes_on(plan))


def test_captions_in_the_folders_are_found(given: Path, tmp_path: Path) -> None:
    places = []
    for name in ("members", "decoys"):
        folder = Path(shutil.copytree(given / name, tmp_path / name))
        rows = [{"file_name": path.name, "text": f"{name} {path.stem}"} for path in sorted(folder.iterdir())]
        (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
        places.append(str(folder))
    overrides = ("attacks.extraction.neighbours=5", f'model.base="{given / "model"}"')
    settings = external_config(str(given / "model"), *places, None, "quick-v2", overrides)
    plan, pool = check_everything(settings, Layout(tmp_path / "run"))
    assert pool.captions is not None
    assert sorted(pool.captions)[-1] == "members 9"
    assert plan.config.sampling.guidance == 7.5
    assert {"clid", "prompt_alignment", "base_ratio"} <= set(plan.judged_by(0))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", r"captions\.jsonl is empty"),
        ('{"file_name": "members/0.png", "text": "a"}', "21 of the 22 images have no caption in"),
        ('{"file_name": "elsewhere/0.png", "text": "a"}', "'elsewhere/0.png', which is no image of"),
        ('{"file_name": "members/0.png", "text": "a"}\n{"file_name": "0.png", "text": "b"}', "a second caption for"),
    ],
)
def test_captions_that_do_not_fit_are_refused_in_a_sentence(
    given: Path, tmp_path: Path, content: str, says: str
) -> None:
    source = tmp_path / "captions.jsonl"
    source.write_text(content.replace("members/", f"{'../' * 0}members/"))
    for name in ("members", "decoys"):
        (tmp_path / name).symlink_to(given / name)
    places = str(given / "model"), str(tmp_path / "members"), str(tmp_path / "decoys")
    settings = external_config(
        *places, None, "quick-v2", ("attacks.extraction.neighbours=5", f'data.params.captions_file="{source}"')
    )
    with pytest.raises(InputError, match=says):
        check_everything(settings, Layout(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_dry_run_states_memory_and_time_and_loads_nothing(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("leakfront.models.external.weights.Weights.load", never)
    more = (
        "--captions",
        str(given / "captions.jsonl"),
        "--generations",
        "12",
        "--dry-run",
        "--out",
        str(tmp_path / "run"),
    )
    result = command_here(*command(given, *more))
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "weights: unet 0.1 M, vae 0.0 M, text_encoder 0.0 M; 0.0 GiB in float32" in text
    assert "operations for an image of 16x16 pixels" in text
    assert "generate_by_prompt" in text
    assert not (tmp_path / "run").exists()

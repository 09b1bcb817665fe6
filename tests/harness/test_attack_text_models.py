"""`leakfront attack` on a text-to-image pipeline: asked with captions where there are any, and it says with what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from leakfront.attacks.extraction import DECODED
from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.plan.make import notes_on
from leakfront.harness.settings import external_text
from leakfront.harness.settings.external import external_config
from leakfront.harness.settings.external_text import as_overrides
from leakfront.harness.settings.sections import Config
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
    assert facts["aside"]["decoded_per_image"] == 1
    assert facts["aside"]["captions_embedded_per_image"] == pytest.approx(1 + 1 / 24)  # the empty one once
    pool = MEMBERS + DECOYS
    beside = rows[(rows["source"] == "probe") & (rows["kind"] == "cost") & (rows["split"] == "0")].set_index("metric")[
        "value"
    ]
    assert beside["decoded_per_image"] >= 1
    assert beside["encoded_per_image"] >= 2  # for queries, and to compare samples with what comes back
    attacked = json.loads((run / "cells/external_model-split0/attack/extraction/attack.json").read_text())
    assert 0 <= attacked["choices"][DECODED] <= pool
    decoded = load_file(run / "cells" / "external_model-split0" / "probe" / "decoded.safetensors")["images"]
    assert decoded.shape == (pool, 3, SIZE, SIZE)
    kept = next((run / "models").glob("*/train/model"))
    assert {path.parent.name for path in kept.rglob("*") if path.is_file()} == {
        "model", "unet", "vae", "text_encoder", "tokenizer", "scheduler",
    }  # fmt: skip


def config(root: Path, *overrides: str) -> Config:
    places = str(root / "model"), str(root / "members"), str(root / "decoys")
    return external_config(*places, None, "quick-v2", ("attacks.extraction.neighbours=5", *overrides))


def test_without_captions_it_is_asked_with_the_empty_one_and_says_so(given: Path, tmp_path: Path) -> None:
    plan, pool = check_everything(config(given), Layout(tmp_path / "run"))
    assert pool.captions is None
    assert plan.config.sampling.guidance == 1
    assert any("asked with the empty caption" in note for note in notes_on(plan))


def test_fewer_captions_are_those_that_the_model_picks_out(given: Path) -> None:
    chosen = as_overrides(str(given / "model"), {"prompts": 5, "generations": 12, "lora": None})
    attack = config(given, f'data.params.captions_file="{given / "captions.jsonl"}"', *chosen).attacks
    assert attack["generate_by_prompt"] == {"once": 5, "samples_per_prompt": 12, "order": "alignment"}
    assert not any("order" in change for change in as_overrides(str(given / "model"), {"generations": 12}))


def test_of_more_images_than_2_gib_the_tightest_cliques_are_kept(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = ("attacks.generate_by_prompt.samples_per_prompt=40",)
    assert "keep" not in config(given, *ask).attacks["generate_by_prompt"]
    monkeypatch.setattr(external_text, "KEEP_GENERATIONS", (MEMBERS + DECOYS) * 40 * 3 * SIZE**2 - 1)
    assert config(given, *ask).attacks["generate_by_prompt"]["keep"] == "cliques"
    assert "keep" not in config(given, *ask, "data.params.size=8").attacks["generate_by_prompt"]
    kept = config(given, *ask, 'attacks.generate_by_prompt.keep="all"').attacks
    assert kept["generate_by_prompt"]["keep"] == "all"


def test_more_images_than_memory_are_refused_before_anything_is_loaded(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakfront.harness.checks.memory", lambda: 2**20)
    ask = (f'data.params.captions_file="{given / "captions.jsonl"}"',
           "attacks.generate_by_prompt.samples_per_prompt=90")  # fmt: skip
    with pytest.raises(InputError, match=r"attacks\.generate_by_prompt keeps 0\.0 GiB of generated images, .*cliques"):
        check_everything(config(given, *ask), Layout(tmp_path / "run"))
    check_everything(config(given, *ask, 'attacks.generate_by_prompt.keep="cliques"'), Layout(tmp_path / "run"))


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

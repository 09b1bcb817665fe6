"""Runs of a text-to-image model: what it is asked for, what defenses of captions do, and what is refused beforehand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from leakfront.errors import InputError
from leakfront.harness.checks import check_captions, check_everything
from leakfront.harness.dry_run import print_plan
from leakfront.harness.plan.external import NO_BASE, NO_NULL, NO_TEXT
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.texts import as_texts
from leakfront.models.text_to_image import TextToImage
from leakfront.registry import parameters
from leakfront.results.run.rows import AUC_OF_PLANTED, read_rows
from leakfront.results.statistics.roc import auc
from tests.in_process import run_here
from tests.models.test_text_to_image import SMALL
from tests.small_config import small

MODEL = {"name": "text_to_image", "channels": [8, 8], "norm_groups": 4, "text_width": 8, "text_heads": 2}
DEFENSES = [
    {"name": "none"},
    {"name": "dedup", "by": "caption"},
    {"name": "caption_noise", "form": "shuffle", "probability": 0.5},
    {"name": "early_stop", "fraction": 0.5},
    {"name": "prompt_guard", "quantile": 0.0, "steps": 1},
]


def settings(**changes: Any) -> dict[str, Any]:
    attacks = {
        "extraction": {"neighbours": 10}, "loss": {"timesteps": [100], "draws": 1},
        "generate_by_prompt": {"samples_per_prompt": 3, "clique": 2, "once": 4},
        "prompt_alignment": {},
    }  # fmt: skip
    found = small(model=MODEL, defenses=DEFENSES, attacks=attacks, splits=1, training__steps=4,
                  sampling__guidance=3.0, sampling__images=60)  # fmt: skip
    found["data"] |= {"dataset": "captioned_digits", "reference": 50}
    found["metrics"] = {"features": "digits_frozen", "names": ["kid"]}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        found[section] = {**found[section], name: value} if name else value
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "run"
    outcome, _ = run_here(settings(), folder, report=False)
    assert (outcome.failed, outcome.diverged) == ({}, [])
    return folder


def cell(run: Path, defense: str, file: str) -> dict[str, np.ndarray]:
    (place,) = run.glob(f"cells/{defense}*-split0/{file}")
    return load_file(place)


def test_every_defense_of_captions_has_its_rows(run: Path) -> None:
    rows = read_rows(run / "results.csv")
    for defense in ("none", "dedup", "caption_noise", "early_stop", "prompt_guard"):
        of_defense = rows[rows["defense"] == defense]
        assert {"auc", "extracted_at_fdr"} <= set(of_defense["metric"])
    guarded = rows[rows["defense"] == "prompt_guard"]
    assert "extracted_at_fdr_with_weights" in set(guarded["metric"])


def test_captions_are_asked_for_as_served_and_with_the_weights_and_what_they_show_is_counted_apart(run: Path) -> None:
    rows = read_rows(run / "results.csv")
    rows = rows[rows["source"] == "generate_by_prompt"].set_index(["defense", "metric"])
    for defense, ending in (("none", ""), ("prompt_guard", ""), ("prompt_guard", "_with_weights")):
        of = rows.loc[defense]["value"].to_dict()
        flagged = sum(of[f"{side}_flagged{ending}"] for side in ("members", "decoys"))
        shown = [of[f"cliques_showing_{kind}{ending}"] for kind in ("member", "decoy", "nothing")]
        assert sum(shown) == flagged
        assert of[f"members_extracted{ending}"] <= of[f"members_flagged{ending}"]
        assert {f"auc{ending}", f"decoys_any_prompt{ending}", f"extracted_at_fdr{ending}"} <= set(of)
    none, guarded = (cell(run, name, "attack/generate_by_prompt/scores.safetensors") for name in
                     ("none", "prompt_guard"))  # fmt: skip
    np.testing.assert_array_equal(guarded["with_weights/score"], none["score"])
    assert (guarded["score"] != none["score"]).any()
    assert none["asked"].sum() == 8 + 4
    assert not list(run.glob("cells/*/generation.checkpoint"))


def test_a_score_of_captions_has_a_row_for_planted_pairs_apart(run: Path) -> None:
    pool, rows = load_file(run / "pool" / "pool.safetensors"), read_rows(run / "results.csv")
    planted = pool["copies"] > 1
    score = cell(run, "none", "attack/prompt_alignment/scores.safetensors")["score"][planted]
    members = cell(run, "none", "prepare/coins.safetensors")["members"].astype(bool)[planted]
    found = rows[(rows["metric"] == AUC_OF_PLANTED) & (rows["defense"] == "none") & (rows["split"] == "0")]
    assert found["source"].tolist() == ["prompt_alignment"]
    assert found["value"].tolist() == [pytest.approx(auc(score, members))]
    assert found["n"].tolist() == [8]


def test_attacks_are_left_out_where_the_model_lacks_what_they_compare_with() -> None:
    asked = {"prompt_alignment": {}, "clid": {}, "base_ratio": {}, "loss": {}}
    of_text = make_plan(parse_config(settings(attacks=asked)))
    assert set(of_text.judged_by(0)) == {"prompt_alignment", "clid", "loss"}
    assert of_text.note("base_ratio", 0) == NO_BASE
    of_images = make_plan(parse_config(small(attacks=asked)))
    assert of_images.judged_by(0) == ["loss"]
    assert of_images.note("prompt_alignment", 0) == of_images.note("clid", 0) == NO_TEXT
    distilled = replace(of_text, model=WithoutNull(**parameters(of_text.model)))
    assert distilled.note("prompt_alignment", 0) == NO_NULL
    assert "clid" in distilled.judged_by(0)


class WithoutNull(TextToImage):
    has_null = False


def test_samples_are_asked_for_by_the_captions_of_the_reference_in_turn(run: Path) -> None:
    pool = load_file(run / "pool" / "pool.safetensors")
    samples = cell(run, "none", "sample/samples.safetensors")
    assert samples["prompts"].tolist() == [i % 50 for i in range(60)]
    assert samples["labels"].tolist() == pool["reference_labels"][samples["prompts"]].tolist()
    assert not set(as_texts(pool["captions"])) & set(as_texts(pool["reference_captions"]))


def test_a_training_set_has_the_captions_of_its_images_and_deduplication_drops_pairs(run: Path) -> None:
    captions = as_texts(load_file(run / "pool" / "pool.safetensors")["captions"])
    whole, dropped = (cell(run, d, "prepare/training_set.safetensors") for d in ("none", "dedup"))
    for kept in (whole, dropped):
        assert as_texts(kept["captions"]) == tuple(captions[i] for i in kept["pool_index"])
    assert len(whole["pool_index"]) > len(dropped["pool_index"]) == len(np.unique(whole["pool_index"]))


def test_guidance_takes_two_calls_a_step_and_the_guard_more(run: Path) -> None:
    steps = settings()["sampling"]["steps"]
    calls = {}
    for defense in ("none", "prompt_guard"):
        (facts,) = run.glob(f"cells/{defense}*-split0/sample/sample.json")
        calls[defense] = json.loads(facts.read_text())["model_calls_per_image"]
    assert calls["none"] == 2 * steps
    assert calls["prompt_guard"] > 2 * steps + 2  # a step of AdamW for each sample, and the threshold


def test_a_guard_uses_the_weights_of_the_undefended_model_and_changes_what_is_served(run: Path) -> None:
    plain, guarded = (cell(run, d, "sample/samples.safetensors") for d in ("none", "prompt_guard"))
    assert np.array_equal(guarded["unguarded"], plain["images"])
    assert not np.array_equal(guarded["images"], plain["images"])
    assert len(list((run / "models").glob("*/train"))) == 4  # prompt_guard has none of its own


def test_the_models_folder_is_what_the_family_loads(run: Path) -> None:
    tokenizers = []
    for folder in (run / "models").glob("*/train/model"):
        model = SMALL.load(folder)
        assert (folder / "model_index.json").is_file()
        tokenizers.append(model.tokenizer.get_vocab())
    assert all(vocabulary == tokenizers[0] for vocabulary in tokenizers)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data__dataset": "digits"}, r"is a text model, and data\.dataset = 'digits' gives no captions; use another"),
        ({"model": {**MODEL, "tokens": 9}}, r"model\.tokens is 9, which cuts \d+ of the 1797 captions"),
        (
            {"model": {"name": "unet", "channels": [8], "head_channels": 8}, "defenses": []},
            r"sampling\.guidance is 3, but 'unet' models know no empty condition",
        ),
        (
            {"model": {"name": "unet", "channels": [8], "head_channels": 8}, "sampling__guidance": 1.0},
            r"caption_noise works on captions, and model\.name = 'unet' is no text model",
        ),
        (
            {"defenses": [{"stack": [{"name": "filter"}, {"name": "prompt_guard"}]}]},
            "prompt_guard makes a new sampler, which would drop what filter does",
        ),
        (
            {"defenses": [{"stack": [{"name": "guidance"}, {"name": "prompt_guard"}]}]},
            "prompt_guard makes a new sampler, which would drop what guidance does",
        ),
        (
            {"model": {**MODEL, "name": "lora"}, "defenses": [{"name": "capacity"}]},
            r"capacity\.width cannot change this model, which has adapters on a base; set capacity\.rank",
        ),
        (
            {"defenses": [{"name": "capacity", "rank": 2}]},
            r"capacity\.rank cannot change this model, which has no adapters; set capacity\.width",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        check_everything(parse_config(settings(**changes)), Layout(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_dry_run_times_the_model_with_captions(tmp_path: Path) -> None:
    out = io.StringIO()
    print_plan(parse_config(settings()), Layout(tmp_path / "run"), 1, Console(file=out, width=200))
    assert "5 cells, 3 models to train" in out.getvalue()
    assert not (tmp_path / "run").exists()


def test_private_training_of_a_text_encoder_is_refused() -> None:
    from leakfront.defenses.dp_sgd import DPSGD
    from leakfront.defenses.training.plain_step import PlainStep
    from leakfront.testing.training import training_setup

    setup = training_setup()
    model: Any = SMALL.build((1, 8, 8), 10, 0, setup.dataset.captions or ())
    setup.network, setup.loss, setup.make_step = model.network.train(), model.loss(), PlainStep
    changed = DPSGD().training(setup)
    with pytest.raises(InputError, match=r"^dp_sgd cannot train a text encoder.*use dp_finetune"):
        changed.make_step(changed)


def test_the_libraries_of_a_text_model_are_part_of_its_key() -> None:
    from leakfront.harness.stages import TRAIN
    from leakfront.harness.stages.stage import Subject
    from leakfront.harness.store.libraries import libraries_of

    plan = make_plan(parse_config(settings()))
    assert {"transformers", "tokenizers", "diffusers"} <= set(libraries_of(TRAIN.code(Subject(plan, plan.cells[0]))))


def test_captions_for_a_model_that_takes_none_are_refused() -> None:
    """They would be read, and passed over."""
    plan: Any = SimpleNamespace(
        model=SimpleNamespace(text=False), external=True, has_model=True, dataset=SimpleNamespace(captions_file="a.csv")
    )
    with pytest.raises(InputError, match=r"\(--captions\) has captions, and the model takes none; leave it out"):
        check_captions(plan, SimpleNamespace())  # type: ignore[arg-type]
    plan.dataset.captions_file = None
    check_captions(plan, SimpleNamespace())  # type: ignore[arg-type]

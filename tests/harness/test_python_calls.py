"""`leakfront.attack` in Python: arrays, pipelines and objects in, the numbers of the command out."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import leakfront
from leakfront.errors import InputError
from leakfront.harness.given import as_uint8, folder_of, model_of
from leakfront.models.in_memory import InMemory
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle
from tests.in_process import command_here, without_report
from tests.test_cli import invoke, refused

SHAPE = (1, 8, 8)
FEW = ("attacks.extraction.neighbours=10", "sampling.images=20", "sampling.steps=2")


def digits() -> tuple[np.ndarray, np.ndarray]:
    images = oracle.digits()
    return images[:40], images[40:60]


def numbers(result: leakfront.Result) -> pd.DataFrame:
    rows = result.rows
    kept = rows[(rows["kind"] == "privacy") & (rows["split"] == "0") & (rows["source"] != "control_files")]
    return kept[["source", "metric", "level", "value"]].reset_index(drop=True)


class Own(torch.nn.Module):
    """A network as somebody's own code has it."""

    def __init__(self, network: Any, alphas_cumprod: torch.Tensor) -> None:
        super().__init__()
        self.network, self.alphas_cumprod = network, alphas_cumprod

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        noise: torch.Tensor = self.network(x_t, t).sample
        return noise


def test_a_folder_a_pipeline_and_an_object_give_the_same_numbers(tmp_path: Path) -> None:
    from diffusers import DDPMPipeline

    members, decoys = digits()
    known = UNet(channels=(8, 8), head_channels=8).build(SHAPE, 1, 3)
    known.save(tmp_path / "model")
    attacks = ("attacks.loss.timesteps=[100]", "attacks.loss.draws=1")
    images: dict[str, Any] = {"members": members, "decoys": decoys, "overrides": (*FEW, *attacks), "suite": ""}
    of_folder = numbers(leakfront.attack(tmp_path / "model", **images))
    assert {"loss", "extraction"} == set(of_folder[of_folder["metric"] == "auc"]["source"])
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "model", use_safetensors=True)
    pd.testing.assert_frame_equal(numbers(leakfront.attack(pipeline, **images)), of_folder)
    own = Own(known.network, known.alphas_cumprod).train()
    pd.testing.assert_frame_equal(numbers(leakfront.attack(own, **images)), of_folder)
    assert all(module.training for module in own.modules())
    assert all(value.requires_grad for value in own.parameters())


def test_images_alone_are_judged_from_arrays_as_from_folders(tmp_path: Path) -> None:
    members, decoys = digits()
    samples = np.concatenate([members[:12], 255 - members[12:20]])
    in_folders = {"members": members, "decoys": decoys, "samples": samples}
    for name, images in in_folders.items():
        folder_of(images, name, tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "samples" / "odd.png")
    result = leakfront.attack(
        samples=torch.from_numpy(samples).float() / 127.5 - 1, members=members, decoys=decoys, overrides=FEW[:1]
    )
    command = ["samples", str(tmp_path / "samples"), "--members", str(tmp_path / "members"), "--decoys",
               str(tmp_path / "decoys"), "--out", str(tmp_path / "run"), "--set", FEW[0],
               "--set", "data.params.skip_bad=true"]  # fmt: skip
    done = command_here(*command, report=False)
    assert done.exit_code == 0, done.output
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (info["samples_per_model"], info["external_model"]["images_alone"]) == (20, 20)
    (note,) = [note for note in info["attack_notes"] if "of the generated images" in note and "odd.png" in note]
    assert note[:50] in done.output
    found = numbers(result)
    pd.testing.assert_frame_equal(numbers(leakfront.load(tmp_path / "run")), found)
    extraction = found[found["source"] == "extraction"].set_index("metric")["value"]
    assert extraction["members_before_decoys"] >= 12
    assert extraction["members_ratio"] == 12
    left_out = set(result.rows[result.rows["metric"] == "left_out"]["source"])
    assert {"loss", "pia", "secmi"} <= left_out
    assert not (result.rows["source"] == "train").any()
    assert result.rows[result.rows["metric"] == "model_calls_per_image"]["value"].eq(0).all()
    assert "<table>" in result._repr_html_()
    folder = result.folder
    assert folder.is_dir()
    del result
    gc.collect()
    assert not folder.exists()


def test_given_samples_take_the_place_of_the_models(tmp_path: Path) -> None:
    """Extraction sees the given images, and the model is asked by the other attacks."""
    members, decoys = digits()
    memorizer = oracle.fitted("memorizer", members)
    with without_report():
        result = leakfront.attack(
            memorizer, samples=members[:15], members=members, decoys=decoys, overrides=FEW[:1], out=tmp_path / "run"
        )
    rows = result.rows[result.rows["split"] == "0"].set_index(["source", "metric"])["value"]
    assert rows[("extraction", "members_ratio")] == 15
    assert rows[("loss", "auc")] == 1
    assert leakfront.load(tmp_path / "run").finished  # it is no temporary run


def test_quality_needs_a_reference(tmp_path: Path) -> None:
    images = oracle.digits()
    result = leakfront.attack(
        samples=images[300:400], members=images[:60], decoys=images[60:120], reference=images[120:220],
        overrides=FEW[:1],
    )  # fmt: skip
    utility = result.rows[(result.rows["kind"] == "utility") & (result.rows["split"] == "0")]
    assert set(utility["source"]) == {"kid", "precision", "recall", "density", "coverage"}  # FID needs more images


def test_classes_reach_a_model_in_their_order() -> None:
    """A closed form of each class: with wrong classes it would not know its members."""
    members, decoys = digits()
    of_class = {label: oracle.fitted("memorizer", members[label::3]) for label in range(3)}

    class Conditional:
        classes = 3
        alphas_cumprod = of_class[0].alphas_cumprod

        def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            rows = [of_class[int(y)].predict_noise(x[None], s[None]) for x, s, y in zip(x_t, t, labels, strict=True)]
            return torch.cat(rows)

    labels = np.arange(40) % 3
    images: dict[str, Any] = {"members": (members, labels), "decoys": (decoys, labels[:20])}
    only = (*FEW, "attacks.loss.draws=1", "attacks.loss.timesteps=[100]")
    rows = leakfront.attack(Conditional(), **images, overrides=only).rows
    assert rows[(rows["source"] == "loss") & (rows["metric"] == "auc")]["value"].eq(1).all()
    with pytest.raises(InputError, match="conditioned on 3 classes"):
        leakfront.attack(Conditional(), members=members, decoys=decoys, overrides=only)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((4, 8, 8, 3), np.uint8), r"move them with transpose\(0, 3, 1, 2\)"),
        (np.zeros((4, 8, 8), np.uint8), r"x is uint8 \[4, 8, 8\]; it must be a folder"),
        (np.zeros((0, 1, 8, 8), np.uint8), "must be a folder"),
        (np.zeros((4, 1, 8, 8), np.int64), "x is int64"),
        (np.ones((4, 1, 8, 8), np.float32), "floats from 1 to 1, which are not in"),
        (np.linspace(0, 1, 64).reshape(1, 1, 8, 8), "2 \\* x - 1"),
        (np.linspace(-1, 255, 64).reshape(1, 1, 8, 8), "floats from -1 to 255"),
        ([Image.new("L", (8, 8)), Image.new("RGB", (8, 8))], "must have one size"),
    ],
)
def test_images_that_can_be_read_in_two_ways_are_refused(images: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        as_uint8(images, "x")


def test_floats_and_pillow_images_are_the_levels_that_they_state() -> None:
    levels = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8) * 4
    np.testing.assert_array_equal(as_uint8(levels.astype(np.float32) / 127.5 - 1, "x"), levels)
    grey, coloured = Image.fromarray(levels[0, 0]), Image.fromarray(np.stack([levels[0, 0]] * 3, axis=2))
    np.testing.assert_array_equal(as_uint8([grey], "x"), levels)
    np.testing.assert_array_equal(as_uint8([coloured], "x"), levels.repeat(3, axis=1))


def test_what_cannot_be_attacked_is_said(tmp_path: Path) -> None:
    members, decoys = digits()
    with pytest.raises(InputError, match="there is nothing to attack"):
        leakfront.attack(members=members, decoys=decoys)
    with pytest.raises(InputError, match="model is a dict; it must be a folder"), model_of({}, tmp_path):
        pass
    with pytest.raises(InputError, match="one for each"):
        folder_of((members, np.arange(3)), "members", tmp_path)
    with pytest.raises(InputError, match="16x16 pixels and 1 channels, and members and decoys 8x8 and 1"):
        leakfront.attack(samples=np.zeros((9, 1, 16, 16), np.uint8), members=members, decoys=decoys, overrides=FEW[:1])
    with pytest.raises(InputError, match=r"has 40 generated images; set sampling\.images = 40"):
        leakfront.attack(samples=members, members=members, decoys=decoys, overrides=("sampling.images=3",))


def test_what_a_config_cannot_name_is_refused(tmp_path: Path) -> None:
    base = ["run", "digits", "--out", str(tmp_path / "run"), "--dry-run", "--set"]
    assert "needs images to judge" in refused(invoke(*base, 'model={name="no_model"}'))
    assert "data.dataset must be members_decoys" in refused(invoke(*base, "generated=images"))
    with pytest.raises(InputError, match=r"call leakfront\.attack with the object again"):
        _ = InMemory("Own-1").timesteps

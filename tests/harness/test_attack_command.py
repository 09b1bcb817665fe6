"""`leakfront attack`: a run of one external model claims nothing that needs coins, shadows or a reference."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from leakfront.errors import InputError
from leakfront.models.unet import UNet
from leakfront.results.run.rows import read_rows
from leakfront.results.statistics.counts import extracted_at_fdr
from tests.datasets.test_members_decoys import picture, write
from tests.in_process import command_here
from tests.test_cli import invoke, refused

MEMBERS, DECOYS = 40, 20
QUICK = (
    "--workers", "1", "--set", "sampling.images=60", "--set", "sampling.steps=3",
    "--set", "attacks.extraction.neighbours=10",
)  # fmt: skip


def inputs(root: Path, members: range | list[int] = range(MEMBERS), decoys: range = range(100, 100 + DECOYS)) -> Path:
    """A folder with a model and two folders of images."""
    UNet(channels=(8, 8), head_channels=8).build((1, 8, 8), 1, 3).save(root / "model")
    write(root / "members", members)
    write(root / "decoys", decoys)
    return root


def command(root: Path, *more: str) -> list[str]:
    return ["attack", str(root / "model"), "--members", str(root / "members"), "--decoys", str(root / "decoys"),
            "--out", str(root / "run"), *QUICK, *more]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = inputs(tmp_path_factory.mktemp("attack"))
    result = command_here(*command(root))
    assert result.exit_code == 0, result.output
    assert "external model" in result.output  # the table
    return root


def rows_of(root: Path) -> pd.DataFrame:
    return read_rows(root / "run" / "results.csv")


def test_it_has_the_rows_of_a_run_without_epsilon_fid_or_training(finished: Path) -> None:
    rows = rows_of(finished)
    assert set(rows[rows["metric"] == "auc"]["source"]) == {"extraction", "loss", "pia", "secmi"}
    assert (rows["suite"] == "quick-v2, changed").all()
    assert not rows["metric"].str.contains("epsilon|audit_guesses|fid|kid").any()
    assert set(rows["defense"]) == {"external model"}
    assert "train" not in set(rows["source"])
    audit = rows[rows["source"] == "one_run_audit"]
    assert audit["metric"].tolist() == ["left_out"]
    assert "independent fair coins" in audit["ci_method"].iloc[0]


def test_false_discoveries_are_counted_at_the_true_share_of_members(finished: Path) -> None:
    cell = finished / "run" / "cells" / "external_model-split0"
    score = load_file(cell / "attack" / "extraction" / "scores.safetensors")["score"]
    members = load_file(cell / "prepare" / "coins.safetensors")["members"].astype(bool)
    pool = load_file(finished / "run" / "pool" / "pool.safetensors")["images"]
    known = {picture(seed).tobytes() for seed in range(MEMBERS)}
    assert members.tolist() == [image.tobytes() in known for image in pool]
    rows = rows_of(finished).query("source == 'extraction' and split == '0'").set_index("metric")
    expected = extracted_at_fdr(score, members, 0.05, MEMBERS / (MEMBERS + DECOYS))
    assert rows.loc["extracted_at_fdr", "value"] == expected.count
    # 20 / 0.05 of equal sides; here every decoy stands for two members
    assert rows.loc["extracted_at_fdr", "ci_method"].endswith("at least 40 can be reported")


def test_the_report_says_that_membership_is_known_and_what_is_left_out(finished: Path) -> None:
    page = (finished / "run" / "report" / "index.html").read_text()
    assert "Membership is known, not drawn by coins" in page
    assert f"Pool of {MEMBERS + DECOYS} images, {MEMBERS} of them known members" in page
    assert "only the sampling error within this one model" in page
    assert "no FID: there are no images outside the pool" in page
    assert "Audit of epsilon: left out: membership is known" in page
    assert "Claimed and audited epsilon: not drawn" in page
    for claim in ("fair coin for every", "undefended model</h2>", "Fréchet", "coin flip"):
        assert claim not in page, claim


def test_a_second_call_makes_nothing_again_and_the_other_commands_take_the_folder(finished: Path) -> None:
    cells = finished / "run" / "cells"
    before = {path: path.stat().st_mtime_ns for path in cells.rglob("*") if path.is_file()}
    assert command_here(*command(finished)).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in cells.rglob("*") if path.is_file()} == before
    for other in ("verify", "show", "report"):
        result = invoke(other, finished / "run")
        assert result.exit_code == 0, result.output


def test_it_writes_nowhere_but_to_the_folder_of_the_run(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == ["decoys", "members", "model", "run"]
    assert {path.name for path in (finished / "model").rglob("*") if path.is_file()} == {
        "model_index.json", "config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json",
    }  # fmt: skip


def pickled(root: Path) -> None:
    (root / "model" / "unet" / "diffusion_pytorch_model.safetensors").rename(root / "model" / "unet" / "weights.bin")


def cut(root: Path) -> None:
    weights = root / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])


def other_size(root: Path) -> None:
    for name in ("members", "decoys"):
        shutil.rmtree(root / name)
        write(root / name, range(30) if name == "members" else range(40, 70), 9)


def fewer(name: str) -> Any:
    def change(root: Path) -> None:
        for file in sorted((root / name).iterdir())[1:]:
            file.unlink()

    return change


def gone(name: str) -> Any:
    return lambda root: shutil.rmtree(root / name)


def shared(root: Path) -> None:
    shutil.copy(root / "members" / "001.png", root / "decoys" / "copy.png")


@pytest.mark.parametrize(
    ("change", "more", "says"),
    [
        (pickled, (), "weights are read from safetensors only"),
        (cut, (), "cannot be read as safetensors"),
        (other_size, (), "is for 8x8 images with 1 channel (grey), but the images have 9x9 pixels"),
        (shared, (), "are the same image, which cannot be both member and decoy"),
        (fewer("members"), (), "1 distinct members and 20 decoys"),
        (fewer("decoys"), (), "40 distinct members and 1 decoys"),
        (gone("members"), (), "members does not exist"),
        (gone("decoys"), (), "decoys does not exist"),
        (gone("model"), (), "model does not exist"),
        (None, ("--reference", "nowhere"), "nowhere does not exist"),
        (None, ("--suite", "v9"), "suite = 'v9' does not exist"),
        (None, ("--set", "splits=2"), "set splits = 1"),
        (None, ("--set", "model.path=elsewhere"), "elsewhere does not exist"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, change: Any, more: tuple[str, ...], says: str
) -> None:
    root = inputs(tmp_path)
    if change is not None:
        change(root)
    assert says in refused(invoke(*command(root, *more)))
    assert not (root / "run").exists()


def test_images_are_converted_where_that_is_asked_for(tmp_path: Path) -> None:
    """The plan alone; larger images of a model of 8x8 ones, brought to its size."""
    from leakfront.harness.run import check_everything
    from leakfront.harness.settings.external import external_config
    from leakfront.harness.store.layout import Layout

    root = inputs(tmp_path)
    other_size(root)
    places = (str(root / "model"), str(root / "members"), str(root / "decoys"))
    config = external_config(*places, None, "quick-v2", ("data.params.size=8", "attacks.extraction.neighbours=10"))
    _, pool = check_everything(config, Layout(root / "run"))
    assert pool.images.shape == (60, 1, 8, 8)
    assert np.count_nonzero(pool.membership) == 30


def test_a_model_of_classes_wants_images_in_as_many(tmp_path: Path) -> None:
    from leakfront.harness.run import check_everything
    from leakfront.harness.settings.external import external_config
    from leakfront.harness.store.layout import Layout

    root = inputs(tmp_path)
    UNet(channels=(8, 8), head_channels=8, conditional=True).build((1, 8, 8), 2, 3).save(root / "model")
    (root / "model" / "model_index.json").unlink()  # a class-conditional network has no pipeline, its parts alone
    assert "is conditioned on 2 classes, and the images have 1" in refused(invoke(*command(root)))
    for name, first in (("members", 0), ("decoys", 100)):
        shutil.rmtree(root / name)
        for label in ("0", "1"):
            write(root / name / label, range(first + 20 * int(label), first + 20 * int(label) + 20))
    places = (str(root / "model"), str(root / "members"), str(root / "decoys"))
    config = external_config(*places, None, "quick-v2", ("attacks.extraction.neighbours=10",))
    _, pool = check_everything(config, Layout(root / "run"))
    known = {picture(seed).tobytes(): (seed % 100) // 20 for seed in (*range(40), *range(100, 140))}
    assert pool.labels.tolist() == [known[image.tobytes()] for image in pool.images]


def test_classes_without_images_are_listed_in_the_models_order(tmp_path: Path) -> None:
    """The model knows 3 classes, and the images have the first and the last of them."""
    from leakfront.harness.run import check_everything
    from leakfront.harness.settings.external import external_config
    from leakfront.harness.store.layout import Layout

    UNet(channels=(8, 8), head_channels=8, conditional=True).build((1, 8, 8), 3, 3).save(tmp_path / "model")
    for name, first in (("members", 0), ("decoys", 100)):
        for number, label in enumerate(("cat", "owl")):
            write(tmp_path / name / label, range(first + 10 * number, first + 10 * number + 10))
    places = (str(tmp_path / "model"), str(tmp_path / "members"), str(tmp_path / "decoys"))
    neighbours = "attacks.extraction.neighbours=10"
    with pytest.raises(InputError, match=r"3 classes, and the images have 2; .* as data\.params\.class_order"):
        check_everything(external_config(*places, None, "quick-v2", (neighbours,)), Layout(tmp_path / "run"))
    order = 'data.params.class_order=["cat", "dog", "owl"]'
    config = external_config(*places, None, "quick-v2", (neighbours, order))
    plan, pool = check_everything(config, Layout(tmp_path / "run"))
    assert plan.model.classes == len(pool.classes) == 3
    assert sorted(set(pool.labels.tolist())) == [0, 2]

"""Known membership: it is read from two folders, hidden from the attacks, and never treated as coins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets import DECOY, MEMBER, OUTSIDE, LabelledImages, open_dataset
from leakfront.errors import InputError
from leakfront.harness.plan.make import make_plan, notes_on
from leakfront.harness.pool.known_membership import build_known_pool, load_membership, save_membership
from leakfront.harness.pool.pool import load_pool, save_pool
from leakfront.harness.settings.sections import parse_config
from leakfront.models.unet import UNet
from tests.small_config import small


def picture(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)


def write(folder: Path, seeds: range | list[int], size: int = 8) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        Image.fromarray(picture(seed, size)).save(folder / f"{number:03d}.png")
    return str(folder)


def given(roles: list[int], seeds: list[int] | None = None) -> LabelledImages:
    images = np.stack([picture(seed)[None] for seed in seeds or range(len(roles))])
    return LabelledImages(images, np.zeros(len(roles), np.int64), roles=np.array(roles, np.int8))


def test_every_image_has_the_role_of_its_folder(tmp_path: Path) -> None:
    members, decoys = write(tmp_path / "a", range(3)), write(tmp_path / "b", range(10, 15))
    reference = write(tmp_path / "c", range(20, 22))
    dataset = open_dataset("members_decoys", members=members, decoys=decoys, reference=reference)
    data = dataset.load()
    assert dataset.count() == 8
    for role, seeds in ((MEMBER, range(3)), (DECOY, range(10, 15)), (OUTSIDE, range(20, 22))):
        found = {image.tobytes() for image in data.images[data.roles == role]}
        assert found == {picture(seed).tobytes() for seed in seeds}


def test_an_image_that_is_both_is_refused_by_name(tmp_path: Path) -> None:
    members, decoys = write(tmp_path / "a", [1, 2, 3]), write(tmp_path / "b", [4, 3, 2])
    dataset = open_dataset("members_decoys", members=members, decoys=decoys)
    with pytest.raises(InputError, match=r"a/002.png and .*b/001.png are the same image \(and 1 more such pairs\)"):
        dataset.load()


def test_folders_that_differ_in_size_or_in_having_classes_are_refused(tmp_path: Path) -> None:
    members = write(tmp_path / "a", range(3))
    larger = open_dataset("members_decoys", members=members, decoys=write(tmp_path / "b", range(4, 7), 9))
    with pytest.raises(InputError, match=r"members are 8x8 grey and those in decoys 9x9 grey; set data\.params\.size"):
        larger.load()
    write(tmp_path / "c" / "class", range(7, 9))
    classes = open_dataset("members_decoys", members=members, decoys=str(tmp_path / "c"))
    with pytest.raises(InputError, match="sub-folders, which are classes, and the other has none"):
        classes.load()


def test_the_pool_holds_all_distinct_members_and_decoys_in_an_order_blind_to_roles() -> None:
    roles = [MEMBER] * 40 + [DECOY] * 20 + [OUTSIDE] * 6
    pool = build_known_pool(given(roles), None, seed=0)
    assert (len(pool), pool.membership.sum(), len(pool.reference_images), len(pool.extractor_images)) == (60, 40, 4, 2)
    again = build_known_pool(given([DECOY] * 40 + [MEMBER] * 20 + [OUTSIDE] * 6), None, seed=0)
    np.testing.assert_array_equal(again.images, pool.images)  # the same place, whatever the role
    np.testing.assert_array_equal(again.membership, ~pool.membership)
    assert 0 < pool.membership[:20].mean() < 1


def test_copies_in_a_folder_count_once_and_a_reference_image_is_no_member() -> None:
    roles = [MEMBER, MEMBER, MEMBER, DECOY, DECOY, OUTSIDE, OUTSIDE]
    pool = build_known_pool(given(roles, [1, 1, 2, 3, 4, 2, 5]), 1, 0)
    assert (len(pool), pool.membership.sum(), pool.duplicates_dropped) == (4, 2, 2)
    assert pool.reference_images.tobytes() == picture(5).tobytes()
    with pytest.raises(InputError, match="reference = 3, but 1 distinct images are neither"):
        build_known_pool(given([MEMBER, MEMBER, DECOY, DECOY, OUTSIDE]), 3, 0)


@pytest.mark.parametrize("roles", [[MEMBER] * 5 + [DECOY], [MEMBER] + [DECOY] * 5])
def test_fewer_than_two_of_either_are_refused(roles: list[int]) -> None:
    with pytest.raises(InputError, match="at least 2 of each"):
        build_known_pool(given(roles), None, 0)


def test_the_stored_pool_does_not_say_who_the_members_are(tmp_path: Path) -> None:
    """Attacks get the same file, byte for byte, if all members become decoys."""
    for name, roles in (("one", [MEMBER] * 4 + [DECOY] * 4), ("other", [DECOY] * 4 + [MEMBER] * 4)):
        pool = build_known_pool(given(roles), None, 0)
        save_pool(pool, tmp_path / name)
        save_membership(pool, tmp_path / f"{name}.members")
        assert load_pool(tmp_path / name).membership is None
        np.testing.assert_array_equal(load_membership(tmp_path / f"{name}.members"), pool.membership)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A config as `leakfront attack` makes it, in TOML's types."""
    UNet(channels=(8, 8), head_channels=8).build((1, 8, 8), 1, 3).save(tmp_path / "model")
    data = {"members": write(tmp_path / "a", range(30)), "decoys": write(tmp_path / "b", range(50, 70))}
    return small(
        splits=1,
        model={"name": "pipeline", "path": str(tmp_path / "model")},
        data={"dataset": "members_decoys", "params": data, "pool": 50},
        metrics={"names": [], "features": "pixels"},
    )


def test_what_a_given_membership_or_model_cannot_have_is_refused(settings: dict[str, Any]) -> None:
    make_plan(parse_config(settings))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"splits": 2}, "set splits = 1"),
        ({"data": {**settings["data"], "coin": 0.6}}, "leave out data.coin = 0.6"),
        ({"data": {**settings["data"], "pool": 40}}, "set data.pool = 50"),
        ({"data": {**settings["data"], "duplicates": {"groups": 2}}}, "set data.duplicates.groups = 0"),
        ({"metrics": {"names": ["fid"]}}, "data.params.reference"),
        ({"defenses": [{"name": "dedup"}]}, "defenses cannot be applied to an external model"),
        ({"data": {"dataset": "digits"}}, "must state who its members are, as members_decoys does"),
    ]
    for change, says in cases:
        with pytest.raises(InputError, match=says):
            make_plan(parse_config({**settings, **change}))


def test_attacks_that_need_shadow_models_or_images_outside_are_left_out_and_not_asked_for(
    settings: dict[str, Any],
) -> None:
    settings["suite"] = "v1"
    del settings["attacks"]
    plan = make_plan(parse_config(settings))
    notes = dict(note.removeprefix("attack ").split(": ", 1) for note in notes_on(plan))
    left_out = set(plan.attacks) - set(plan.judged_by(0))
    assert left_out == {
        "quantile", "lira_online", "lira_offline", "lira_strong", "secmi_learned", "dataset_inference", "gsa1", "gsa2",
        "trajectory",
    }  # fmt: skip
    assert all(notes[label].startswith("left out: it needs") for label in left_out)
    assert "neither member nor decoy" in notes["quantile"]
    assert notes["audit of epsilon"].startswith("left out")
    assert notes["FID"].startswith("left out")
    assert plan.outside_signals == []
    wanted = {signal for label in plan.judged_by(0) for signal in plan.attacks[label].signals()}
    assert set(plan.signals) == wanted
    assert not wanted >= set(plan.attacks["gsa1"].signals())


def test_keys_follow_the_images_and_the_model_and_not_where_they_lie(settings: dict[str, Any], tmp_path: Path) -> None:
    import shutil

    def keys() -> tuple[str, str]:
        plan = make_plan(parse_config(settings))
        return plan.keys["pool"], plan.cells[0].keys["train"]

    before, params = keys(), settings["data"]["params"]
    moved = {name: str(shutil.copytree(path, tmp_path / "moved" / name)) for name, path in params.items()}
    settings["data"]["params"] = moved
    settings["model"]["path"] = str(shutil.copytree(settings["model"]["path"], tmp_path / "moved" / "model"))
    assert keys() == before
    settings["data"]["params"] = {"members": moved["decoys"], "decoys": moved["members"]}
    assert keys()[0] != before[0]

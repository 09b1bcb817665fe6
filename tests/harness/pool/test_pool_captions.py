"""Captions stay with their images, from the data to the training set and through files, and depend on no coin."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakfront.datasets import DECOY, MEMBER, OUTSIDE, LabelledImages
from leakfront.defenses import TrainingSet
from leakfront.defenses.none import NoDefense
from leakfront.errors import InputError
from leakfront.harness.pool.known_membership import build_known_pool
from leakfront.harness.pool.pool import Pool, PoolSettings, build_pool, load_pool, save_pool, training_set
from leakfront.harness.stages.prepare import prepared
from leakfront.harness.store.texts import as_array, as_texts
from tests.harness.pool.test_pool import keys, random_images, same


def captioned(n: int = 200) -> LabelledImages:
    """Images with captions that state their first pixels."""
    data = random_images(n)
    return dataclasses.replace(data, captions=tuple(map(told, data.images)))


def told(image: np.ndarray) -> str:
    return f"ü {image.reshape(-1)[:4].tolist()}"


def parts(pool: Pool) -> list[tuple[np.ndarray, tuple[str, ...] | None]]:
    return [
        (pool.images, pool.captions),
        (pool.reference_images, pool.reference_captions),
        (pool.extractor_images, pool.extractor_captions),
    ]


def test_captions_stay_with_their_images() -> None:
    pool = build_pool(captioned(), PoolSettings(80), seed=1)
    for images, captions in parts(pool):
        assert captions == tuple(map(told, images))
    assert pool.all_captions == tuple(sorted(set(captioned().captions or ())))
    roles = np.array([MEMBER, DECOY, OUTSIDE, OUTSIDE] * 50, dtype=np.int8)
    known = build_known_pool(dataclasses.replace(captioned(), roles=roles), None, seed=1)
    assert [len(captions or ()) for _, captions in parts(known)] == [100, 67, 33]
    for images, captions in parts(known):
        assert captions == tuple(map(told, images))


def test_data_without_captions_has_a_pool_without_captions() -> None:
    pool = build_pool(random_images(), PoolSettings(80), seed=1)
    assert [captions for _, captions in parts(pool)] == [None] * 3
    assert pool.all_captions == ()
    assert training_set(pool, np.ones(80, bool)).captions is None


def test_captions_change_neither_the_draw_nor_the_coins_but_the_checksum() -> None:
    plain, with_captions = (build_pool(data, PoolSettings(80), seed=1) for data in (random_images(), captioned()))
    assert keys(plain.images) == keys(with_captions.images)
    sums = {plain.checksum, with_captions.checksum}
    for name in ("captions", "reference_captions", "extractor_captions"):
        changed = ("another", *(getattr(with_captions, name))[1:])
        sums.add(dataclasses.replace(with_captions, **{name: changed}).checksum)
    assert len(sums) == 5


def test_of_an_image_with_two_captions_the_first_in_order_of_text_is_kept() -> None:
    data = captioned()
    assert data.captions is not None
    again = LabelledImages(
        np.concatenate([data.images, data.images]), np.concatenate([data.labels, data.labels]), data.classes,
        captions=tuple(f"ÿ {text}" for text in data.captions) + data.captions,
    )  # fmt: skip
    pool = build_pool(again, PoolSettings(80), seed=1)
    assert pool.duplicates_dropped == 200
    assert pool.captions == tuple(map(told, pool.images))


@pytest.mark.parametrize("reference", [None, 120])  # without images for an extractor
def test_a_pool_comes_back_from_its_file_with_its_captions(tmp_path: Path, reference: int | None) -> None:
    pool = build_pool(captioned(), PoolSettings(80, reference=reference), seed=1)
    save_pool(pool, tmp_path / "pool.safetensors")
    back = load_pool(tmp_path / "pool.safetensors")
    assert same(pool, back)
    assert [captions for _, captions in parts(back)] == [captions for _, captions in parts(pool)]
    assert back.checksum == pool.checksum


def test_a_pool_file_with_damaged_captions_is_named(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "pool.safetensors"
    save_pool(build_pool(captioned(), PoolSettings(80), seed=1), path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file({**load_file(path), "captions": np.full(5, 255, np.uint8)}, path, metadata)
    with pytest.raises(InputError, match=r"pool\.safetensors cannot be read"):
        load_pool(path)


def test_each_copy_in_a_training_set_has_the_caption_of_its_image() -> None:
    pool = build_pool(captioned(), PoolSettings(80, groups=4, copies=3, copy_kind="noised"), seed=1)
    whole = training_set(pool, np.arange(80) % 2 == 0)
    assert whole.captions == tuple((pool.captions or ())[i] for i in whole.pool_index)
    keep = np.arange(len(whole)) % 3 == 1
    assert whole.select(keep).captions == tuple(np.array(whole.captions)[keep])
    assert whole.select(np.array([5, 2])).captions == ((whole.captions or ())[5], (whole.captions or ())[2])
    assert whole.select(np.zeros(0, np.int64)).captions == ()


@pytest.mark.parametrize("texts", [(), ("",), ("a", "", "ü 🐕", "c\nd")])
def test_texts_come_back_from_arrays(texts: tuple[str, ...]) -> None:
    array = as_array(texts)
    assert array.dtype == np.uint8
    assert as_texts(array) == texts


def test_what_cannot_be_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="null character"):
        as_array(["a\0b"])
    with pytest.raises(ValueError, match="cut"):
        as_texts(as_array(["ab"])[:-1])


@pytest.mark.parametrize(
    "prepare",
    [
        lambda dataset: TrainingSet(dataset.images, dataset.labels, dataset.pool_index),
        lambda dataset: dataclasses.replace(dataset, captions=(dataset.captions or ())[1:]),
    ],
)
def test_a_defense_that_loses_captions_is_refused(prepare: Any) -> None:
    whole = training_set(build_pool(captioned(), PoolSettings(80), seed=1), np.ones(80, bool))
    assert prepared(NoDefense(), whole) is whole
    careless = type("Careless", (NoDefense,), {"prepare": lambda self, dataset: prepare(dataset), "name": "careless"})
    with pytest.raises(InputError, match="careless does not keep a caption with each image"):
        prepared(careless(), whole)

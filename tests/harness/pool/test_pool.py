"""The pool is a random choice of distinct images, and its coins are fair, independent and reproducible."""

import dataclasses
import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets import LabelledImages, open_dataset
from leakfront.errors import InputError
from leakfront.harness.pool.planted_duplicates import altered_copies, noised, recompressed, shifted
from leakfront.harness.pool.pool import Pool, PoolSettings, build_pool, flip_coins, load_pool, save_pool, training_set


def random_images(n: int = 200, channels: int = 1, side: int = 8, seed: int = 0) -> LabelledImages:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    return LabelledImages(images, generator.integers(0, 3, n), ("a", "b", "c"))


def keys(images: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in images]


def same(a: Pool, b: Pool) -> bool:
    """Whether two pools are equal but for the names and facts of files."""
    names = [field.name for field in dataclasses.fields(Pool) if field.name != "files"]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


# drawing


def test_pool_reference_and_extractor_are_disjoint_and_together_all_the_data() -> None:
    data = random_images(200)
    pool = build_pool(data, PoolSettings(80), seed=1)
    parts = [keys(pool.images), keys(pool.reference_images), keys(pool.extractor_images)]
    assert [len(part) for part in parts] == [80, 80, 40]  # two thirds and one third of the images outside
    assert len(pool) == 80
    assert sorted(key for part in parts for key in part) == sorted(keys(data.images))


def test_labels_stay_with_their_images() -> None:
    data = random_images()
    pool = build_pool(data, PoolSettings(80), seed=1)
    label = dict(zip(keys(data.images), data.labels.tolist(), strict=True))
    for images, labels in [
        (pool.images, pool.labels),
        (pool.reference_images, pool.reference_labels),
        (pool.extractor_images, pool.extractor_labels),
    ]:
        assert labels.tolist() == [label[key] for key in keys(images)]
        assert labels.dtype == np.int64
    assert pool.classes == data.classes


def test_the_number_of_reference_images_can_be_set() -> None:
    pool = build_pool(random_images(200), PoolSettings(80, reference=110), seed=1)
    assert (len(pool.reference_images), len(pool.extractor_images)) == (110, 10)
    whole = build_pool(random_images(200), PoolSettings(200, reference=0), seed=1)
    assert (len(whole), len(whole.reference_images), len(whole.extractor_images)) == (200, 0, 0)


def test_exact_duplicates_in_the_data_are_dropped_and_counted() -> None:
    data = random_images(50)
    doubled = LabelledImages(
        np.concatenate([data.images, data.images[:20], data.images[:5]]),
        np.concatenate([data.labels + 1, data.labels[:20], data.labels[:5] + 2]),
        ("a", "b", "c", "d", "e"),
        skipped=4,
    )
    pool = build_pool(doubled, PoolSettings(25), seed=1)
    everything = keys(np.concatenate([pool.images, pool.reference_images, pool.extractor_images]))
    assert len(everything) == len(set(everything)) == 50
    assert (pool.duplicates_dropped, pool.skipped) == (25, 4)
    smallest = dict(zip(keys(data.images), [*data.labels[:20], *(data.labels[20:] + 1)], strict=True))
    assert pool.labels.tolist() == [smallest[key] for key in keys(pool.images)]


def test_the_pool_depends_on_the_seed_and_on_nothing_else() -> None:
    data, settings = random_images(), PoolSettings(80, groups=5, copies=4, copy_kind="noised")
    assert same(build_pool(data, settings, 1), build_pool(data, settings, 1))
    other = build_pool(data, settings, 2)
    common = set(keys(other.images)) & set(keys(build_pool(data, settings, 1).images))
    assert 15 < len(common) < 50  # 32 expected of an independent choice


def test_every_image_is_as_likely_as_any_other_to_be_in_the_pool_and_to_be_planted() -> None:
    data, draws = random_images(40, side=2), 400
    number = {key: i for i, key in enumerate(keys(data.images))}
    inside, planted, places = np.zeros(40), np.zeros(40), np.zeros(10)
    for seed in range(draws):
        pool = build_pool(data, PoolSettings(10, groups=2, copies=2), seed)
        inside[[number[key] for key in keys(pool.images)]] += 1
        planted[[number[key] for key in keys(pool.images[pool.copies > 1])]] += 1
        places += pool.copies > 1
    for counts, p in [(inside, 10 / 40), (planted, 2 / 40), (places, 2 / 10)]:
        assert np.abs(counts - draws * p).max() < 4.5 * math.sqrt(draws * p * (1 - p))


def test_the_order_of_the_data_does_not_matter() -> None:
    data, settings = random_images(), PoolSettings(80, groups=5, copies=4, copy_kind="shifted")
    order = np.random.default_rng(5).permutation(len(data))
    shuffled = LabelledImages(data.images[order], data.labels[order], data.classes)
    assert same(build_pool(data, settings, 1), build_pool(shuffled, settings, 1))


def test_a_folder_written_in_another_order_under_other_names_gives_the_same_pool(tmp_path: Path) -> None:
    data = random_images(30)
    for place, order in {"one": np.arange(30), "two": np.random.default_rng(1).permutation(30)}.items():
        for name, i in enumerate(order):
            folder = tmp_path / place / data.classes[data.labels[i]]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(data.images[i, 0]).save(folder / f"{name}.png")
    one, two = (build_pool(open_dataset(f"folder:{tmp_path / p}").load(), PoolSettings(12), 7) for p in ("one", "two"))
    assert same(one, two)
    assert one.checksum == two.checksum


def test_the_embedded_data_gives_the_default_pool() -> None:
    pool = build_pool(open_dataset("digits").load(), PoolSettings(1024), seed=0)
    assert (len(pool), len(pool.reference_images), len(pool.extractor_images)) == (1024, 515, 258)
    assert pool.duplicates_dropped == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 3}, "1.5 members"),
        ({"size": 100, "coin": 0.01}, "1 members and 99 decoys"),
        ({"size": 100, "coin": 0.99}, "1 decoys"),
        ({"size": 100, "coin": 0.0}, "coin"),
        ({"size": 100, "coin": 1.0}, "coin"),
        ({"size": 100, "coin": math.nan}, "coin"),
        ({"size": 100, "groups": 101}, "groups"),
        ({"size": 100, "groups": -1}, "groups"),
        ({"size": 100, "groups": 1, "copies": 0}, "copies"),
        ({"size": 100, "reference": -1}, "reference"),
        ({"size": 100, "copy_kind": "rotated"}, "shifted"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PoolSettings(**settings)


def test_too_few_images_are_refused_with_the_numbers() -> None:
    data = random_images(100)
    twice = LabelledImages(data.images.repeat(2, axis=0), data.labels.repeat(2), data.classes)
    with pytest.raises(
        InputError, match=r"pool = 60 and reference = 41 make 101, but .* 100 distinct images \(100 exact"
    ):
        build_pool(twice, PoolSettings(60, reference=41), 0)
    with pytest.raises(InputError, match=r"pool = 101 .*100 distinct"):
        build_pool(data, PoolSettings(101), 0)
    with pytest.raises(InputError, match="too few images outside"):
        build_pool(data, PoolSettings(99), 0)
    assert len(build_pool(data, PoolSettings(98), 0).extractor_images) == 1


# planted duplicates


@pytest.mark.parametrize(
    ("groups", "levels", "each"),
    [(96, (1, 2, 4, 8, 16, 32), [16] * 6), (20, (5, 1, 3), [7, 7, 6]), (3, (9, 2, 4), [1, 1, 1])],
)
def test_several_numbers_of_copies_are_dealt_evenly(groups: int, levels: tuple[int, ...], each: list[int]) -> None:
    pool = build_pool(random_images(), PoolSettings(120, groups=groups, copies=levels), seed=1)
    not_planted = 120 - groups
    expected = {level: number + (not_planted if level == 1 else 0) for level, number in zip(levels, each, strict=True)}
    assert {level: int((pool.copies == level).sum()) for level in levels} == expected
    assert pool.copies.sum() == not_planted + np.dot(levels, each)
    training = training_set(pool, np.ones(120, dtype=bool))
    assert np.bincount(training.pool_index).tolist() == pool.copies.tolist()


def test_every_planted_image_is_as_likely_as_any_other_to_have_a_number_of_copies() -> None:
    data, draws = random_images(12, side=2), 600
    number, counts = {key: i for i, key in enumerate(keys(data.images))}, np.zeros((2, 12))
    for seed in range(draws):
        pool = build_pool(data, PoolSettings(10, groups=4, copies=(2, 3), reference=0), seed)
        for row, level in enumerate((2, 3)):
            counts[row, [number[key] for key in keys(pool.images[pool.copies == level])]] += 1
    p = 2 / 12
    assert np.abs(counts - draws * p).max() < 4.5 * math.sqrt(draws * p * (1 - p))


def test_each_planted_image_has_as_many_altered_copies_as_its_number() -> None:
    pool = build_pool(random_images(), PoolSettings(60, groups=12, copies=(1, 3, 6), copy_kind="noised"), seed=1)
    assert np.bincount(pool.variant_of, minlength=60).tolist() == pool.copies.tolist()


def test_one_number_alone_is_the_same_as_a_list_of_it() -> None:
    one, several = (PoolSettings(60, groups=12, copies=copies) for copies in (4, (4,)))
    assert same(build_pool(random_images(), one, 1), build_pool(random_images(), several, 1))


def test_the_requested_number_of_groups_has_copies() -> None:
    pool = build_pool(random_images(), PoolSettings(80, groups=7, copies=5), seed=1)
    assert np.bincount(pool.copies).tolist() == [0, 73, 0, 0, 0, 7]
    assert np.array_equal(pool.variants, pool.images)  # exact copies are no new pictures
    assert np.array_equal(pool.variant_of, np.arange(80))


@pytest.mark.parametrize(("kind", "altered"), [("shifted", 8), ("noised", 11), ("recompressed", 1)])
def test_variants_are_the_image_itself_and_then_its_altered_copies(kind: Any, altered: int) -> None:
    data = random_images(channels=3, side=16)
    pool = build_pool(data, PoolSettings(80, groups=3, copies=12, copy_kind=kind), seed=1)
    planted = np.flatnonzero(pool.copies > 1)
    assert np.array_equal(pool.variants[:80], pool.images)
    assert pool.variant_of.tolist() == [*range(80), *np.repeat(planted, altered)]
    assert len(set(keys(pool.variants))) == 80 + 3 * altered
    for i in planted:
        others = altered_copies(pool.images[i], kind, 11, seed=0)
        first = pool.variants[80:][pool.variant_of[80:] == i][0]
        if kind != "noised":
            assert first.tobytes() in keys(np.stack(others))
        assert 0 < np.abs(first.astype(float) - pool.images[i]).mean() < 120


def test_an_altered_copy_is_never_another_image_of_the_data() -> None:
    image = random_images(1, side=4).images[0]
    moved = np.stack([image, *altered_copies(image, "shifted", 8, seed=0)])
    everything = LabelledImages(
        np.concatenate([moved, random_images(20, side=4, seed=9).images]), np.zeros(29, np.int64)
    )
    for seed in range(20):
        pool = build_pool(everything, PoolSettings(20, groups=20, copies=9, copy_kind="shifted"), seed)
        outside = {*keys(pool.reference_images), *keys(pool.extractor_images)}
        pictures = keys(pool.variants)
        assert not outside & set(pictures)
        assert len(pictures) == len(set(pictures))


def test_shifting_moves_by_one_pixel_and_repeats_the_edge() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    assert shifted(image, 1, 0)[0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert shifted(image, 0, -1)[0].tolist() == [[1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]
    assert len(set(keys(np.stack(altered_copies(image, "shifted", 99, seed=0))))) == 8


def test_the_first_shift_goes_in_any_of_the_8_directions() -> None:
    image = random_images(1).images[0]
    first = [altered_copies(image, "shifted", 1, seed)[0].tobytes() for seed in range(100)]
    assert len(set(first)) == 8


def test_noise_has_a_standard_deviation_of_8_and_stays_in_range() -> None:
    grey = np.full((3, 64, 64), 128, dtype=np.uint8)
    difference = noised(grey, np.random.default_rng(0)).astype(float) - 128
    assert abs(difference.std() - 8) < 0.3  # 12,288 draws, rounding adds 0.005
    assert abs(difference.mean()) < 0.4
    dark = noised(np.zeros((1, 64, 64), dtype=np.uint8), np.random.default_rng(0))
    assert dark.max() < 64  # nothing wraps around


@pytest.mark.parametrize("channels", [1, 3])
def test_recompression_keeps_the_shape_and_changes_little(channels: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8), (channels, 32, 32)).copy()
    ramp[0, ::3] //= 2
    again = recompressed(ramp)
    assert again.shape == ramp.shape
    assert again.dtype == np.uint8
    assert 0 < np.abs(again.astype(float) - ramp).mean() < 16
    assert np.array_equal(recompressed(ramp), again)


# coins


@pytest.fixture(scope="module")
def large_pool() -> Pool:
    return build_pool(random_images(4000, side=2), PoolSettings(3000, groups=10, copies=3), seed=3)


@pytest.mark.parametrize("coin", [0.5, 0.2])
def test_coins_come_up_with_their_probability(large_pool: Pool, coin: float) -> None:
    settings = PoolSettings(3000, coin=coin)
    flips = np.stack([flip_coins(large_pool, settings, seed=3, split=split) for split in range(8)])
    assert flips.dtype == bool
    assert abs(flips.mean() - coin) < 4 * math.sqrt(coin * (1 - coin) / flips.size)
    per_image = np.bincount(flips.sum(axis=0), minlength=9) / 3000  # binomial over splits if they are independent
    binomial = np.array([math.comb(8, k) * coin**k * (1 - coin) ** (8 - k) for k in range(9)])
    assert np.abs(per_image - binomial).max() < 0.04


def test_coins_of_neighbours_splits_and_seeds_are_independent(large_pool: Pool) -> None:
    settings = PoolSettings(3000)
    flips = flip_coins(large_pool, settings, seed=3, split=0)
    others = [
        flip_coins(large_pool, settings, seed=3, split=1),
        flip_coins(large_pool, settings, seed=4, split=0),
        np.roll(flips, 1),
        large_pool.labels > 0,
        large_pool.copies > 1,
    ]
    for other in others:
        assert abs(np.corrcoef(flips, other)[0, 1]) < 4 / math.sqrt(3000)


def test_coins_do_not_depend_on_earlier_flips(large_pool: Pool) -> None:
    settings = PoolSettings(3000)
    forwards = [flip_coins(large_pool, settings, 3, split) for split in range(4)]
    backwards = [flip_coins(large_pool, settings, 3, split) for split in reversed(range(4))]
    assert np.array_equal(forwards, backwards[::-1])
    assert len({tuple(f) for f in forwards}) == 4


def test_coins_are_the_same_as_in_earlier_versions(large_pool: Pool) -> None:
    """A change here would make every run on disk disagree with its own splits."""
    first = flip_coins(large_pool, PoolSettings(3000), seed=0, split=0)[:24]
    assert "".join(str(int(flip)) for flip in first) == "110000100001100100110001"


# training set


@pytest.mark.parametrize("kind", ["exact", "shifted", "noised", "recompressed"])
def test_training_sees_members_only_and_planted_groups_all_or_nothing(kind: Any) -> None:
    data = random_images()
    settings = PoolSettings(80, groups=20, copies=10, copy_kind=kind)
    pool = build_pool(data, settings, seed=1)
    for split in range(3):
        members = flip_coins(pool, settings, 1, split)
        training = training_set(pool, members)
        assert np.array_equal(np.bincount(training.pool_index, minlength=80), np.where(members, pool.copies, 0))
        assert training.labels.tolist() == pool.labels[training.pool_index].tolist()
        hidden = {*keys(pool.images[~members]), *keys(pool.reference_images), *keys(pool.extractor_images)}
        assert not hidden & set(keys(training.images))
        allowed = {(key, i) for key, i in zip(keys(pool.variants), pool.variant_of, strict=True) if members[i]}
        assert set(zip(keys(training.images), training.pool_index, strict=True)) == allowed
        planted = members & (pool.copies > 1)
        assert 0 < planted.sum() < 20  # some groups are in and some out, so the test means something


def test_variants_follow_in_turn_after_the_image_itself() -> None:
    settings = PoolSettings(80, groups=80, copies=12, copy_kind="shifted")
    pool = build_pool(random_images(), settings, seed=1)
    training = training_set(pool, np.ones(80, dtype=bool))
    images = keys(training.images[training.pool_index == 17])
    shifts = keys(pool.variants[80:][pool.variant_of[80:] == 17])
    assert images == [pool.images[17].tobytes(), *shifts, *shifts[:3]]  # there are 8 shifts, so 3 of them repeat


def test_an_image_that_no_alteration_changes_is_repeated_unchanged() -> None:
    flat = LabelledImages(
        np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(8, 2).repeat(8, 3), np.zeros(40, int)
    )
    pool = build_pool(flat, PoolSettings(20, groups=20, copies=3, copy_kind="shifted"), seed=0)
    training = training_set(pool, np.ones(20, dtype=bool))
    assert len(pool.variants) == 20
    assert keys(training.images) == keys(pool.images.repeat(3, axis=0))


def test_a_split_without_members_and_wrong_masks_are_refused() -> None:
    pool = build_pool(random_images(), PoolSettings(80), seed=1)
    with pytest.raises(InputError, match="larger"):
        training_set(pool, np.zeros(80, dtype=bool))
    with pytest.raises(ValueError, match=r"bool \[80\]"):
        training_set(pool, np.arange(80))
    with pytest.raises(ValueError, match=r"bool \[80\]"):
        training_set(pool, np.ones(79, dtype=bool))


# file


@pytest.mark.parametrize("kind", ["exact", "noised"])
def test_a_pool_comes_back_from_its_file(tmp_path: Path, kind: Any) -> None:
    data = dataclasses.replace(random_images(), skipped=2)
    pool = build_pool(data, PoolSettings(80, reference=120, groups=4, copies=3, copy_kind=kind), seed=1)
    save_pool(pool, tmp_path / "pool.safetensors")
    back = load_pool(tmp_path / "pool.safetensors")
    assert same(pool, back)
    assert back.checksum == pool.checksum


@pytest.mark.parametrize("kind", ["exact", "noised"])
def test_a_stored_pool_is_mapped_variants_and_all(tmp_path: Path, kind: Any) -> None:
    pool = build_pool(random_images(), PoolSettings(80, reference=120, groups=4, copies=3, copy_kind=kind), seed=1)
    save_pool(pool, tmp_path / "pool.safetensors")
    back = load_pool(tmp_path / "pool.safetensors")
    for array in (back.images, back.variants, back.labels, back.reference_images, back.extractor_images):
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base, mmap.mmap)


def test_a_worker_leaves_the_check_of_a_pool_to_the_process_that_started_the_run(tmp_path: Path) -> None:
    pool = build_pool(random_images(), PoolSettings(80), seed=1)
    path = tmp_path / "pool.safetensors"
    save_pool(pool, path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert len(load_pool(path, check=False)) == 80
    with pytest.raises(InputError, match="does not have its checksum"):
        load_pool(path)


def test_the_checksum_changes_with_any_pixel_label_or_copy() -> None:
    pool = build_pool(random_images(), PoolSettings(80, groups=4, copies=3, copy_kind="noised"), seed=1)
    sums = {pool.checksum}
    for name in ["images", "labels", "copies", "variants", "variant_of", "reference_images", "extractor_labels"]:
        changed = getattr(pool, name).copy()
        changed.reshape(-1)[-1] += 1
        sums.add(dataclasses.replace(pool, **{name: changed}).checksum)
    assert len(sums) == 8


def test_a_damaged_or_missing_pool_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pool.safetensors"
    with pytest.raises(InputError, match=r"pool\.safetensors cannot be read"):
        load_pool(path)
    save_pool(build_pool(random_images(), PoolSettings(80), seed=1), path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=r"pool\.safetensors does not have its checksum"):
        load_pool(path)
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"pool\.safetensors cannot be read"):
        load_pool(path)

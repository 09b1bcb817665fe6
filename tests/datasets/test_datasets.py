"""Data sets load as uint8 [N, C, H, W] with labels, and one sentence says what is wrong with a bad one."""

import gzip
import hashlib
import os
import pickle
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets import LabelledImages, open_dataset, registry, through_torchvision
from leakfront.datasets.files.decode import MAX_PIXELS
from leakfront.errors import InputError

TEST_DATA = Path(os.environ.get("LEAKFRONT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def refusal(spec: str, **params: Any) -> str:
    """The error of a data set that cannot be opened or loaded."""
    with pytest.raises(InputError) as caught:
        open_dataset(spec, **params).load()
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def grey(seed: int = 0, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


def rgb(seed: int = 0, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def save(folder: Path, name: str, pixels: np.ndarray, **options: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    for number, name in enumerate(["dog/b.png", "cat/2.png", "cat/10.png", "dog/a.png"]):
        save(tmp_path, name, grey(number))
    return tmp_path


# digits


def test_digits_are_scikit_learns_images_spread_over_all_of_uint8() -> None:
    from sklearn.datasets import load_digits

    data, original = open_dataset("digits").load(), load_digits()
    assert data.images.shape == (1797, 1, 8, 8)
    assert data.images.dtype == np.uint8
    assert np.array_equal(np.round(data.images[:, 0] * (16 / 255)), original.images)
    assert (data.images.min(), data.images.max(), len(np.unique(data.images))) == (0, 255, 17)
    assert np.array_equal(data.labels, original.target)
    assert data.classes == tuple("0123456789")


# open_dataset


def test_all_data_sets_of_the_design_are_known_by_name() -> None:
    wanted = {"digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "celeba", "folder", "npz"}
    assert wanted <= set(registry.names())
    assert {registry.get(name).name for name in wanted} == wanted  # type: ignore[attr-defined]


def test_a_path_can_be_written_into_the_name_or_given_apart(two_classes: Path) -> None:
    assert open_dataset(f"folder:{two_classes}", size=8) == open_dataset("folder", path=str(two_classes), size=8)


def test_what_is_wrong_with_a_spec_is_said(tmp_path: Path) -> None:
    assert "did you mean 'digits'" in refusal("digit")
    assert f"write 'folder:{tmp_path}'" in refusal(str(tmp_path))
    assert "'digits' takes no path" in refusal("digits:somewhere")
    assert "folder:PATH" in refusal("folder")
    assert "npz:PATH" in refusal("npz:")
    assert "has a path already" in refusal("folder:a", path="b")
    assert "did you mean 'size'" in refusal(f"folder:{tmp_path}", sise=8)
    assert "size" in refusal(f"folder:{tmp_path}", size="8")
    assert "size" in refusal(f"folder:{tmp_path}", size=0)
    assert "mode" in refusal(f"folder:{tmp_path}", mode="gray")
    assert "download" in refusal("mnist", download="yes")


# folder


def test_sub_folders_are_classes_and_files_come_in_the_order_of_their_names(two_classes: Path) -> None:
    data = open_dataset(f"folder:{two_classes}").load()
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.labels.dtype == np.int64
    assert np.array_equal(data.images[:, 0], [grey(2), grey(1), grey(3), grey(0)])  # 10 before 2, a before b


def test_a_flat_folder_is_one_class_and_other_files_are_left_alone(tmp_path: Path) -> None:
    save(tmp_path, "a.PNG", rgb(1))
    save(tmp_path, ".hidden.png", rgb(2))
    (tmp_path / "labels.csv").write_text("a,1")
    (tmp_path / "empty").mkdir()
    data = open_dataset(f"folder:{tmp_path}").load()
    assert data.classes == ("all",)
    assert np.array_equal(data.images, rgb(1).transpose(2, 0, 1)[None])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.tif", {}),
        ("a.gif", {}),
        ("a.webp", {"lossless": True}),
        ("a.jpg", {"quality": 100, "subsampling": 0}),
    ],
)
def test_formats_are_read(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    smooth = np.broadcast_to(np.arange(0, 256, 16, dtype=np.uint8)[None, :, None], (16, 16, 3)).copy()
    smooth[..., 0] = 200
    save(tmp_path, name, smooth, **options)
    image = open_dataset(f"folder:{tmp_path}").load().images[0]
    assert image.shape == (3, 16, 16)
    assert np.abs(image.transpose(1, 2, 0).astype(int) - smooth).max() <= (4 if name == "a.jpg" else 0)


def test_images_are_cropped_to_the_centre_and_resized(tmp_path: Path) -> None:
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = 200
    save(tmp_path, "a.png", wide)
    save(tmp_path, "b.png", np.full((32, 16), 200, dtype=np.uint8))
    assert np.array_equal(open_dataset(f"folder:{tmp_path}", size=4).load().images, np.full((2, 1, 4, 4), 200))


def test_mode_converts_both_ways(tmp_path: Path) -> None:
    save(tmp_path, "a.png", grey(1))
    save(tmp_path, "b.png", np.repeat(grey(2)[..., None], 3, axis=2))
    as_grey = open_dataset(f"folder:{tmp_path}", mode="grey").load().images
    as_rgb = open_dataset(f"folder:{tmp_path}", mode="rgb").load().images
    assert np.array_equal(as_grey[:, 0], [grey(1), grey(2)])
    assert np.array_equal(as_rgb, np.repeat(as_grey, 3, axis=1))


def test_palettes_and_opaque_alpha_are_resolved_without_loss(tmp_path: Path) -> None:
    few = (rgb(1) // 128 * 255).astype(np.uint8)
    Image.fromarray(few).quantize(8, dither=Image.Dither.NONE).save(tmp_path / "a.png")
    save(tmp_path, "b.png", np.dstack([few, np.full((8, 8), 255, np.uint8)]))
    assert Image.open(tmp_path / "a.png").mode == "P"
    images = open_dataset(f"folder:{tmp_path}").load().images
    assert np.array_equal(images, [few.transpose(2, 0, 1)] * 2)


def test_grey_alpha_bilevel_and_a_palette_of_greys_are_grey(tmp_path: Path) -> None:
    indexed = Image.fromarray(grey(3) % 4).convert("L")
    indexed.putpalette([level for grey_level in (250, 60, 130, 7) for level in [grey_level] * 3])
    indexed.save(tmp_path / "c.png")
    assert Image.open(tmp_path / "c.png").mode == "P"
    Image.fromarray(grey(1)).convert("LA").save(tmp_path / "a.png")
    Image.fromarray(grey(2) > 127).save(tmp_path / "b.png")
    images = open_dataset(f"folder:{tmp_path}").load().images
    assert np.array_equal(images[:, 0], [grey(1), (grey(2) > 127) * 255, np.array([250, 60, 130, 7])[grey(3) % 4]])


def png16(path: Path, colour_type: int, channels: int) -> None:
    """A PNG with 16 bits per channel, which Pillow cannot write in colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + b"\x12\x34" * 8 * channels for _ in range(8))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_what_8_bit_rgb_cannot_hold_is_refused(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ["alpha", "keyed", "cmyk", "float", "long"]}
    for place in places.values():
        place.mkdir()
    save(places["alpha"], "a.png", np.dstack([rgb(), np.full((8, 8), 254, np.uint8)]))
    save(places["keyed"], "a.png", np.full((8, 8), 7, np.uint8), transparency=7)
    Image.new("CMYK", (8, 8)).save(places["cmyk"] / "a.jpg")
    save(places["float"], "a.tif", np.zeros((8, 8), np.float32))
    save(places["long"], "a.tif", np.zeros((8, 8), np.int32))
    said = {name: refusal(f"folder:{place}") for name, place in places.items()}
    assert all(f"{places[name]}{os.sep}a." in sentence for name, sentence in said.items())
    assert all("8 bits" in said[name] for name in ["float", "long"])
    assert all("transparent" in said[name] for name in ["alpha", "keyed"])
    assert "CMYK" in said["cmyk"]


def test_of_16_bits_the_upper_8_are_taken_and_it_is_said(tmp_path: Path) -> None:
    deep = grey(1).astype(np.uint16) * 256 + grey(2)
    for name in ("a.png", "b.tif"):
        save(tmp_path, name, deep)
    png16(tmp_path / "c.png", 0, 1)
    png16(tmp_path / "d.png", 4, 2)  # grey with alpha, which 0x1234 makes transparent
    said = refusal(f"folder:{tmp_path}")
    assert "d.png has transparent pixels" in said
    (tmp_path / "d.png").unlink()
    data = open_dataset(f"folder:{tmp_path}").load()
    assert np.array_equal(data.images[:, 0], [grey(1), grey(1), np.full((8, 8), 0x12)])
    (note,) = data.notes
    assert note.startswith("3 images have 16 bits per channel; the upper 8 were taken (the brightest pixel became ")
    (tmp_path / "colour").mkdir()
    png16(tmp_path / "colour" / "a.png", 2, 3)
    assert np.array_equal(open_dataset(f"folder:{tmp_path / 'colour'}").load().images, np.full((1, 3, 8, 8), 0x12))


def test_a_folder_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'missing'} does not exist" in refusal(f"folder:{tmp_path / 'missing'}")
    assert "is a file, not a folder" in refusal(f"folder:{tmp_path / 'file'}")
    assert f"{tmp_path} has no images" in refusal(f"folder:{tmp_path}")
    assert ".png" in refusal(f"folder:{tmp_path}")


def test_a_folder_at_the_wrong_level_is_refused(two_classes: Path) -> None:
    save(two_classes, "stray.png", grey())
    assert "stray.png" in refusal(f"folder:{two_classes}")
    (two_classes / "stray.png").unlink()
    save(two_classes, "dog/puppy/a.png", grey())
    assert f"{two_classes / 'dog' / 'puppy'} holds images two levels below" in refusal(f"folder:{two_classes}")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tif"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, name, rgb(side=64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert str(path) in refusal(f"folder:{tmp_path}")


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert str(tmp_path / "a.png") in refusal(f"folder:{tmp_path}")


def bomb(side: int) -> bytes:
    """A PNG that states `side` x `side` pixels and holds none."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    body = struct.pack(">I", 4) + b"IDAT" + b"\0" * 4 + struct.pack(">I", zlib.crc32(b"IDAT" + b"\0" * 4))
    return b"\x89PNG\r\n\x1a\n" + chunk + body


@pytest.mark.parametrize(
    ("side", "words"), [(7_100, "pixels; at most"), (10_000, "pixels; at most"), (40_000, "exceeds limit")]
)
@pytest.mark.filterwarnings("error")
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int, words: str) -> None:
    assert side**2 > MAX_PIXELS
    (tmp_path / "a.png").write_bytes(bomb(side))
    said = refusal(f"folder:{tmp_path}")
    assert str(tmp_path / "a.png") in said
    assert words in said


def test_mixed_sizes_name_both_files_and_the_remedy(tmp_path: Path) -> None:
    first, second = save(tmp_path, "a.png", grey(side=8)), save(tmp_path, "b.png", np.zeros((9, 7), np.uint8))
    said = refusal(f"folder:{tmp_path}")
    assert f"{first} has 8x8 pixels and {second} 7x9" in said
    assert "set data.params.size" in said
    assert len(open_dataset(f"folder:{tmp_path}", size=8).load()) == 2


def test_mixed_modes_name_both_files_and_the_remedy(tmp_path: Path) -> None:
    first, second = save(tmp_path, "a.png", grey()), save(tmp_path, "b.png", rgb())
    said = refusal(f"folder:{tmp_path}")
    assert f"{first} is grey and {second} RGB" in said
    assert "set data.params.mode" in said


def test_skip_bad_drops_and_counts_what_cannot_be_used(two_classes: Path) -> None:
    whole = open_dataset(f"folder:{two_classes}", skip_bad=True).load()
    assert whole.skipped == 0
    (two_classes / "ant").mkdir()
    (two_classes / "ant" / "0.png").write_bytes(b"")
    save(two_classes, "cat/0.png", grey(side=9))
    save(two_classes, "cat/1.png", rgb())
    data = open_dataset(f"folder:{two_classes}", skip_bad=True).load()
    assert data.skipped == 3
    assert np.array_equal(data.images, whole.images)
    assert (data.classes, data.labels.tolist()) == (whole.classes, whole.labels.tolist())


def test_skip_bad_with_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    said = refusal(f"folder:{tmp_path}", skip_bad=True)
    assert "none of the 1 images" in said
    assert str(tmp_path / "a.png") in said


def test_links_are_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    save(outside / "class", "picture.png", grey(1))
    inside.mkdir()
    (inside / "class").symlink_to(outside / "class")
    (inside / "other").mkdir()
    (inside / "other" / "file.png").symlink_to(outside / "class" / "picture.png")
    data = open_dataset(f"folder:{inside}").load()
    assert data.classes == ("class", "other")
    assert np.array_equal(data.images[:, 0], [grey(1), grey(1)])


def test_a_dead_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("gone.png")
    assert str(tmp_path / "a.png") in refusal(f"folder:{tmp_path}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(two_classes: Path) -> None:
    os.mkfifo(two_classes / "cat" / "0.png")
    data = open_dataset(f"folder:{two_classes}").load()
    assert len(data) == 4
    assert data.notes == ("1 file is no regular file and left out (cat/0.png)",)


# npz


def archive(path: Path, **arrays: Any) -> str:
    np.savez_compressed(path / "data.npz", **arrays)
    return f"npz:{path / 'data.npz'}"


def test_an_archive_may_have_channels_first_last_or_none(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 6), dtype=np.uint8)
    first = open_dataset(archive(tmp_path, images=pixels)).load()
    assert np.array_equal(first.images, pixels)
    assert (first.classes, first.labels.tolist()) == (("all",), [0] * 5)
    last = open_dataset(archive(tmp_path, images=pixels.transpose(0, 2, 3, 1))).load()
    assert np.array_equal(last.images, pixels)
    none = open_dataset(archive(tmp_path, images=pixels[:, 0])).load()
    assert np.array_equal(none.images, pixels[:, :1])
    named = open_dataset(archive(tmp_path, images=pixels, y=np.arange(5))).load()
    assert named.notes == ("there is no array 'labels' (there are: images, y), so all images are of one class",)


def test_labels_of_an_archive_are_numbered_from_zero_and_keep_their_names(tmp_path: Path) -> None:
    spec = archive(tmp_path, x=np.zeros((3, 8, 8), np.uint8), y=np.array([[7], [-1], [7]], dtype=np.int16))
    data = open_dataset(spec, images="x", labels="y").load()
    assert data.labels.tolist() == [1, 0, 1]
    assert data.labels.dtype == np.int64
    assert data.classes == ("-1", "7")


def test_what_is_wrong_with_an_archive_is_said(tmp_path: Path) -> None:
    good = np.zeros((3, 8, 8), np.uint8)
    assert "is not a file" in refusal(f"npz:{tmp_path / 'missing.npz'}")
    (tmp_path / "text.npz").write_text("no archive")
    assert "cannot be read" in refusal(f"npz:{tmp_path / 'text.npz'}")
    np.save(tmp_path / "single.npy", good)
    assert "single array" in refusal(f"npz:{tmp_path / 'single.npy'}")
    whole = Path(archive(tmp_path, images=good).removeprefix("npz:"))
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:200])
    assert "cannot be read" in refusal(f"npz:{tmp_path / 'cut.npz'}")
    assert "no array 'images' (it has: pictures)" in refusal(archive(tmp_path, pictures=good))
    assert "no array 'y'" in refusal(archive(tmp_path, images=good), labels="y")
    assert "uint8" in refusal(archive(tmp_path, images=good / 255))
    assert "1 or 3 channels" in refusal(archive(tmp_path, images=np.zeros((3, 4, 8, 8), np.uint8)))
    assert "1 or 3 channels" in refusal(archive(tmp_path, images=np.zeros((3, 8), np.uint8)))
    assert "second axis or the last" in refusal(archive(tmp_path, images=np.zeros((3, 3, 8, 3), np.uint8)))
    assert "no images" in refusal(archive(tmp_path, images=good[:0]))
    assert "each of the 3 images" in refusal(archive(tmp_path, images=good, labels=np.zeros(2, int)))
    assert "whole numbers" in refusal(archive(tmp_path, images=good, labels=np.zeros(3)))


def test_nothing_in_an_archive_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "unpickled"),)

    assert "plain arrays" in refusal(archive(tmp_path, images=np.array([Bomb()], dtype=object)))
    assert not (tmp_path / "unpickled").exists()


# through torchvision


def test_mnist_is_read_with_its_training_and_test_parts_together(tmp_path: Path) -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8), np.arange(50) % 10
    for part, rows in (("train", slice(40)), ("t10k", slice(40, 50))):
        write_idx(tmp_path / "MNIST" / "raw", part, images[rows], labels[rows].astype(np.uint8))
    data = open_dataset("mnist", root=str(tmp_path)).load()
    assert (data.images.dtype, data.labels.dtype, len(data.classes)) == (np.uint8, np.int64, 10)
    np.testing.assert_array_equal(data.images, images[:, None])
    np.testing.assert_array_equal(data.labels, labels)


if (TEST_DATA / "MNIST" / "raw").is_dir():  # elsewhere there is no such test, and none is skipped

    def test_real_mnist() -> None:
        data = open_dataset("mnist", root=str(TEST_DATA)).load()
        assert data.images.shape == (70_000, 1, 28, 28)
        assert np.bincount(data.labels)[:3].tolist() == [6903, 7877, 6990]  # over all 70,000
        raw = (TEST_DATA / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
        assert np.array_equal(data.images[60_000:].ravel(), np.frombuffer(raw, np.uint8))


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("mnist", "MNIST/raw"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("cifar10", "cifar-10-batches-py"),
        ("cifar100", "cifar-100-python"),
        ("svhn", "train_32x32.mat"),
        ("celeba", "celeba"),
    ],
)
def test_without_its_files_a_data_set_says_what_from_where_and_where_to(tmp_path: Path, name: str, files: str) -> None:
    said = refusal(name, root=str(tmp_path))
    assert str(tmp_path / files) in said
    download = r"(set data\.params\.download = true, or )?"
    assert re.search(rf"not there; {download}take it from https?://\S+ and (put|unpack) .*{tmp_path}", said)
    assert ("set data.params.download" in said) == (
        name not in ("fashion_mnist", "svhn")
    )  # offered over plain HTTP only


@pytest.mark.parametrize("name", ["fashion_mnist", "svhn"])
def test_nothing_is_downloaded_over_plain_http(tmp_path: Path, name: str) -> None:
    assert "plain HTTP only and is not downloaded" in refusal(name, root=str(tmp_path), download=True)
    assert not list(tmp_path.iterdir())


def write_idx(folder: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">IIII", 2051, *images.shape)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, len(labels)) + labels.tobytes())


def test_fashion_mnist_is_read_from_raw_files_and_damage_is_said(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    labels = np.array([3, 1, 4, 1, 5], dtype=np.uint8)
    write_idx(raw, "train", images[:3], labels[:3])
    write_idx(raw, "t10k", images[3:], labels[3:])
    data = open_dataset("fashion_mnist", root=str(tmp_path)).load()
    assert np.array_equal(data.images[:, 0], images)
    assert data.labels.tolist() == labels.tolist()
    assert data.classes[9] == "Ankle boot"
    write_idx(raw, "t10k", images[3:], labels[4:])
    assert "5 images and 4 labels" in refusal("fashion_mnist", root=str(tmp_path))
    (raw / "train-images-idx3-ubyte").write_bytes(b"cut")
    assert "'fashion_mnist'" in refusal("fashion_mnist", root=str(tmp_path))


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
@pytest.mark.parametrize("download", [False, True])
def test_pickles_of_an_early_torchvision_are_not_opened(name: str, folder: str, download: bool, tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        write_idx(tmp_path / folder / "raw", part, np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    processed = tmp_path / folder / "processed"
    processed.mkdir()
    assert len(open_dataset(name, root=str(tmp_path)).load()) == 4
    for file in ("training.pt", "test.pt"):
        (processed / file).write_bytes(pickle.dumps(0))
    assert f"{processed / 'training.pt'} is a pickle" in refusal(name, root=str(tmp_path), download=download)
    (processed / "training.pt").unlink()
    assert f"{processed / 'test.pt'} is a pickle" in refusal(name, root=str(tmp_path), download=download)


def test_a_failed_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(through_torchvision, "SECURE", ("file://",))
    monkeypatch.setattr(MNIST, "mirrors", [f"{(tmp_path / 'nowhere').as_uri()}/"])
    said = refusal("mnist", root=str(tmp_path), download=True)
    assert "the download failed" in said
    assert "nowhere" in said
    assert "set download" not in said


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which torchvision downloads MNIST: two pictures for training and one for testing."""
    from torchvision.datasets import MNIST

    folder = tmp_path / "mirror"
    write_idx(folder, "train", np.full((2, 28, 28), 9, np.uint8), np.zeros(2, np.uint8))
    write_idx(folder, "t10k", np.full((1, 28, 28), 7, np.uint8), np.ones(1, np.uint8))
    resources = []
    for file in sorted(folder.iterdir()):
        packed = file.with_name(file.name + ".gz")
        packed.write_bytes(gzip.compress(file.read_bytes()))
        resources.append((packed.name, md5(packed)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(through_torchvision, "SECURE", ("http://127.0.0.1",))
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(MNIST, "resources", resources)
    yield folder
    server.shutdown()
    server.server_close()


def test_a_download_that_works_is_read(tmp_path: Path, mirror: Path) -> None:
    data = open_dataset("mnist", root=str(tmp_path / "root"), download=True).load()
    assert (data.images[:, 0, 0, 0].tolist(), data.labels.tolist()) == ([9, 9, 7], [0, 0, 1])


def test_a_download_with_a_wrong_checksum_is_refused(tmp_path: Path, mirror: Path) -> None:
    next(mirror.glob("t10k-images*.gz")).write_bytes(gzip.compress(b"something else"))
    said = refusal("mnist", root=str(tmp_path / "root"), download=True)
    assert "the download failed (RuntimeError: Error downloading t10k-images-idx3-ubyte.gz" in said
    assert "File not found or corrupted" in said


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def small_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str) -> tuple[np.ndarray, list[int]]:
    """Files in CIFAR's layout, 3 images for training and 2 for testing, with their checksums set in torchvision."""
    import torchvision.datasets

    reader = getattr(torchvision.datasets, name)
    folder = root / reader.base_folder
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    labels = [1, 0, 2, 2, 1]
    for file, part in {"train_part": slice(0, 3), "test_part": slice(3, 5)}.items():
        content = {"data": images[part].reshape(-1, 3072), key: labels[part]}
        (folder / file).write_bytes(pickle.dumps(content))
    (folder / "names").write_bytes(pickle.dumps({reader.meta["key"]: ["ant", "bee", "cat"]}))
    monkeypatch.setattr(reader, "train_list", [["train_part", md5(folder / "train_part")]])
    monkeypatch.setattr(reader, "test_list", [["test_part", md5(folder / "test_part")]])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "filename": "names", "md5": md5(folder / "names")})
    return images, labels


@pytest.mark.parametrize(
    ("name", "reader", "key"), [("cifar10", "CIFAR10", "labels"), ("cifar100", "CIFAR100", "fine_labels")]
)
def test_cifar_is_read_and_a_wrong_checksum_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reader: str, key: str
) -> None:
    images, labels = small_cifar(tmp_path, monkeypatch, reader, key)
    data = open_dataset(name, root=str(tmp_path)).load()
    assert np.array_equal(data.images, images)
    assert data.labels.tolist() == labels
    assert data.classes == ("ant", "bee", "cat")
    damaged = next(tmp_path.rglob("test_part"))
    damaged.write_bytes(damaged.read_bytes() + b"x")
    said = refusal(name, root=str(tmp_path))
    assert f"{damaged} is damaged: its MD5 checksum is not" in said


def test_svhn_is_read_with_the_digit_zero_as_label_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    listed = {}
    for part, where in {"train": slice(0, 2), "test": slice(2, 4)}.items():
        file = tmp_path / f"{part}_32x32.mat"
        savemat(file, {"X": images[where].transpose(2, 3, 1, 0), "y": np.array([[10], [3], [1], [9]], np.uint8)[where]})
        listed[part] = ["nowhere", file.name, md5(file)]
    monkeypatch.setattr(SVHN, "split_list", listed)
    data = open_dataset("svhn", root=str(tmp_path)).load()
    assert np.array_equal(data.images, images)
    assert data.labels.tolist() == [0, 3, 1, 9]
    assert len(data.classes) == 10


@pytest.fixture
def celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three portraits in CelebA's layout: red inside the central 140x140 pixels, black outside."""
    from torchvision.datasets import CelebA

    folder = tmp_path / "celeba"
    portrait = np.zeros((218, 178, 3), dtype=np.uint8)
    portrait[39:179, 19:159, 0] = 255
    names = [f"{number:06d}.png" for number in (1, 2, 3)]
    for name in names:
        save(folder, f"img_align_celeba/{name}", portrait)
    texts = {
        "list_attr_celeba.txt": ["3", "Bald Smiling ", *(f"{n}  1 {1 if n == names[1] else -1}" for n in names)],
        "identity_CelebA.txt": [f"{n} 1" for n in names],
        "list_bbox_celeba.txt": ["3", "image_id x", *(f"{n} 1" for n in names)],
        "list_landmarks_align_celeba.txt": ["3", "lefteye_x", *(f"{n} 1" for n in names)],
        "list_eval_partition.txt": [f"{n} {part}" for part, n in enumerate(names)],
    }  # fmt: skip
    for file, lines in texts.items():
        (folder / file).write_text("\n".join(lines) + "\n")
    listed = [("id", md5(folder / file), file) for file in texts] + [("id", "sum", "img_align_celeba.zip")]
    monkeypatch.setattr(CelebA, "file_list", listed)
    return str(tmp_path)


def test_celeba_is_cropped_to_the_central_140_pixels_and_resized(celeba: str) -> None:
    data = open_dataset("celeba", root=celeba).load()
    assert data.images.shape == (3, 3, 64, 64)  # all three parts
    assert np.array_equal(data.images[0], np.stack([np.full((64, 64), v, np.uint8) for v in (255, 0, 0)]))
    assert (data.labels.tolist(), data.classes) == ([0, 0, 0], ("all",))
    assert open_dataset("celeba", root=celeba, size=32).load().images.shape == (3, 3, 32, 32)


def test_celeba_may_take_an_attribute_as_its_label(celeba: str) -> None:
    data = open_dataset("celeba", root=celeba, attribute="Smiling").load()
    assert (data.labels.tolist(), data.classes) == ([0, 1, 0], ("not Smiling", "Smiling"))
    assert "known: Bald, Smiling" in refusal("celeba", root=celeba, attribute="smiling")


def test_celeba_names_a_damaged_portrait(celeba: str) -> None:
    path = Path(celeba) / "celeba" / "img_align_celeba" / "000002.png"
    path.write_bytes(b"")
    assert str(path) in refusal("celeba", root=celeba)


def test_a_portrait_must_be_of_a_format_and_size_that_are_read(celeba: str) -> None:
    path = Path(celeba) / "celeba" / "img_align_celeba" / "000002.png"
    Image.fromarray(rgb(side=218)).save(path, "PPM")
    assert f"{path} is no image that can be read; expected PNG, JPEG" in refusal("celeba", root=celeba)
    path.write_bytes(bomb(7_100))
    assert f"{path} has 7100x7100 pixels; at most" in refusal("celeba", root=celeba)
    path.unlink()
    os.mkfifo(path)
    assert f"{path} is not a regular file" in refusal("celeba", root=celeba)


@pytest.mark.parametrize("name", ["folder", "members_decoys", "celeba"])
def test_a_size_beyond_every_memory_is_refused(name: str, celeba: str) -> None:
    places = {"folder": {"path": celeba}, "members_decoys": {"members": celeba, "decoys": celeba}}
    said = refusal(name, **places.get(name, {"root": celeba}), size=100_000)
    assert "data.params.size is 100000; it must lie in 1 … 4096" in said


def test_portraits_that_do_not_fit_into_memory_are_refused(celeba: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from leakfront.datasets import celeba as module

    monkeypatch.setattr(module, "memory", lambda: 2 * 3 * 3 * 64 * 64)
    assert len(open_dataset("celeba", root=celeba).load()) == 3
    assert "data.params.size is 65, at which 3 pictures take" in refusal("celeba", root=celeba, size=65)


def test_the_number_of_images_is_the_length() -> None:
    assert len(LabelledImages(np.zeros((3, 1, 2, 2), np.uint8), np.zeros(3, np.int64))) == 3

"""The share of planted copies that each method of `dedup` finds in real images."""

from __future__ import annotations

import functools
import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dct
from sklearn.datasets import load_sample_images

from leakfront.defenses import TrainingSet
from leakfront.defenses import dedup as dedup_module
from leakfront.defenses.dedup import Dedup, mobilenet_embedding, pair_precision_recall, perceptual_hash
from leakfront.errors import InputError
from leakfront.harness.pool.planted_duplicates import COPY_KINDS, altered_copies
from tests import oracle_targets as oracle

PLANTED = 40


@functools.cache
def pool(name: str) -> np.ndarray:
    """400 digits of 8 x 8 pixels, or the 520 tiles of 32 x 32 pixels of scikit-learn's two photographs.

    Many tiles show sky; no two images are equal.
    """
    if name == "digits":
        return oracle.digits()[:400]
    tiles = []
    for image in load_sample_images().images:
        rows, columns = image.shape[0] // 32, image.shape[1] // 32
        cut = image[: rows * 32, : columns * 32].reshape(rows, 32, columns, 32, 3)
        tiles.append(cut.transpose(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32))
    return np.concatenate(tiles)


def planted(images: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """`images` and one copy of each of 40 of them, and the number of the image that each one shows."""
    chosen = np.random.default_rng(0).choice(len(images), PLANTED, replace=False)
    copies = [images[c] if kind == "exact" else altered_copies(images[c], kind, 1, seed=int(c))[0] for c in chosen]
    return np.concatenate([images, np.stack(copies)]), np.concatenate([np.arange(len(images)), chosen])


NONE = (np.nan, 0)  # no pair found
# (images, method, bits): (precision, recall) of pairs for copies that are exact, shifted, noised, recompressed
FOUND = {
    ("digits", "exact", 4): [(1, 1), NONE, NONE, NONE],
    ("digits", "similarity", 4): [(0.952, 1), (0, 0), (0.952, 1), (0.952, 1)],
    ("digits", "phash", 4): [(0.769, 1), (0, 0), (0.75, 0.9), (0.781, 0.8)],
    ("photographs", "exact", 4): [(1, 1), NONE, NONE, NONE],
    ("photographs", "similarity", 4): [(0.006, 1), (0.003, 0.5), (0.003, 0.4), (0.004, 0.7)],
    ("photographs", "phash", 4): [(1, 1), (1, 0.125), (1, 0.45), (1, 0.475)],
    ("photographs", "phash", 12): [(0.952, 1), (0.897, 0.875), (0.9, 0.45), (0.909, 0.5)],
}


@pytest.mark.parametrize(("images", "method", "bits"), FOUND)
def test_precision_and_recall_of_each_method_for_each_kind_of_copy(images: str, method: str, bits: int) -> None:
    """The measured precision / recall of pairs, with one planted copy of each of 40 images.

    | images      | method            | exact       | shifted     | noised      | recompressed |
    |-------------|-------------------|-------------|-------------|-------------|--------------|
    | digits      | exact             | 1.00 / 1.00 | –    / 0.00 | –    / 0.00 | –    / 0.00  |
    | digits      | similarity (0.98) | 0.95 / 1.00 | 0.00 / 0.00 | 0.95 / 1.00 | 0.95 / 1.00  |
    | digits      | phash (4 bits)    | 0.77 / 1.00 | 0.00 / 0.00 | 0.75 / 0.90 | 0.78 / 0.80  |
    | photographs | exact             | 1.00 / 1.00 | –    / 0.00 | –    / 0.00 | –    / 0.00  |
    | photographs | similarity (0.98) | 0.01 / 1.00 | 0.00 / 0.50 | 0.00 / 0.40 | 0.00 / 0.70  |
    | photographs | phash (4 bits)    | 1.00 / 1.00 | 1.00 / 0.13 | 1.00 / 0.45 | 1.00 / 0.48  |
    | photographs | phash (12 bits)   | 0.95 / 1.00 | 0.90 / 0.88 | 0.90 / 0.45 | 0.91 / 0.50  |

    On 8 x 8 pixels a shift by one pixel is a large one. The method "embedding" is missing, since it needs weights that
    are not part of this project.
    """
    report, agrees = [], True
    for kind, recorded in zip(COPY_KINDS, FOUND[images, method, bits], strict=True):
        with_copies, truth = planted(pool(images), kind)
        found = pair_precision_recall(Dedup(method=method, bits=bits).clusters(with_copies), truth)
        report.append("{}: precision {:.3f}, recall {:.3f}; recorded {:.3f}, {:.3f}".format(kind, *found, *recorded))
        agrees &= found == pytest.approx(recorded, abs=0.03, nan_ok=True)
    assert agrees, "\n".join(report)


@pytest.mark.parametrize("images", ["digits", "photographs"])
@pytest.mark.parametrize("method", ["similarity", "phash"])
def test_a_looser_strength_finds_no_less_and_merges_no_less(images: str, method: str) -> None:
    strengths = [{"threshold": t, "bits": b} for t, b in ((1.0, 0), (0.98, 4), (0.9, 12))]
    with_copies, truth = planted(pool(images), "recompressed")
    clusters = [Dedup(method=method, **strength).clusters(with_copies) for strength in strengths]
    recalls = [pair_precision_recall(cluster, truth)[1] for cluster in clusters]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[2]
    for fine, coarse in itertools.pairwise(clusters):  # each cluster lies within a coarser one
        assert len(np.unique(np.stack([fine, coarse]), axis=1).T) == len(np.unique(fine))


def test_similarity_takes_tiles_of_one_sky_for_duplicates() -> None:
    """Of 520 different photographs it removes 148; the hash removes none."""
    images = pool("photographs")
    assert len(images) - len(np.unique(Dedup(method="similarity").clusters(images))) == pytest.approx(148, abs=3)
    assert len(images) == len(np.unique(Dedup(method="phash").clusters(images)))


@pytest.mark.parametrize("method", ["exact", "similarity", "phash"])
def test_exact_copies_are_always_found(method: str) -> None:
    """Also copies of a white image, which is zero once it is centred."""
    images = np.concatenate([pool("photographs"), np.full((1, 3, 32, 32), 255, np.uint8)])
    truth = np.concatenate([np.arange(len(images)), np.arange(len(images))[::-3]])
    cluster = Dedup(method=method, threshold=1.0, bits=0).clusters(images[truth])
    assert (cluster[len(images) :] == cluster[truth[len(images) :]]).all()


def test_the_perceptual_hash_follows_its_definition() -> None:
    """The cosine transform is computed as a sum over pixels; Pillow's grey has the weights of ITU-R 601."""
    images = pool("photographs")[::20]
    position, frequency = np.arange(32), np.arange(8)
    cosines = 2 * np.cos(np.pi * frequency[:, None] * (2 * position + 1) / 64)
    np.testing.assert_allclose(cosines, dct(np.eye(32), axis=0)[:8], atol=1e-12)
    for image, found in zip(images, perceptual_hash(images), strict=True):
        grey = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))
        np.testing.assert_allclose(grey, np.tensordot([0.299, 0.587, 0.114], image, 1), atol=1)
        low = cosines @ grey @ cosines.T  # 32 x 32 already: there is nothing to resize
        np.testing.assert_array_equal(np.unpackbits(found).reshape(8, 8), low > np.median(low))


@pytest.mark.parametrize("images", ["digits", "photographs"])
def test_the_perceptual_hash_equals_that_of_the_package_imagehash(images: str) -> None:
    imagehash = pytest.importorskip("imagehash")
    for image, found in zip(pool(images)[::10], perceptual_hash(pool(images)[::10]), strict=True):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        wanted = imagehash.phash(Image.fromarray(np.ascontiguousarray(pixels))).hash
        np.testing.assert_array_equal(np.unpackbits(found).reshape(8, 8), wanted)


def test_hashes_are_duplicates_up_to_the_number_of_bits() -> None:
    images = pool("photographs")
    bits = np.unpackbits(perceptual_hash(images), axis=1).astype(int)
    near = (bits[:, None] != bits[None]).sum(2) <= 9
    reach = np.linalg.matrix_power(near.astype(float), 64) > 0
    cluster = Dedup(method="phash", bits=9).clusters(images)
    np.testing.assert_array_equal(cluster[:, None] == cluster[None], reach)
    assert 1 < len(np.unique(cluster)) < len(images)


@pytest.mark.parametrize("method", ["similarity", "phash"])
def test_clusters_do_not_depend_on_the_blocks_of_the_search(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dedup, (images, _) = Dedup(method=method, threshold=0.95, bits=8), planted(pool("digits"), "noised")
    whole = dedup.clusters(images)
    monkeypatch.setattr(dedup_module, "PAIRS", 7 * len(images))
    blocks = dedup.clusters(images)
    np.testing.assert_array_equal(blocks[:, None] == blocks[None], whole[:, None] == whole[None])
    assert 1 < len(np.unique(whole)) < len(images)


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoints folder of an empty torch hub folder."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_the_embedding_without_its_weights_is_refused_with_the_place_to_put_them(checkpoints: Path) -> None:
    with pytest.raises(InputError) as refusal:
        Dedup(method="embedding").check(100, 10)
    assert str(checkpoints / dedup_module.WEIGHTS) in str(refusal.value)
    assert dedup_module.URL in str(refusal.value)
    (checkpoints / dedup_module.WEIGHTS).write_bytes(b"something else")
    with pytest.raises(InputError, match="not the right file"):
        Dedup(method="embedding").clusters(pool("digits")[:2])
    Dedup(method="phash").check(100, 10)


def test_the_embedding_is_the_last_pool_of_the_network(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights: they test the computation and that copies are found, but not how good the method is."""
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(0)
    network = mobilenet_v3_small().eval()
    torch.save(network.state_dict(), checkpoints / "weights")
    digest = hashlib.sha256((checkpoints / "weights").read_bytes()).hexdigest()
    monkeypatch.setattr(dedup_module, "WEIGHTS", f"weights-{digest[:8]}.pth")
    (checkpoints / "weights").rename(checkpoints / f"weights-{digest[:8]}.pth")
    Dedup(method="embedding").check(100, 10)

    images = np.concatenate([pool("photographs")[::60], pool("photographs")[:2]])
    found = mobilenet_embedding(images, batch_size=4)
    pooled = []
    network.avgpool.register_forward_hook(lambda module, inputs, output: pooled.append(output.flatten(1)))
    for image in images:
        large = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize((256, 256), Image.Resampling.BILINEAR))
        middle = torch.from_numpy(large[16:240, 16:240] / 255).permute(2, 0, 1)
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        with torch.no_grad():
            network(((middle - mean[:, None, None]) / deviation[:, None, None]).float()[None])
    np.testing.assert_allclose(found, torch.cat(pooled), rtol=1e-3, atol=1e-4)
    assert found.shape == (len(images), 576)
    cluster = Dedup(method="embedding", threshold=1.0).clusters(images)
    assert cluster[0] == cluster[-2]  # tile 0 occurs twice
    np.testing.assert_allclose(mobilenet_embedding(pool("digits")[:2]).shape, (2, 576))


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: Dedup(bits=-1), "dedup.bits"),
        (lambda: Dedup(bits=64), "dedup.bits"),
        (lambda: Dedup(threshold=1.1), "dedup.threshold"),
        (lambda: Dedup(method="phash").clusters(np.zeros((2, 2, 8, 8), np.uint8)), "1 or 3 channels"),
    ],
)
def test_wrong_parameters_and_images_are_named(build, key: str) -> None:
    with pytest.raises(InputError, match=key):
        build()


def test_a_guarantee_after_deduplication_states_its_unit():
    """Exact copies share one kept image; an additional image can join two clusters of similar images."""
    assert Dedup().unit("training image") == "training image with all its exact copies"
    assert "not protected" in Dedup(method="similarity").unit("training image")
    assert Dedup(by="pair").unit("training image") == "training image with all its exact copies"
    assert "not protected" in Dedup(by="caption").unit("training image")


@pytest.mark.parametrize(("by", "kept"), [("image", [0, 1, 4]), ("caption", [0, 2, 3]), ("pair", [0, 1, 2, 3, 4])])
def test_pairs_are_duplicates_by_image_by_caption_or_by_both(by: str, kept: list[int]) -> None:
    images = oracle.digits()[[0, 1, 0, 1, 2, 0]]
    captions = ("a dog", "A  dog", "a cat", "a bird", "a dog", "A Dog")
    pairs = TrainingSet(images, np.zeros(6, np.int64), np.arange(6), captions=captions)
    found = Dedup(by=by).prepare(pairs)
    assert found.pool_index.tolist() == kept
    assert found.captions == tuple(captions[i] for i in kept)
    assert found.notes["removed"] == 6 - len(kept)


def test_altered_copies_are_found_by_their_caption_alone() -> None:
    images, index = planted(oracle.digits()[:100], "noised")
    pairs = TrainingSet(images, index, index, captions=tuple(f"digit {i}" for i in index))
    assert len(Dedup().prepare(pairs)) == 100 + PLANTED
    assert len(Dedup(by="pair").prepare(pairs)) == 100 + PLANTED
    found = Dedup(by="caption").prepare(pairs)
    assert len(found) == 100
    assert (found.notes["duplicate_precision"], found.notes["duplicate_recall"]) == (1, 1)


def test_without_captions_duplicates_cannot_be_found_by_them() -> None:
    plain = TrainingSet(oracle.digits()[:5], np.zeros(5, np.int64), np.arange(5))
    with pytest.raises(InputError, match=r"dedup\.by is 'caption', but the data has no captions; set it to 'image'"):
        Dedup(by="caption").prepare(plain)

    def kept(values: list[int], **parameters) -> list[int]:
        images = np.stack([_tilted(value) for value in values])
        data = TrainingSet(images, np.zeros(len(values), np.int64), np.arange(len(values)))
        return Dedup(**parameters).prepare(data).pool_index.tolist()

    assert kept([0, 40, 80]) == kept([0, 40, 80, 80]) == [0, 1, 2]
    assert kept([0, 40], method="similarity", threshold=0.9) == [0, 1]
    assert kept([0, 40, 20], method="similarity", threshold=0.9) == [0]


def _tilted(degrees: int) -> np.ndarray:
    """An image [1, 2, 2] at an angle of `degrees` to `_tilted(0)`, up to rounding."""
    angle = np.radians(degrees)
    first, second = np.array([[1, -1], [1, -1]]), np.array([[1, 1], [-1, -1]])
    return (128 + np.round(60 * (np.cos(angle) * first + np.sin(angle) * second)))[None].astype(np.uint8)

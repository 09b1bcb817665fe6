"""Deduplication of the training set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt, Interval, Le

from leakfront.defenses import Defense, TrainingSet, register
from leakfront.errors import InputError

WEIGHTS = "mobilenet_v3_small-047dcff4.pth"  # torchvision's name; it ends with the first digits of the file's SHA-256
URL = f"https://download.pytorch.org/models/{WEIGHTS}"
PAIRS = 2**22  # the most pairs that one block of queries can find; bounds the memory


@register("dedup")
@dataclass(frozen=True)
class Dedup(Defense):
    """Train on one image of each cluster of duplicates (Lee et al. 2022, arXiv 2107.06499; Carlini et al. 2023, §7.1).

    Two images are duplicates by `method`:

    * "exact": their bytes are equal.
    * "similarity": the cosine similarity of the images themselves, centred and scaled to unit length, is at least
      `threshold`.
    * "phash": their perceptual hashes differ in at most `bits` of 64 bits (Zauner 2010; as in the package ImageHash).
      The image is converted to grey and resized to 32 x 32; the hash states which of the 8 x 8 lowest frequencies of
      its cosine transform are above their median.
    * "embedding": the cosine similarity of the last average pool of an ImageNet MobileNetV3-small is at least
      `threshold`. This is imagededup's CNN method, which Carlini et al. used at 0.85. The weights are torchvision's;
      they are read from torch hub's checkpoints folder and never downloaded.

    Pairs of image and caption are duplicates `by` their images as above, by their captions (equal but for case and
    spaces, whatever the images), or by both. By caption alone it is partial: an image that has several captions stays
    several times.

    Clusters are the connected components, so chains of similar images merge. The first image of each cluster stays. The
    number of removed images is reported, and precision and recall over the planted pairs. No guarantee: it only
    prevents the leakage that duplication causes. The images of a small pool can be similar by nature, so look at the
    precision.
    """

    acts_on = "data"
    covers = "samples, loss, gradients"
    summary = "drop all but one of each cluster of duplicates"

    by: Literal["image", "caption", "pair"] = "image"
    method: Literal["exact", "similarity", "phash", "embedding"] = "exact"
    threshold: Annotated[float, Gt(0), Le(1)] = 0.98
    bits: Annotated[int, Interval(ge=0, le=63)] = 4

    def check(self, expected_size: float, batch_size: int) -> None:
        if self.method == "embedding":
            weights_path()

    def prepare(self, dataset: TrainingSet) -> TrainingSet:
        cluster = self.clusters_of(dataset)
        _, keep = np.unique(cluster, return_index=True)
        precision, recall = pair_precision_recall(cluster, dataset.pool_index)
        return dataset.select(
            np.sort(keep),
            removed=float(len(dataset) - len(keep)),
            duplicate_precision=precision,
            duplicate_recall=recall,
        )

    def unit(self, unit: str) -> str:
        # By bytes, an additional image is either a copy, which changes nothing, or one more kept image. By similarity,
        # it can also join several clusters into one, and then all but one of their kept images are removed.
        # By caption it can also come before a kept image of that caption, and take its place.
        if self.method == "exact" and self.by != "caption":
            return f"{unit} with all its exact copies"
        return f"{unit} kept by deduplication; the choice of the kept images is not protected"

    def clusters_of(self, dataset: TrainingSet) -> np.ndarray:
        """The number of the cluster of each row, int64 [N]. Raises `InputError` for captions that the data lacks."""
        if self.by == "image":
            return self.clusters(dataset.images)
        if dataset.captions is None:
            raise InputError(f"dedup.by is {self.by!r}, but the data has no captions; set it to 'image'")
        known: dict[str, int] = {}
        texts = (" ".join(text.lower().split()) for text in dataset.captions)
        of_captions = np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)
        if self.by == "caption":
            return of_captions
        both = np.stack([self.clusters(dataset.images), of_captions], axis=1)
        return np.unique(both, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def clusters(self, images: np.ndarray) -> np.ndarray:
        """The number of the cluster of each image, int64 [N], for images uint8 [N, C, H, W]."""
        flat, cluster = np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True)
        cluster = cluster.reshape(-1).astype(np.int64)  # equal images are duplicates by every method
        distinct = flat.reshape(-1, *images.shape[1:])
        if self.method == "phash":
            return _near_hashes(perceptual_hash(distinct), self.bits)[cluster]
        if self.method == "embedding":
            return _similar(mobilenet_embedding(distinct), self.threshold)[cluster]
        if self.method == "similarity":
            pixels = flat.astype(np.float32)
            return _similar(pixels - pixels.mean(1, keepdims=True), self.threshold)[cluster]
        return cluster


def perceptual_hash(images: np.ndarray) -> np.ndarray:
    """The 64-bit DCT hash, uint8 [N, 8], of images uint8 [N, 1 or 3, H, W]."""
    from PIL import Image
    from scipy.fft import dctn

    above = np.empty((len(images), 64), bool)
    for i, image in enumerate(_channels_last(images)):
        grey = Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
        low = dctn(np.asarray(grey, dtype=np.float64))[:8, :8].ravel()
        above[i] = low > np.median(low)
    return np.packbits(above, axis=1)


def mobilenet_embedding(images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """The features of torchvision's MobileNetV3-small, float32 [N, 576], for images uint8 [N, 1 or 3, H, W].

    The preprocessing is imagededup's: resize to 256 x 256, crop the middle 224 x 224, normalize with ImageNet's mean
    and standard deviation. Raises `InputError` without the file of weights, see `weights_path`.
    """
    import torch
    from PIL import Image
    from torchvision.models import mobilenet_v3_small
    from torchvision.transforms import v2

    network = mobilenet_v3_small()
    network.load_state_dict(torch.load(weights_path(), map_location="cpu", weights_only=True))
    network.eval()
    preprocess = v2.Compose(
        [
            v2.Resize((256, 256)), v2.CenterCrop(224), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )  # fmt: skip
    rows = _channels_last(images)
    features = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            block = [preprocess(Image.fromarray(row).convert("RGB")) for row in rows[start : start + batch_size]]
            features.append(network.avgpool(network.features(torch.stack(block))).flatten(1).numpy())
    return np.concatenate(features)


def weights_path() -> Path:
    """The path of MobileNetV3-small's weights; `InputError` says where to put the file if it is missing or wrong."""
    import torch

    path = Path(torch.hub.get_dir(), "checkpoints", WEIGHTS)
    if not path.is_file():
        raise InputError(f'dedup.method is "embedding", which needs the file {path}; get it from {URL}')
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(Path(WEIGHTS).stem.rsplit("-", 1)[1]):
        raise InputError(f"{path} is not the right file (its SHA-256 is {found}); get it from {URL}")
    return path


def _channels_last(images: np.ndarray) -> np.ndarray:
    """Images uint8 [N, 1 or 3, H, W] in Pillow's layout, [N, H, W] or [N, H, W, 3]."""
    if images.shape[1] not in (1, 3):
        raise InputError(
            f"this dedup.method needs images of 1 or 3 channels, these have {images.shape[1]}; set it to 'similarity'"
        )
    return np.ascontiguousarray(images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1))


def _similar(embedded: np.ndarray, threshold: float) -> np.ndarray:
    """Connected components of the rows of float32 [N, d], linked at a cosine similarity of at least `threshold`."""
    import faiss

    embedded = embedded / np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-12)
    index = faiss.IndexFlatIP(embedded.shape[1])
    index.add(embedded)
    # the margin is for float32 rounding, so that equal rows pass a threshold of 1
    return _components(len(embedded), lambda rows: index.range_search(embedded[rows], threshold - 1e-6))


def _near_hashes(hashes: np.ndarray, bits: int) -> np.ndarray:
    """Connected components of the rows of uint8 [N, 8], linked if they differ in at most `bits` bits."""
    import faiss

    index = faiss.IndexBinaryFlat(8 * hashes.shape[1])
    index.add(hashes)
    return _components(len(hashes), lambda rows: index.range_search(hashes[rows], bits + 1))  # finds below the radius


def _components(count: int, near: Callable[[slice], tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Connected components, int64 [N], of the pairs that `near` finds; it takes a block of rows and returns the result
    of faiss' range_search.

    Blocks are merged one after the other, so that memory grows with N and not with the number of pairs.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    cluster = np.arange(count, dtype=np.int64)
    block = max(1, PAIRS // max(count, 1))
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        limits, _, found = near(rows)
        row = np.repeat(np.arange(rows.start, rows.stop), limits[1:].astype(np.int64) - limits[:-1].astype(np.int64))
        graph = coo_array((np.ones(len(row), bool), (cluster[row], cluster[found])), shape=(count, count))
        cluster = connected_components(graph, directed=False)[1].astype(np.int64)[cluster]
    return cluster


def pair_precision_recall(cluster: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Precision and recall of the pairs in a common cluster; true pairs have equal `truth`. nan without pairs."""

    def pairs(labels: np.ndarray) -> int:
        counts = np.unique(labels, return_counts=True, axis=0)[1]
        return int((counts * (counts - 1) // 2).sum())

    both = pairs(np.stack([cluster, truth], axis=1))
    found, planted = pairs(cluster), pairs(truth)
    return both / found if found else np.nan, both / planted if planted else np.nan

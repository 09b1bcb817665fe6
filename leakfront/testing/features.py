"""The contract of a feature extractor, checked on digits."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from leakfront.results.features import FeatureExtractor
from leakfront.testing.plugin import calling, check_line, check_plugin, named, require, same_arrays


def check_feature_extractor(extractor: type[FeatureExtractor] | FeatureExtractor) -> None:
    """Raise `AssertionError` unless an extractor keeps to the contract of
    `leakfront.results.features.FeatureExtractor`.

    extractor: a class, or an instance whose parameters suit images uint8 [60, 1, 8, 8] of 10 classes; its weights must
    be there.

    It checks that `fit` leaves the extractor as it was and gives the same features again with the same seed. Features
    must be finite float64 [N, fits * d] with d at most `dimensions`, and those of an image must not depend on the other
    images. A saved fit must give the same features after loading. `label` and `version()` must fit into rows and keys.
    """
    from sklearn.datasets import load_digits

    extractor = check_plugin(extractor, FeatureExtractor, "feature extractor")
    who = named(extractor, "feature extractor")
    check_line(extractor.label, f"the label of {who}")
    with calling(f"{who}: writing version() as JSON"):
        json.dumps(extractor.version(), allow_nan=False)
    digits = load_digits()
    images = np.round(digits.images[:60, None] * 255 / 16).astype(np.uint8)
    before, kept = dict(vars(extractor)), images.copy()
    with calling(f"{who}: fit"):
        fitted, again = (extractor.fit(images, digits.target[:60].astype(np.int64), seed=1) for _ in range(2))
    require(vars(extractor) == before, f"fit of {who} must return what it found and leave the extractor as it was")
    with calling(f"{who}: extract"):
        features = fitted.extract(images)
        repeated, some, reverse = again.extract(images), fitted.extract(images[17:18]), fitted.extract(images[::-1])
    shape = features.dtype == np.float64 and features.ndim == 2 and len(features) == len(images)
    require(shape, f"extract of {who} must return float64 [N, d], one row for each image")
    require(features.shape[1] % fitted.fits == 0, f"{who} must return equally many features of each of its fits")
    count = features.shape[1] // fitted.fits
    width = f"{who} returns {count} features, more than its dimensions, {extractor.dimensions}"
    require(count <= extractor.dimensions, width)
    require(np.isfinite(features).all(), f"the features of {who} must be finite")
    require(len(np.unique(features, axis=0)) > 1, f"{who} must tell images apart")
    require(same_arrays(repeated, features), f"fit of {who} must give the same features with the same seed")
    alone = np.allclose(some, features[17:18], rtol=1e-5, atol=1e-9)
    require(alone and np.allclose(reverse[::-1], features, rtol=1e-5, atol=1e-9), f"the features of an image by {who} "
            "must not depend on the other images")  # fmt: skip
    require(np.array_equal(images, kept), f"{who} must not change images in place")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "extractor.safetensors"
        with calling(f"{who}: save and load"):
            fitted.save(path)
            loaded = extractor.load(path)
            restored = loaded.extract(images)
        require(same_arrays(restored, features), f"{who} must give the same features after saving and loading")

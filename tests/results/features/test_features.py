"""The feature extractors: what they promise about images, seeds, files and weights."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leakfront  # noqa: F401  lets torch_fidelity be imported
from leakfront.errors import InputError
from leakfront.results.features import FittedExtractor, inception, registry
from leakfront.results.features.embedded import Classifiers, Embedded
from leakfront.results.features.inception import Inception
from leakfront.results.features.pixels import Pixels
from leakfront.results.metrics.fid import FID
from tests.results.features.test_dinov2 import saved
from tests.results.metrics.test_metrics import estimate


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """All 1,797 digits in random order, uint8 [N, 1, 8, 8], and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return np.round(data.images[order, None] / 16 * 255).astype(np.uint8), data.target[order]


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> Classifiers:
    """Fitted on the first 300 digits."""
    images, labels = digits
    return Embedded(fits=1).fit(images[:300], labels[:300], seed=1)


def inception_network(**parameters: Any) -> FittedExtractor:
    return Inception(**parameters).fit(np.zeros((0, 1, 8, 8), np.uint8), np.zeros(0, np.int64), seed=0)


def fid(first: np.ndarray, second: np.ndarray) -> float:
    return estimate(FID(), first, second).value


# Embedded


def test_embedded_features_tell_noise_from_digits_and_not_seen_digits_from_unseen(
    digits: tuple[np.ndarray, np.ndarray], fitted: Classifiers
) -> None:
    images, _ = digits
    seen, unseen, others = (fitted.extract(part) for part in (images[:300], images[300:600], images[600:900]))
    noise = fitted.extract(np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8)).astype(np.uint8))
    assert fid(noise, others) > 20 * fid(unseen, others)
    assert (fid(seen, others) + fid(seen, unseen)) / 2 < 3 * fid(unseen, others)


def test_embedded_features_worsen_with_the_damage_to_the_digits(
    digits: tuple[np.ndarray, np.ndarray], fitted: Classifiers
) -> None:
    images, _ = digits
    reference = fitted.extract(images[600:900])
    grain = np.random.default_rng(0).normal(size=(300, 1, 8, 8)) * 255
    damaged = [np.clip(images[300:600] + grain * amount, 0, 255).astype(np.uint8) for amount in (0, 0.1, 0.2, 0.4)]
    distances = [fid(fitted.extract(part), reference) for part in damaged]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[0]


def test_the_accuracy_is_that_of_digits_it_was_not_trained_on(
    digits: tuple[np.ndarray, np.ndarray], fitted: Classifiers
) -> None:
    images, _ = digits
    assert 0.85 < fitted.accuracy <= 1.0
    shuffled = np.random.default_rng(0).integers(0, 10, 300)
    unlearnable = Embedded(steps=60, fits=1).fit(images[:300], shuffled, seed=1)
    assert unlearnable.accuracy < 0.3


def test_a_fit_is_reproducible_and_leaves_the_random_state_alone(digits: tuple[np.ndarray, np.ndarray]) -> None:
    import torch

    images, labels = digits
    features, before = [], torch.get_rng_state()
    for seed in (2**62 + 5, 2**62 + 5, 6):
        extractor = Embedded(steps=5, dimensions=16).fit(images[:100], labels[:100], seed=seed)
        features.append(extractor.extract(images[100:110]))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(features[0], features[1])
    assert not np.allclose(features[0], features[2])


def test_embedded_features_do_not_depend_on_what_else_is_extracted(
    digits: tuple[np.ndarray, np.ndarray], fitted: Classifiers
) -> None:
    images, _ = digits
    together = fitted.extract(images[:300])
    order = np.random.default_rng(0).permutation(300)
    assert together.shape == (300, 64)
    assert together.dtype == np.float64
    np.testing.assert_array_equal(fitted.extract(images[order]), together[order])
    np.testing.assert_array_equal(fitted.extract(images[:300][17:18]), together[17:18])
    assert fitted.extract(images[:0]).shape == (0, 64)


def test_a_saved_fit_comes_back(digits: tuple[np.ndarray, np.ndarray], fitted: Classifiers, tmp_path: Path) -> None:
    images, _ = digits
    for name in ("once", "twice"):
        fitted.save(tmp_path / name)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()
    loaded = Embedded(fits=1).load(tmp_path / "once")
    assert loaded.accuracy == fitted.accuracy
    np.testing.assert_array_equal(loaded.extract(images[:20]), fitted.extract(images[:20]))


def test_a_file_that_holds_something_else_is_not_loaded(fitted: Classifiers, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    fitted.save(tmp_path / "fit")
    (tmp_path / "text").write_text("not safetensors")
    save_file({"images": np.zeros(3)}, tmp_path / "images")
    cut = (tmp_path / "fit").read_bytes()[:-8]
    (tmp_path / "cut").write_bytes(cut)
    for name in ("text", "images", "cut", "missing"):
        with pytest.raises(InputError, match=f"{name} does not hold 1 fits of embedded features of 64 dimensions"):
            Embedded(fits=1).load(tmp_path / name)
    with pytest.raises(InputError, match="of 32 dimensions"):
        Embedded(dimensions=32, fits=1).load(tmp_path / "fit")
    with pytest.raises(InputError, match="does not hold 3 fits"):
        Embedded().load(tmp_path / "fit")


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 40, 20), (1, 5, 9)])
def test_embedded_features_fit_images_of_other_sizes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, *shape)).astype(np.uint8), rng.integers(5, 8, 40)
    extractor = Embedded(dimensions=7, fits=1, steps=1, epochs=1).fit(images, labels, seed=0)
    assert np.isfinite(extractor.extract(images)).all()
    assert extractor.extract(images).shape == (40, 7)
    with pytest.raises(InputError, match="are of images"):
        extractor.extract(images[:, :, 1:])


def test_rows_name_the_parameters_that_make_other_features() -> None:
    assert Embedded().label == Embedded(steps=150).label == "embedded"
    assert Embedded(dimensions=32, epochs=9).label == "embedded-dimensions32-epochs9"


def test_embedded_features_need_two_classes_and_name_the_way_out(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    with pytest.raises(InputError, match=r"at least 2 classes.*another extractor \(inception\)"):
        Embedded().fit(images[:50], np.zeros(50, dtype=np.int64), seed=0)
    with pytest.raises(InputError, match="at least 10 labelled images"):
        Embedded().fit(images[:9], labels[:9], seed=0)
    with pytest.raises(InputError, match="at least 4 x 4 pixels"):
        Embedded().fit(images[:50, :, :3], labels[:50], seed=0)
    with pytest.raises(InputError, match=r"metrics\.embedded\.steps is 0; it must be at least 1"):
        Embedded(steps=0)


def test_several_fits_lie_side_by_side_and_the_first_is_that_of_one(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, labels = digits
    one, three = (Embedded(steps=5, fits=fits).fit(images[:100], labels[:100], seed=1) for fits in (1, 3))
    assert (one.fits, three.fits) == (1, 3)
    together = three.extract(images[:20])
    assert together.shape == (20, 3 * 64)
    assert three.extract(images[:0]).shape == (0, 3 * 64)
    first, second, third = np.split(together, 3, axis=1)
    np.testing.assert_array_equal(first, one.extract(images[:20]))
    assert not np.allclose(first, second)
    assert not np.allclose(second, third)
    three.save(tmp_path / "fits")
    loaded = Embedded(fits=3).load(tmp_path / "fits")
    assert (loaded.fits, loaded.accuracy) == (3, three.accuracy)
    np.testing.assert_array_equal(loaded.extract(images[:20]), together)


def test_a_fit_leaves_the_extractor_as_it_was(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    extractor = Embedded(steps=2)
    before = dict(vars(extractor))
    first, second = (extractor.fit(images[:100], labels[:100], seed=seed) for seed in (1, 2))
    assert vars(extractor) == before
    assert not np.allclose(first.extract(images[:5]), second.extract(images[:5]))


# Inception


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the right form with random weights: the real one is 96 MB away."""
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = theirs.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
        for weight in network.parameters():
            if weight.ndim == 4:
                torch.nn.init.kaiming_normal_(weight)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def trusted(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The random weights, as if theirs were the known checksum."""
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(random_weights.read_bytes()).hexdigest())
    return random_weights


def test_missing_inception_weights_are_named_with_their_source_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    with pytest.raises(InputError) as caught:
        inception_network()
    for part in (str(place), inception.URL, "download = true"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not place.parent.exists()
    with pytest.raises(InputError, match="elsewhere"):
        inception_network(weights=str(tmp_path / "elsewhere"))


def test_other_weights_are_refused_by_their_checksum(random_weights: Path) -> None:
    with pytest.raises(InputError, match=r"not the expected Inception-v3 file .* not 6726825d"):
        inception_network(weights=str(random_weights))


def test_a_file_that_runs_code_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(tmp_path / "ran"), "w")

    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(InputError, match="SHA-256"):
        inception_network(weights=str(tmp_path / "weights.pth"))
    assert not (tmp_path / "ran").exists()


def test_inception_features_take_grey_as_three_equal_channels_in_any_order(trusted: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8)).astype(np.uint8)
    extractor = inception_network(weights=str(trusted), batch_size=2)
    features = extractor.extract(images)
    assert features.shape == (3, 2048)
    assert features.dtype == np.float64
    assert np.abs(features[0] - features[1]).max() > 1e-3 * np.abs(features).max()
    np.testing.assert_allclose(extractor.extract(images.repeat(3, axis=1)[::-1]), features[::-1], rtol=1e-5)
    with pytest.raises(InputError, match="1 or 3 channels, got 2"):
        extractor.extract(images.repeat(2, axis=1))


def test_every_extractor_stands_in_for_its_fit_when_it_is_loaded(trusted: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8)).astype(np.uint8)
    tiny = {"folder": str(saved(tmp_path / "tiny")), "dimensions": 16}
    settings = {
        "embedded": {"steps": 2},
        "inception": {"weights": str(trusted), "batch_size": 2},
        "dinov2": tiny,
        "efficientnet_lite0": {"batch_size": 2},
        "pixels": {"side": 4},
    }
    for name in registry.names():
        if name == "sscd":  # which has no weights without a file; see test_sscd.py
            continue
        extractor = registry.get(name)(**settings.get(name, {}))
        fitted = extractor.fit(images, np.arange(12) % 2, seed=0)
        fitted.save(tmp_path / name)
        loaded = extractor.load(tmp_path / name)
        assert loaded.accuracy == fitted.accuracy
        assert (fitted.accuracy is None) == (name != "embedded")
        np.testing.assert_array_equal(loaded.extract(images[:2]), fitted.extract(images[:2]))


def test_inception_weights_are_downloaded_only_when_asked(
    trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "new" / "weights.pth"
    monkeypatch.setattr(inception, "URL", (tmp_path / "nowhere").as_uri())
    with pytest.raises(InputError, match=r"could not download .* by hand"):
        inception_network(weights=str(wanted), download=True)
    monkeypatch.setattr(inception, "URL", trusted.as_uri())
    inception_network(weights=str(wanted), download=True)
    assert wanted.read_bytes() == trusted.read_bytes()


def test_a_run_keeps_which_inception_weights_it_had(
    trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inception_network(weights=str(trusted)).save(tmp_path / "which")
    Inception(weights=str(trusted)).load(tmp_path / "which")
    monkeypatch.setattr(inception, "SHA256", "0" * 64)
    with pytest.raises(InputError, match="inception weights have changed"):
        Inception(weights=str(trusted)).load(tmp_path / "which")


def test_the_extractors_are_found_by_name() -> None:
    assert registry.names() == [
        "digits_frozen",
        "dinov2",
        "efficientnet_lite0",
        "embedded",
        "inception",
        "pixels",
        "sscd",
    ]
    assert registry.get("inception")().dimensions == 2048
    assert registry.get("embedded")(dimensions=32).dimensions == 32


def test_pixels_are_means_over_squares_of_at_most_their_side() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), dtype=np.uint8)
    squares = images[:, 0].reshape(3, 16, 2, 16, 2).mean(axis=(2, 4)) / 255
    pixels = Pixels().fit(images, np.zeros(3, np.int64), seed=0)
    np.testing.assert_allclose(pixels.extract(images), squares.reshape(3, -1))
    np.testing.assert_allclose(pixels.extract(images[:, :, :8, :8]), images[:, 0, :8, :8].reshape(3, -1) / 255)
    assert Pixels(side=4).dimensions == 48
    with pytest.raises(InputError, match="side"):
        Pixels(side=0)

"""The config of `leakfront attack`: what follows from the folders that it is given, and what they leave open."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakfront.datasets import folder
from leakfront.datasets.files.listing import Listing
from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.plan.make import make_plan, notes_on
from leakfront.harness.settings.external import external_config
from leakfront.harness.store.layout import Layout
from leakfront.models.unet import UNet
from leakfront.results.features.inception import Inception
from tests.datasets.test_image_files import turned
from tests.datasets.test_members_decoys import write

FEW = ("attacks.extraction.neighbours=10",)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, members, decoys and a flat folder of references, on a machine without Inception's weights."""
    UNet(channels=(8, 8), head_channels=8).build((1, 8, 8), 1, 3).save(tmp_path / "model")
    for name, first in (("members", 0), ("decoys", 100), ("reference", 200)):
        write(tmp_path / name, range(first, first + 30))
    monkeypatch.setattr(Inception, "place", lambda self: tmp_path / "weights")
    return tmp_path


def places(root: Path) -> tuple[str, str, str, str, str]:
    model, members, decoys, reference = (str(root / name) for name in ("model", "members", "decoys", "reference"))
    return model, members, decoys, reference, "quick-v2"


def test_a_flat_reference_works_at_the_defaults(root: Path) -> None:
    config = external_config(*places(root), FEW)
    assert (config.metrics.features, config.metrics.names) == ("pixels", ("kid",))
    plan, pool = check_everything(config, Layout(root / "run"))
    assert (len(pool.reference_images), len(pool.extractor_images)) == (30, 0)  # none is kept for an extractor
    assert "FID: not in metrics.names (on pixels features, metrics.features, it needs 769 samples" in str(
        notes_on(plan)
    )


def test_inception_is_taken_where_its_weights_are_and_then_enough_is_sampled(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "weights").write_bytes(b"")
    for images, names, samples in ((2049, ("fid", "kid"), 2049), (2048, ("kid",), 2048), (19, (), 2048)):
        files = tuple(Path(f"{i}.png") for i in range(images))
        monkeypatch.setattr(folder, "list_folder", lambda root, files=files: Listing(root, files, {}))
        config = external_config(*places(root), ())
        assert (config.metrics.features, config.metrics.names) == ("inception", names)
        assert config.sampling.images == samples


def test_what_the_user_sets_is_kept_and_refused_by_name_if_it_cannot_be(root: Path) -> None:
    assert external_config(*places(root), ("sampling.images=15",)).metrics.names == ()
    config = external_config(*places(root), (*FEW, 'metrics.names=["fid"]'))
    with pytest.raises(InputError, match=r"data\.reference gives 30; raise it, take 'fid' out of metrics\.names, or"):
        check_everything(config, Layout(root / "run"))


def test_all_folders_that_are_wrong_are_named(root: Path) -> None:
    model, _, _, reference, suite = places(root)
    with pytest.raises(InputError) as caught:
        external_config(model, "nowhere", "elsewhere", reference, suite, ())
    assert [sentence.split(" ")[0] for sentence in caught.value.sentences] == ["nowhere", "elsewhere"]


def test_a_model_with_classes_asks_for_their_order_where_there_are_two(root: Path) -> None:
    for name in ("members", "decoys"):
        for label in ("1", "2", "10"):
            write(
                root / name / label,
                [*range(int(label) * 10 + 1000 * len(name), int(label) * 10 + 1000 * len(name) + 9)],
            )
        for file in (root / name).glob("*.png"):
            file.unlink()
    model, members, decoys, _, suite = places(root)
    layout = Layout(root / "run")
    check_everything(external_config(model, members, decoys, None, suite, FEW), layout)  # it has no classes
    UNet(channels=(8, 8), head_channels=8, conditional=True).build((1, 8, 8), 3, 3).save(root / "model")
    (root / "model" / "model_index.json").unlink()
    turned(root / "members" / "1" / "turned.png", 6)
    with pytest.raises(InputError) as caught:
        check_everything(external_config(model, members, decoys, None, suite, FEW), layout)
    first, second = caught.value.sentences
    assert "set data.params.orientation" in first
    assert "set data.params.class_order" in second
    said = ("data.params.class_order=numeric", "data.params.orientation=apply")
    config = external_config(model, members, decoys, None, suite, (*FEW, *said))
    _, pool = check_everything(config, layout)
    assert pool.classes == ("1", "2", "10")
    assert make_plan(config).dataset.class_question() == ""

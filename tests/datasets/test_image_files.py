"""Files of images as people have them: all endings, orientation, class folders, several faults at once, file facts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets import open_dataset
from leakfront.datasets.files.class_order import numbered, order_question
from leakfront.datasets.files.decode import FORMATS
from leakfront.datasets.files.facts import WORDS, FileFacts
from leakfront.datasets.files.listing import PICTURES
from leakfront.datasets.files.medical import View, decode_medical, windowed
from leakfront.errors import InputError

UPRIGHT = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
# the EXIF orientation -> the picture as it is stored, so that a viewer shows `UPRIGHT`
STORED = {
    1: UPRIGHT, 2: UPRIGHT[:, ::-1], 3: UPRIGHT[::-1, ::-1], 4: UPRIGHT[::-1], 5: UPRIGHT.T, 6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T, 8: np.rot90(UPRIGHT, -1),
}  # fmt: skip


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8))


def turned(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(path, exif=exif.tobytes())
    return path


def fill(folder: Path, seeds: range) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        picture(seed).save(folder / f"{seed}.png")
    return folder


def refused(**params: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        open_dataset("members_decoys", **params).load()
    return caught.value.sentences


@pytest.mark.parametrize("form", ["tiff", "gif", "png", "webp"])
def test_a_file_of_several_pages_or_frames_is_refused(tmp_path: Path, form: str) -> None:
    picture(0).save(tmp_path / f"stack.{form}", save_all=True, append_images=[picture(1), picture(2)])
    with pytest.raises(InputError, match=r"stack\.\w+ has 3 pages or frames; save the one that you mean"):
        open_dataset(f"folder:{tmp_path}", mode="grey").load()


def test_the_preview_in_a_cameras_jpeg_is_no_second_image(tmp_path: Path) -> None:
    picture(0).convert("RGB").save(
        tmp_path / "photo.jpg", "MPO", save_all=True, append_images=[picture(1).convert("RGB")]
    )
    assert len(open_dataset(f"folder:{tmp_path}").load()) == 1


def test_all_endings_that_pillow_knows_of_the_formats_are_images(tmp_path: Path) -> None:
    Image.init()
    known = {name for name, form in Image.registered_extensions().items() if form in FORMATS}
    assert known <= PICTURES
    for number, name in enumerate(sorted(PICTURES)):
        form = Image.registered_extensions()[name]
        Image.linear_gradient("L").resize((8, 8)).save(tmp_path / f"{number}{name.upper()}", form)
    assert len(open_dataset(f"folder:{tmp_path}", mode="grey").load()) == len(PICTURES)


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    for name in (".hidden.png", "photo.heic", "photo.avif", "a\nb.txt", "labels.csv"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "damaged.png").write_bytes(b"")
    assert open_dataset(f"folder:{tmp_path}", skip_bad=True).load().notes == (
        "1 file is hidden and left out (.hidden.png)",
        "4 files are of another ending and left out (a\\nb.txt, labels.csv, photo.avif, … .txt: 1, .csv: 1, .avif: 1)",
        "1 image could not be used and was skipped (damaged.png)",
    )


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_refused_until_a_setting_says_how_it_is_meant(
    tmp_path: Path, orientation: int, ending: str
) -> None:
    file = turned(tmp_path / f"a.{ending}", orientation)
    if ending == "webp":  # whose default loses detail
        Image.fromarray(np.ascontiguousarray(STORED[orientation])).convert("RGB").save(
            file, lossless=True, exif=Image.open(file).getexif()
        )
    spec = f"folder:{tmp_path}"
    if orientation == 1:
        assert np.array_equal(open_dataset(spec, mode="grey").load().images[0, 0], UPRIGHT)
        return
    for skip_bad in (False, True):
        with pytest.raises(
            InputError, match=rf"a\.{ending} is turned by its EXIF orientation, {orientation}: set data"
        ):
            open_dataset(spec, skip_bad=skip_bad).load()
    for setting, expected in (("apply", UPRIGHT), ("as_stored", STORED[orientation])):
        found = open_dataset(spec, mode="grey", orientation=setting).load().images[0, 0]
        assert np.array_equal(found, expected), setting


def test_a_turned_jpeg_is_refused_too(tmp_path: Path) -> None:
    turned(tmp_path / "a.jpg", 6)
    with pytest.raises(InputError, match=r'set data\.params\.orientation to "apply" if .*, or to "as_stored"'):
        open_dataset(f"folder:{tmp_path}").load()
    found = open_dataset(f"folder:{tmp_path}", orientation="apply").load().images[0, 0]
    assert np.abs(found.astype(int) - UPRIGHT).max() < 30


def test_unreadable_exif_data_turn_nothing(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.jpg", exif=b"Exif\0\0no tags at all")
    assert len(open_dataset(f"folder:{tmp_path}").load()) == 1


def test_class_folders_have_two_orders_only_where_their_digits_do() -> None:
    names = [str(number) for number in range(1, 11)]
    assert numbered(names, None)[:3] == numbered(names, "text")[:3] == ("1", "10", "2")
    assert numbered(names, "numeric") == tuple(names)
    assert "class 1 is '10', and by number '2'; set data.params.class_order" in order_question(names)
    assert order_question(["01", "02", "10", "cat", "n02"]) == ""
    assert numbered(["b", "a"], ("c", "b", "a")) == ("c", "b", "a")  # a class without images
    for wrong, says in ((("a",), "lacks the class folder 'b'"), (("a", "b", "a"), "has a name twice")):
        with pytest.raises(InputError, match=says):
            numbered(["a", "b"], wrong)


def test_classes_are_numbered_as_the_setting_says_over_all_folders(tmp_path: Path) -> None:
    for side, first in (("members", 0), ("decoys", 100)):
        for label in ("1", "2", "10"):
            fill(tmp_path / side / label, range(first + 5 * int(label), first + 5 * int(label) + 2))
    places = {side: str(tmp_path / side) for side in ("members", "decoys")}
    unsaid = open_dataset("members_decoys", **places)
    assert "numbered in two ways" in unsaid.class_question()
    for order, classes in (
        ("text", ("1", "10", "2")),
        ("numeric", ("1", "2", "10")),
        (["10", "1", "2"], ("10", "1", "2")),
    ):
        dataset = open_dataset("members_decoys", class_order=order, **places)
        data = dataset.load()
        assert data.classes == classes
        assert dataset.class_question() == ""
        assert data.labels[data.roles == 1].tolist() == [
            classes.index(name) for name in ("1", "1", "10", "10", "2", "2")
        ]


def test_all_faults_of_all_folders_are_told_at_once(tmp_path: Path) -> None:
    members, decoys = fill(tmp_path / "members", range(3)), fill(tmp_path / "decoys", range(10, 13))
    turned(members / "a.jpg", 6)
    turned(members / "b.jpg", 3)
    (members / "c.png").write_bytes(b"")
    Image.new("RGB", (9, 9)).save(decoys / "d.png")
    said = refused(members=str(members), decoys=str(decoys), reference=str(tmp_path / "nowhere"))
    assert len(said) == 5
    assert f"{members / 'c.png'} is no image" in said[0]
    assert said[1].startswith(f"{members / 'a.jpg'} is turned by its EXIF orientation, 6")
    assert said[1].endswith("(1 more of this kind)")
    assert "8x8 pixels and" in said[2]
    assert "is grey and" in said[3]
    assert f"{tmp_path / 'nowhere'} does not exist" in said[4]


def test_file_facts_tell_formats_tables_sizes_and_metadata_apart(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[272] = "a camera"
    picture(0).save(tmp_path / "a.png")
    picture(0).save(tmp_path / "b.jpg", quality=75)
    picture(0).save(tmp_path / "c.jpg", quality=90, exif=exif.tobytes())
    picture(0).resize((16, 16)).save(tmp_path / "d.png")
    facts = open_dataset(f"folder:{tmp_path}", size=8).load().files
    assert facts.names == ("a.png", "b.jpg", "c.jpg", "d.png")
    words = {name: [one[WORDS.index(name)] for one in facts.words] for name in WORDS}
    assert words["format"] == ["PNG", "JPEG", "JPEG", "PNG"]
    assert len(set(words["tables"])) == 3
    assert words["tables"][0] == ""
    assert words["made_by"] == ["", "", "a camera", ""]
    assert facts.numbers[:, 0].tolist() == [(tmp_path / name).stat().st_size for name in facts.names]
    assert facts.numbers[:, 1].tolist() == [8, 8, 8, 16]  # as stored, not as resized
    facts.save(tmp_path / "facts.safetensors", groups=np.arange(4))
    again, arrays = FileFacts.load(tmp_path / "facts.safetensors")
    assert (again.names, again.words) == (facts.names, facts.words)
    assert np.array_equal(again.features(), facts.features())
    assert arrays["groups"].tolist() == [0, 1, 2, 3]


def test_files_of_one_kind_leave_a_control_their_sizes_alone(tmp_path: Path) -> None:
    facts = open_dataset(f"folder:{fill(tmp_path, range(4))}").load().files
    assert facts.features().shape[1] <= 2  # bytes, and bytes per pixel


def test_a_window_clips_and_scales() -> None:
    values = np.array([[-2000.0, -160.0, 40.0, 240.0, 3000.0, np.nan]])
    assert windowed(values, (40.0, 400.0)).tolist() == [[0, 0, 128, 255, 255, 0]]
    with pytest.raises(ValueError, match="wider than 0"):
        windowed(values, (40.0, 0.0))


@pytest.mark.parametrize(("name", "package"), [("a.dcm", "pydicom"), ("a.nii.gz", "nibabel")])
def test_without_the_extra_a_medical_file_says_what_to_install(
    tmp_path: Path, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # its import fails
    (tmp_path / name).write_bytes(b"")
    for skip_bad in (False, True):
        with pytest.raises(InputError, match=rf"needs {package}: install leakfront\[medical\]"):
            open_dataset(f"folder:{tmp_path}", skip_bad=skip_bad).load()


def dicom(path: Path, values: np.ndarray, **more: Any) -> Path:
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset = pydicom.dataset.Dataset()
    dataset.file_meta = meta
    dataset.Rows, dataset.Columns = values.shape[-2:]
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.RescaleIntercept, dataset.RescaleSlope = -1000, 1
    dataset.PixelData = values.astype("<u2").tobytes()
    for key, value in more.items():
        setattr(dataset, key, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_dicom_is_read_through_its_window_where_the_extra_is_installed(tmp_path: Path) -> None:
    stored = np.array([[0, 840], [1040, 1240]])  # Hounsfield units -1000, -160, 40, 240
    expected = [[0, 0], [128, 255]]
    file = dicom(tmp_path / "a.dcm", stored, WindowCenter=[40, 600], WindowWidth=[400, 1500])
    for window in ((40.0, 400.0), "stored"):
        assert np.asarray(decode_medical(file, View(window=window)).image).tolist() == expected
    with pytest.raises(InputError, match=r"set data\.params\.window to \[centre, width\]"):
        decode_medical(file, View())
    inverted = dicom(tmp_path / "b.dcm", stored, PhotometricInterpretation="MONOCHROME1")
    assert np.asarray(decode_medical(inverted, View((40.0, 400.0))).image).tolist() == [[255, 255], [127, 0]]
    volume = dicom(tmp_path / "c.dcm", np.stack([stored, stored.T, stored]))
    assert (
        np.asarray(decode_medical(volume, View((40.0, 400.0), "middle")).image).tolist()
        == np.transpose(expected).tolist()
    )
    with pytest.raises(InputError, match=r"has 3 slices; set data\.params\.slice"):
        decode_medical(volume, View((40.0, 400.0)))


def test_frames_of_enhanced_dicom_are_rescaled_each_by_its_own_statement(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    stored = np.array([[0, 840], [1040, 1240]])

    def rescaling(intercept: float) -> Any:
        stated, groups = pydicom.Dataset(), pydicom.Dataset()
        stated.RescaleSlope, stated.RescaleIntercept = 1, intercept
        groups.PixelValueTransformationSequence = [stated]
        return groups

    def enhanced(name: str, **groups: Any) -> Path:
        dataset = pydicom.dcmread(dicom(tmp_path / name, np.stack([stored, stored])))
        del dataset.RescaleSlope, dataset.RescaleIntercept
        for key, value in groups.items():
            setattr(dataset, f"{key}FunctionalGroupsSequence", value)
        dataset.save_as(tmp_path / name)
        return tmp_path / name

    def levels(file: Path, frame: int) -> Any:
        return np.asarray(decode_medical(file, View((40.0, 400.0), frame)).image).tolist()

    each = enhanced("each.dcm", PerFrame=[rescaling(-1000), rescaling(-1240)])
    assert levels(each, 0) == [[0, 0], [128, 255]]
    assert levels(each, 1) == [[0, 0], [0, 102]]
    assert levels(enhanced("shared.dcm", Shared=[rescaling(-1000)], PerFrame=[pydicom.Dataset()] * 2), 1) == levels(
        each, 0
    )
    assert levels(enhanced("plain.dcm"), 0) == [[102, 255], [255, 255]]  # its values are those that it stores
    with pytest.raises(InputError, match="not how pixels become values"):
        levels(enhanced("unsaid.dcm", Shared=[pydicom.Dataset()]), 0)


def test_a_stored_window_that_is_no_straight_line_is_refused(tmp_path: Path) -> None:
    file = dicom(tmp_path / "a.dcm", np.ones((2, 2), int), WindowCenter=40, WindowWidth=400, VOILUTFunction="SIGMOID")
    with pytest.raises(InputError, match="no straight line"):
        decode_medical(file, View(window="stored"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_is_read_slice_by_slice_where_the_extra_is_installed(tmp_path: Path, name: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / name)
    for chosen, at in (("middle", 2), (0, 0)):
        found = np.asarray(decode_medical(tmp_path / name, View((11.5, 23.0), chosen)).image)
        assert np.array_equal(found, np.rint(values[..., at] / 23 * 255))
    for view, says in (
        (View((11.5, 23.0)), "has 4 slices; set"), (View((1.0, 2.0), 9), "slice is 9, but"),
        (View("stored", 0), "stores no window"), (View(None, 0), "set data.params.window"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=says):
            decode_medical(tmp_path / name, view)

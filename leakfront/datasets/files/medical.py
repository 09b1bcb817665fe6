"""DICOM and NIfTI, by the extra `medical` (pydicom, nibabel): one slice, through one window."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt
from PIL import Image

from leakfront.datasets.files.decode import MAX_PIXELS, Picture
from leakfront.datasets.files.facts import Facts
from leakfront.datasets.files.listing import DICOM, NIFTI, ending
from leakfront.datasets.files.problems import UnsaidError
from leakfront.errors import InputError

# parameters: [centre, width] in the values of the file (Hounsfield units of a CT), or DICOM's own; and a slice's number
Window = Literal["stored"] | tuple[float, Annotated[float, Gt(0)]]
Slice = Literal["middle"] | Annotated[int, Ge(0)]
_PACKAGES = {"pydicom": "DICOM", "nibabel": "NIfTI"}
_GREY = ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True)
class View:
    """What is seen of a medical image; None where it was not said.

    window: values are clipped to [centre - width / 2, centre + width / 2], which becomes 0 … 255. slice: of the last
    axis of a NIfTI volume, or the frame of a DICOM file of several; from 0.
    """

    window: Window | None = None
    slice: Slice | None = None


def is_medical(file: Path) -> bool:
    """Whether a file's ending is that of DICOM or NIfTI."""
    return ending(file) in DICOM | NIFTI


def decode_medical(file: Path, view: View) -> Picture:
    """The slice of a DICOM or NIfTI file that `view` names, as 8-bit grey.

    Rows and columns are those of the file: nothing is turned. Raises `InputError` without the extra, where a window or
    slice is needed and not said (`UnsaidError`), and for files that are damaged, coloured or too large.
    """
    if not file.is_file():
        raise InputError(f"{file} is not a regular file or leads nowhere; leave it out")
    name, read = ("pydicom", _dicom) if ending(file) in DICOM else ("nibabel", _nifti)
    try:
        package = importlib.import_module(name)
    except ImportError:
        raise UnsaidError(
            f"{file} is a {_PACKAGES[name]} file, which needs {name}: install leakfront[medical]"
        ) from None
    try:
        return read(package, file, view)
    except InputError:
        raise
    except Exception as error:  # both libraries raise nearly anything on damaged files
        cause = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(f"{file} is damaged or cannot be read ({cause}); replace it, or leave it out") from error


def windowed(values: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Values [H, W] clipped to the window (centre, width) and scaled to 0 … 255, rounded, as uint8.

    This is DICOM's function LINEAR_EXACT (PS3.3, C.11.2.1.3.2). Raises `ValueError` for a width that is not above 0.
    """
    centre, width = window
    if not width > 0:
        raise ValueError(f"a window must be wider than 0, not {width:g}")
    share = (np.asarray(values, dtype=np.float64) - (centre - width / 2)) / width
    return np.rint(np.clip(np.nan_to_num(share), 0, 1) * 255).astype(np.uint8)


def _dicom(pydicom: Any, file: Path, view: View) -> Picture:
    from pydicom.pixels import pixel_array

    dataset = pydicom.dcmread(file)
    colour = str(dataset.PhotometricInterpretation)
    if colour not in _GREY:
        raise InputError(f"{file} is {colour}; of DICOM only grey images are read, so save it as PNG")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    height, width = int(dataset.Rows), int(dataset.Columns)
    _require_room(file, height, width)
    window = _stored_window(file, dataset) if view.window == "stored" else view.window
    frame = _chosen(file, frames, view) if frames > 1 else 0
    stored = pixel_array(dataset, index=frame)
    pixels = windowed(_rescaled(file, dataset, stored, frame), _require_window(file, window))
    if colour == "MONOCHROME1":  # the lowest value is white
        pixels = 255 - pixels
    syntax = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", ""))
    made_by = " ".join(
        str(dataset.get(key, "")) for key in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions")
    )
    words = (
        "DICOM",
        f"{colour} {dataset.get('BitsStored', '')}",
        "",
        syntax,
        str(dataset.get("Modality", "")),
        made_by,
    )
    return _picture(file, pixels, words)


def _rescaled(file: Path, dataset: Any, stored: np.ndarray, frame: int) -> np.ndarray:
    """The values of stored pixels: by the file's own rescaling, or by that of the frame, as in enhanced CT and MR."""
    from pydicom.pixels import apply_modality_lut

    if "RescaleSlope" in dataset or "ModalityLUTSequence" in dataset:
        return np.asarray(apply_modality_lut(stored, dataset))
    each, all_of_them = (dataset.get(f"{which}FunctionalGroupsSequence") for which in ("PerFrame", "Shared"))
    for groups in ([each[frame]] if each else []) + list(all_of_them or []):
        if stated := groups.get("PixelValueTransformationSequence"):
            return stored * float(stated[0].RescaleSlope) + float(stated[0].RescaleIntercept)
    if each or all_of_them:
        raise InputError(f"{file} describes each frame, and not how pixels become values; save the frame as PNG")
    return np.asarray(stored)


def _nifti(nibabel: Any, file: Path, view: View) -> Picture:
    image = nibabel.load(file)
    shape = tuple(int(side) for side in image.shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3):
        raise InputError(f"{file} has the axes {list(shape)}; one image or one volume of slices is read")
    _require_room(file, *shape[:2])
    if view.window == "stored":
        raise UnsaidError(f"{file} is NIfTI, which stores no window; set data.params.window to [centre, width]")
    window = _require_window(file, view.window)
    where: tuple[Any, ...] = (slice(None), slice(None))
    if len(shape) == 3:
        where += (_chosen(file, shape[2], view),)
    where += (0,) * (len(image.shape) - len(where))
    pixels = windowed(np.asarray(image.dataobj[where]), window)
    header = image.header
    words = ("NIFTI", str(header.get_data_dtype()), "", ending(file), str(bytes(header.get("descrip", b""))), "")
    return _picture(file, pixels, words)


def _picture(file: Path, pixels: np.ndarray, words: tuple[str, ...]) -> Picture:
    height, width = pixels.shape
    numbers = (float(file.stat().st_size), float(width), float(height), 0.0, 0.0)
    return Picture(Image.fromarray(pixels), Facts(numbers, words))


def _stored_window(file: Path, dataset: Any) -> tuple[float, float]:
    """The first window that a DICOM file states."""
    form = str(dataset.get("VOILUTFunction", "LINEAR"))
    if form not in ("LINEAR", "LINEAR_EXACT") or "VOILUTSequence" in dataset:
        raise UnsaidError(f"{file} states a window that is no straight line; set data.params.window to [centre, width]")
    centre, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    if centre is None or width is None:
        raise UnsaidError(f"{file} states no window; set data.params.window to [centre, width]")
    first = [float(np.ravel(np.asarray(value, dtype=np.float64))[0]) for value in (centre, width)]
    return first[0], first[1]


def _require_window(file: Path, window: tuple[float, float] | None) -> tuple[float, float]:
    if window is None:
        raise UnsaidError(
            f"{file} has values that are not grey levels; set data.params.window to [centre, width], or to "
            '"stored" for the window that DICOM files state'
        )
    return window


def _chosen(file: Path, slices: int, view: View) -> int:
    """The number of the slice, from 0."""
    if view.slice is None:
        raise UnsaidError(f'{file} has {slices} slices; set data.params.slice to a number from 0, or to "middle"')
    chosen = slices // 2 if view.slice == "middle" else view.slice
    if chosen >= slices:
        raise InputError(f"data.params.slice is {chosen}, but {file} has {slices} slices, 0 to {slices - 1}")
    return chosen


def _require_room(file: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise InputError(f"{file} has {width}x{height} pixels; at most {MAX_PIXELS:,} are read, so make it smaller")

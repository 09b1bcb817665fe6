"""The page of single images: which of them a model gives away, with pictures and in a table that can be sorted."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.results.page import assets
from leakfront.results.run.per_image import per_image
from leakfront.results.tables.table import number

if TYPE_CHECKING:
    from leakfront.results.run.data import Cell, RunData

PAGE = "images.html"
_LINES, _FEWEST = 400, 20  # lines of the whole page, and of each model
_SIDE, _PLAIN = 96, 32  # pixels of a picture; up to the second, it is stored as it is
_COLUMNS = {"q_value": "q-value", "rank": "rank", "l2": "l2", "adaptive": "adaptive ratio",
            "above_all_decoys": "attacks above all decoys"}  # fmt: skip
_READING = (
    "q-value: the smallest false-discovery rate (FDR) at which the member is reported as extracted. Of the lines with "
    "q ≤ 0.05, which have a blue edge, about 1 in 20 may be there by chance. Decoys have none.",
    "l2: the root mean square difference from the generated image that matches best, of pixels in 0 … 1. Adaptive "
    "ratio: that distance against those to other images; below 1 counts as a match.",
    "Attacks above all decoys: by how many attacks, without controls, the image scores above every decoy. By chance "
    "alone, an attack puts one member or more there in half of all models.",
    "Decoys are images that the model never saw: their matches show what chance does.",
)


def images_page(run: RunData) -> str:
    """The HTML of the page, of one run: for each defense the first split, the closest matches first."""
    cells: dict[str, Cell] = {}
    for cell in run.cells:
        cells.setdefault(cell.label, cell)
    most = max(_LINES // max(len(cells), 1), _FEWEST)
    tables = [_table(run, cell, most, alone=len(cells) == 1) for cell in cells.values()]
    return assets.render(
        PAGE,
        title=f"Single images: {run.info.get('title') or run.info.get('name', '')}",
        private=not run.may_be_shared,
        named=run.files is not None,
        about="Each line is a real image of the pool, and the generated image that matches it best. per_image.csv in "
        "the run's folder has all images and every attack's score.",
        tables=tables,
        reading=_READING,
    )


def _table(run: RunData, cell: Cell, most: int, alone: bool) -> dict[str, Any]:
    whole = per_image(run, cell)
    reported = int((whole["q_value"] <= run.summary.rate).sum())
    shown = whole.head(most)
    pool, samples = (None, None) if run.may_be_shared else (run.pool_of(cell)["images"], run.samples(cell))
    lines = []
    for _, line in shown.iterrows():
        pictures = []
        if pool is not None and samples is not None:
            pictures.append(picture(pool[line["image"]]))
            if not _missing(line["nearest_sample"]):
                pictures.append(picture(samples[int(line["nearest_sample"])]))
        lines.append({
            "pictures": pictures,
            "name": " · ".join(filter(None, (line["file"] or str(line["image"]), line.get("subject", "")))),
            "times": int(line["copies"]) if line["member"] else 1,
            "member": "member" if line["member"] else "decoy",
            "reported": not _missing(line["q_value"]) and line["q_value"] <= run.summary.rate,
            "cells": [_cell(line[column]) for column in _COLUMNS],
        })  # fmt: skip
    title = "All images" if alone else cell.label
    return {
        "title": f"{title}, split {cell.split}" if len(run.cells) > 1 else title,
        "found": f"{reported} of {int(whole['member'].sum()):,} members are reported as extracted at "
        f"{run.summary.fdr} FDR; {int((whole['above_all_decoys'] > 0).sum()):,} stand above all decoys by some attack.",
        "heads": list(_COLUMNS.values()),
        "lines": lines,
        "cut": f"These are the closest {len(shown):,} of {len(whole):,} images." if len(shown) < len(whole) else "",
    }


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _cell(value: Any) -> dict[str, Any]:
    if _missing(value):
        return {"text": "–", "value": None}
    value = float(value)
    return {"text": number(value, 0 if value.is_integer() and value >= 1 else None), "value": value}


def picture(pixels: np.ndarray) -> str:
    """A picture uint8 [C, H, W] as a data URI: small ones as they are, larger ones reduced."""
    from PIL import Image

    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    options: dict[str, Any] = {"format": "PNG"}
    if max(image.size) > _PLAIN:
        scale = min(_SIDE / max(image.size), 1)
        image = image.resize((math.ceil(image.width * scale), math.ceil(image.height * scale)))
        options = {"format": "JPEG", "quality": 90}
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return f"data:image/{options['format'].lower()};base64," + base64.b64encode(buffer.getvalue()).decode()

"""A run with secrets in it, and a search for them in every byte of a folder, also in pictures and packed streams."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from tests.synthetic_run import TWO, Strength, synthetic_run

USER, PROJECT, FOLDER, FILE = "mariaplanted", "clinicplanted", "scansplanted", "patientplanted17.png"
HOME = f"/home/{USER}/{PROJECT}"
COLOUR = (203, 17, 91)  # of every image in the pool
NAMES = {"user": USER, "home": HOME, "project": PROJECT, "folder": FOLDER, "file": FILE.removesuffix(".png")}
_LITERAL = rb"\(((?:\\.|[^\\)])*)\)"  # a text in a PDF
PIXELS = bytes(COLOUR) * 4


def run_with_secrets(folder: Path, name: str = "ordinary") -> Path:
    """A synthetic run, as an earlier version wrote it: with whole paths, and with names in its labels and errors."""
    strengths = (*TWO, Strength(f"{FOLDER} doubled", f"table={HOME}/x", fid=11, leak=0.3))
    attacks = ("extraction", "loss", f"{PROJECT}-loss")
    synthetic_run(folder, strengths, splits=1, pool=128, samples=150, attacks=attacks, name=name,
                  title=f"Scans of {PROJECT}")  # fmt: skip
    info = json.loads((folder / "run.json").read_text())
    info["config"] |= {
        "title": info["title"],
        "data": {"dataset": f"folder:{HOME}/{FOLDER}", "params": {"size": 8}, "pool": 96},
        "model": {"name": "unet", "weights": f"{HOME}/weights"},
        "attacks": {f"{PROJECT}-loss": {"attack": "loss"}},
        "defenses": [{"name": "dedup", "label": f"{FOLDER} doubled"}],
    }
    info["dataset"]["name"] = f"folder:{HOME}/{FOLDER}"
    info["failed"] = {"02-split1": f"InputError: {HOME}/{FOLDER}/{FILE} is damaged"}
    info["plugins"] = {"attack mine": f"{USER}-tools 1.0"}
    info["attack_notes"] = [f"attack {PROJECT}-loss: it reads {FILE}"]
    (folder / "run.json").write_text(json.dumps(info))
    rows = (folder / "results.csv").read_text().replace(",digits,unet,", f",folder:{HOME}/{FOLDER},unet,")
    (folder / "results.csv").write_text(rows)
    pool = dict(load_file(folder / "pool" / "pool.safetensors"))
    pool["images"] = np.broadcast_to(np.array(COLOUR, np.uint8)[None, :, None, None], (128, 3, 8, 8)).copy()
    save_file(pool, folder / "pool" / "pool.safetensors")
    return folder


def secrets_in(folder: Path) -> dict[str, set[str]]:
    """The secrets that a folder gives away, each with the files that do."""
    found: dict[str, set[str]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for layer in _layers(path.name.encode() + b"\n" + path.read_bytes()):
            for secret, text in NAMES.items():
                if text.encode() in layer.lower():
                    found.setdefault(secret, set()).add(path.name)
            if PIXELS in layer:
                found.setdefault("pixels", set()).add(path.name)
    return found


def _layers(content: bytes) -> Iterator[bytes]:
    """The bytes, and all that is packed in them: base64, compressed streams, texts of PDF, the pixels of a PNG."""
    yield content
    for packed in re.findall(rb"base64,\s*([A-Za-z0-9+/=\s]+)", content):
        yield from _layers(base64.b64decode(packed))
    for packed in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            unpacked = zlib.decompress(packed)
        except zlib.error:
            continue
        yield unpacked
        yield b"".join(re.findall(_LITERAL, unpacked, re.DOTALL)).replace(b"\0", b"")  # texts, as UTF-16 between kerns
    for palette in re.findall(rb"/Indexed\s*/DeviceRGB\s+\d+\s*" + _LITERAL, content, re.DOTALL):  # of pictures in PDF
        colours = re.sub(rb"\\(.)", rb"\1", palette, flags=re.DOTALL)
        yield b"".join(colours[place : place + 3] * 4 for place in range(0, len(colours), 3))
    start = content.find(b"\x89PNG\r\n")
    if start >= 0:
        with Image.open(io.BytesIO(content[start:])) as picture:
            picture.load()
            yield repr(picture.info).encode()
            yield picture.convert("RGB").tobytes()

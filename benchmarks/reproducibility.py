"""How far results of the same config differ between machines.

One cell is trained, attacked and measured again: with the same settings, with another number of threads, and with the
instructions of older processors, which stand in for other machines.

Run: python -m benchmarks.reproducibility [STEPS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tomli_w
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file

from leakfront.results.run.rows import read_rows

# the instructions that PyTorch's own kernels, oneDNN and MKL may use
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SSE = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
CASES: dict[str, tuple[int, dict[str, str]]] = {
    "again": (1, {}), "2 threads": (2, {}), "AVX2 only": (1, AVX2), "SSE 4 only": (1, SSE),
}  # fmt: skip
SHOWN = {"FID": ("fid", "fid_embedded"), "AUC loss": ("loss", "auc"), "AUC extraction": ("extraction", "auc")}


def measured(folder: Path, steps: int, threads: int, more: dict[str, str]) -> tuple[np.ndarray, dict[str, float]]:
    """All weights of the run's only model, as a vector, and the numbers of `SHOWN`; the run gets a new folder."""
    settings = {
        "name": "reproducibility",
        "splits": 1,
        "data": {"pool": 256, "reference": 800, "duplicates": {"groups": 32, "copies": 8}},
        "training": {"steps": steps, "batch_size": 32},
        "sampling": {"images": 512, "steps": 20},
        "statistics": {"audit_guesses": 100},
        "attacks": {"extraction": {}, "loss": {"timesteps": [50, 100, 150, 200, 300], "draws": 2}},
        "execution": {"threads": threads},
    }
    folder.mkdir()
    config = folder / "c.toml"
    config.write_text(tomli_w.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "leakfront",
        "run",
        str(config),
        "--out",
        str(folder / "run"),
        "--workers",
        "1",
    ]
    subprocess.run(command, env={**os.environ, **more}, check=True, capture_output=True)
    (weights,) = (folder / "run").rglob("unet/*.safetensors")
    rows = read_rows(folder / "run" / "results.csv")
    rows = rows[(rows["split"] == "0") & (rows["defense"] == "none")]
    numbers = {(source, metric): value for source, metric, value in rows[["source", "metric", "value"]].to_numpy()}
    tensors = load_file(weights)
    flat = np.concatenate([tensors[name].ravel() for name in sorted(tensors)])
    return flat, {title: float(numbers[key]) for title, key in SHOWN.items()}


def main() -> None:
    """Print the relative difference of the weights, and every number."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    table = Table(title=f"the same config, {steps} training steps", title_justify="left")
    for heading in ("", "weights", *SHOWN):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as place:
        first, numbers = measured(Path(place) / "first", steps, 1, {})
        table.add_row("first", "", *(f"{value:.6g}" for value in numbers.values()))
        for name, (threads, more) in CASES.items():
            weights, numbers = measured(Path(place) / name, steps, threads, more)
            apart = np.linalg.norm(weights - first) / np.linalg.norm(first)
            table.add_row(name, f"{apart:.2g}", *(f"{value:.6g}" for value in numbers.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

"""To TensorBoard: scalars at step 0, and the settings as a text."""

from __future__ import annotations

import json
from pathlib import Path

from leakfront.errors import InputError
from leakfront.results.export.numbers import Export


def write(export: Export, folder: Path) -> None:
    """Write an event file into `folder`, which must not hold anything. Numbers keep their 64 bits.

    Raises `InputError` for a folder that is not empty: TensorBoard would show old and new numbers as one curve.
    """
    from torch.utils.tensorboard import SummaryWriter

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not an empty folder; remove it, or give another with --out")
    with SummaryWriter(str(folder)) as writer:
        for tag, number in export.numbers.items():
            writer.add_scalar(tag, number, global_step=0, new_style=True, double_precision=True)
        lines = json.dumps(export.settings, indent=2).splitlines()
        writer.add_text("settings", "\n".join(f"    {line}" for line in lines), global_step=0)  # Markdown: as it stands

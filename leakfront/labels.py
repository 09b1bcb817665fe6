"""What names and labels may be, those from configs and those from received files alike."""

from __future__ import annotations

import re
import unicodedata

FORMULA = ("=", "+", "-", "@")  # a spreadsheet takes a CSV cell that begins with one of these for a formula
LABEL = f"it must be printable and must not begin with {' '.join(FORMULA)} (a formula)"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
NAME = "a label must consist of letters, digits, dots, dashes and underscores, and begin with a letter or a digit"
PLAIN = "it must consist of letters, digits and . + = _ - alone"


def is_label(text: str) -> bool:
    """Whether a text may stand in tables and on terminals: one line, no control codes, no formula."""
    return text.isprintable() and not text.startswith(FORMULA)


def is_name(text: str) -> bool:
    """Whether a run or an attack may be called so."""
    return re.fullmatch(NAME_PATTERN, text) is not None


def is_plain(text: str) -> bool:
    """Whether a run can give this name to one of its folders: that of a cell, a model, a stage or an attack."""
    return re.fullmatch(r"[A-Za-z0-9.+=_-]+", text) is not None and text not in (".", "..")


def without_controls(text: str) -> str:
    """The text with control codes escaped as in Python; line breaks and tabs stay."""
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c for c in text)

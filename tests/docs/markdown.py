"""The pages of the documentation, taken apart: blocks of code, commands, links, headings, names of files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FOLDERS = ("leakfront", "tests", "docs", "published", "benchmarks", "stress")

_BLOCK = re.compile(r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\S*)\n(?P<text>.*?)^```$", re.M | re.S)
_FILE = re.compile(r"# (\S+\.(?:py|toml))\n")
_PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*")


@dataclass(frozen=True)
class Block:
    """A fenced block. reason: why it cannot be run here, from a comment `<!-- not run: REASON -->` above it."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The file that the text tells the reader to save it as: the first line is a comment that names it."""
        found = _FILE.match(self.text)
        return found[1] if found else ""


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text()


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = read(page)
    return [
        Block(page, text.count("\n", 0, found.start("language")) + 1, found["language"], found["text"],
              found["reason"] or "")
        for found in _BLOCK.finditer(text)
    ]  # fmt: skip


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", read(page))


def commands(text: str) -> Iterator[list[str]]:
    """The command lines of a shell block, as words; comments dropped."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def inline_commands(page: str) -> list[list[str]]:
    """`leakfront …` in the prose of a page, where it is a whole command: no placeholder in capitals, no dots."""
    found = re.findall(r"`(leakfront [^`]+)`", prose(page))
    return [shlex.split(text) for text in found if "…" not in text and not re.search(r"\b[A-Z]{3,}\b", text)]


def named_paths(page: str) -> set[str]:
    """The files and folders of the repository that the prose of a page names as `code`."""
    return {text for text in re.findall(r"`([^`\n]+)`", prose(page)) if _PATH.fullmatch(text)}


def links(page: str) -> list[str]:
    """The targets of a page's links and pictures, without those to other servers."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if not target.startswith("https://")]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

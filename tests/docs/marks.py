"""Where the numbers of a page come from, as the marks in it say: see `tests.docs.published_numbers`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# numbers that are no result of a run, wherever they stand
NO_RESULTS = {
    "rates and levels that the text chooses": r"\b\d+%\s+(?:FDR|FPR|intervals?)|ε = \d+|\*\*Intervals\*\* are 95%",
    "sizes of images": r"\d+\s*[×x]\s*\d+(?:\s*[×x]\s*\d+)?",
    "settings of the run": r"\b3\s+splits|\b\d+ copies together",
    "papers and licences": r"[A-Z]\w+ (?:& [A-Z]\w+|et al\.)\s+20\d\d|USENIX Security 20\d\d|Apache-2\.0",
    "numbers of list items": r"^\d+\. ",
    "the attacks of the suite v2, which a test counts": r"\b3[01]\s+(?:attacks|AUCs)|has 31,",
    "the rules of the measures": r"\(1 \+ decoys(?: matched)?\)|at\s+most 5%|fewer than 20 images|without that 1"
    r"|Below 20|5 or more are, by chance, in 1 of 32|about as\s+1/n|a line in 1/n|0\.5 is guessing|1% of the decoys"
    r"|against 0\.5|below 0\.5|above 0\.5|cover 0\.5|1 in 20|100 and a third|guessing has 5%|sets of \d+|at most 0\.05"
    r"|of 20 files|0 … 1|below 1 for a match|level, from 1|A = 1 −|It is 1 for equal images, and about 0",
    "examples of names": r"\"defense 2\"",
}
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_HIDDEN = re.compile(r"<!--.*?-->|`[^`\n]*`|(?<=\])\([^)\s]*\)|<https?:[^>]*>", re.S)
_MARK = re.compile(r"<!-- (?P<run>[\w-]+)(?P<table> table)?:\s(?P<body>.*?) -->", re.S)
_ITEM = r"^ *(?:\*|\d+\.) "
_PART = re.compile(rf"^(?=.*\S).+\n?(?:(?!^[ \t]*$|{_ITEM}).+\n?)*", re.M)
_NUMBER = re.compile(r"(?<![\w.,])(?:[-−](?=\d))?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?%?(?!\w)")


@dataclass(frozen=True)
class Block:
    """A paragraph, a list item or a table of a page: its place in the text, and the mark at its end, if any."""

    page: str
    line: int
    start: int
    text: str
    mark: re.Match[str] | None


@dataclass(frozen=True)
class Number:
    """A number of a block: its span in the block's text, and where it comes from ("" if nothing says so)."""

    block: Block
    start: int
    end: int
    origin: str

    @property
    def text(self) -> str:
        return self.block.text[self.start : self.end]

    @property
    def run(self) -> str:
        assert self.block.mark is not None
        return self.block.mark["run"]

    def __str__(self) -> str:
        return f"{self.block.page}:{self.block.line} {self.text!r} ({self.origin or 'no origin'})"


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page outside fenced code and headings."""
    hidden = _FENCED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    parts = [found.span() for found in _PART.finditer(hidden)]
    joined: list[tuple[int, int]] = []
    for start, end in parts:
        alone = hidden[start:end].lstrip().startswith("<!--") and joined
        unclosed = joined and hidden[slice(*joined[-1])].count("<!--") > hidden[slice(*joined[-1])].count("-->")
        if alone or unclosed:
            joined[-1] = (joined[-1][0], end)
        elif not hidden[start:end].startswith("#"):
            joined.append((start, end))
    for start, end in joined:
        piece = hidden[start:end]
        yield Block(page, text.count("\n", 0, start) + 1, start, piece, _MARK.search(piece))


def numbers(block: Block) -> list[Number]:
    """The numbers of a block, each with its origin; raises `ValueError` if the mark has another number of origins."""
    seen = _HIDDEN.sub(_blank, block.text)
    for pattern in NO_RESULTS.values():
        seen = re.sub(pattern, _blank, seen, flags=re.M)
    if block.mark is not None and block.mark["table"]:
        return list(_of_table(block, seen, block.mark["body"]))
    found = list(_NUMBER.finditer(seen))
    if block.mark is None:
        return [Number(block, number.start(), number.end(), "") for number in found]
    origins = _listed(block.mark["body"])
    if len(found) != len(origins):
        texts = [number[0] for number in found]
        raise ValueError(f"{block.page}:{block.line} has the numbers {texts}, and its mark {len(origins)} origins")
    return [Number(block, one.start(), one.end(), origin) for one, origin in zip(found, origins, strict=True)]


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def _listed(text: str, separator: str = ";") -> list[str]:
    return [" ".join(part.split()) for part in text.split(separator)]


def _of_table(block: Block, seen: str, body: str) -> Iterator[Number]:
    where = f"{block.page}:{block.line}"
    names, columns = (_listed(part) for part in body.split("|"))
    lines = list(re.finditer(r"^\|.*\|$", seen, re.M))[2:]
    if len(lines) != len(names):
        raise ValueError(f"{where} has a table of {len(lines)} lines, and its mark {len(names)} names")
    for line, name in zip(lines, names, strict=True):
        cells = list(re.finditer(r"[^|]+", line[0]))[1:]
        if len(cells) != len(columns):
            raise ValueError(f"{where} has a line of {len(cells) + 1} columns: {line[0]!r}")
        for cell, column in zip(cells, columns, strict=True):
            pieces, origins = list(re.finditer(r"[^;]+", cell[0])), _listed(column.replace("ROW", name), "&")
            for place, piece in enumerate(pieces):
                start = line.start() + cell.start() + piece.start()
                found = list(_NUMBER.finditer(seen, start, start + len(piece[0])))
                origin = origins[place] if place < len(origins) else "-"
                if len(found) not in ((0,) if origin == "-" else (0, 1, 3)):
                    raise ValueError(f"{where}: {piece[0]!r} has {len(found)} numbers, and {origin!r} in the mark")
                ends = ("", " low", " high")
                yield from (
                    Number(block, n.start(), n.end(), origin + end) for n, end in zip(found, ends, strict=False)
                )

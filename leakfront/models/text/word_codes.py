"""Captions as vectors without a learned encoder, for models known in closed form: each word has a fixed code."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leakfront.models.contract import Words

if TYPE_CHECKING:
    import torch

BITS = 32  # of a word's number, and so the width of an embedding
BEGIN, END = 0, 1
_WORD = re.compile(r"\w+|[^\w\s]")


class WordCodes:
    """A tokenizer and a text encoder that know every word: its token is a checksum of its letters.

    length: the tokens of a condition, with begin and end; longer captions are cut. words: int64 [V], the tokens that
    defenses may put into captions. The embedding of a token is its 32 bits, as -1 and 1, so that the embeddings of two
    different captions differ by 2 in at least one value.
    """

    def __init__(self, length: int, words: torch.Tensor) -> None:
        self.length = length
        self.words = Words(BEGIN, END, words)
        self.null = self.tokens([""])[0]

    def tokens(self, captions: Sequence[str]) -> torch.Tensor:
        """The token ids int64 [N, L] of captions; the letters' case does not count."""
        import torch

        rows = torch.full((len(captions), self.length), END)
        rows[:, 0] = BEGIN
        for row, caption in zip(rows, captions, strict=True):
            kept = words_in([caption])[: self.length - 2]
            row[1 : 1 + len(kept)] = torch.tensor(kept, dtype=torch.long)
        return rows

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """float32 [N, L, 32] of token ids int64 [N, L]."""
        import torch

        bits = (tokens[..., None] >> torch.arange(BITS, device=tokens.device)) & 1
        return 2.0 * bits.float() - 1


def words_in(captions: Sequence[str]) -> list[int]:
    """The tokens of all words of the captions, in order, without begin and end; marks count as words."""
    found = [word for caption in captions for word in _WORD.findall(caption.lower())]
    return [END + 1 + zlib.crc32(word.encode()) % (2**BITS - 2) for word in found]

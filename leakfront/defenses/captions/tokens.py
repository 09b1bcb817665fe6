"""Changes of captions spelled in token ids: words put in, or in place of all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import Words

MAX_WORDS = 1024  # that a defense puts into one caption


def content(row: torch.Tensor, words: Words) -> torch.Tensor:
    """The tokens of a caption, int64 [n], without those of its begin and end; row: int64 [L]."""
    ends = (row == words.end).nonzero().flatten()
    return row[1 : int(ends[0]) if len(ends) else len(row)]


def spelled(tokens: torch.Tensor, length: int, words: Words) -> torch.Tensor:
    """A condition int64 [L] with these tokens, int64 [n]; those beyond L - 2 are left out."""
    kept = tokens[: length - 2]
    row = tokens.new_full((length,), words.end)
    row[0] = words.begin
    row[1 : 1 + len(kept)] = kept
    return row


def with_words(row: torch.Tensor, added: torch.Tensor, words: Words, generator: torch.Generator) -> torch.Tensor:
    """The caption with each of the tokens `added`, int64 [n], put in at a random place; row: int64 [L].

    Of a caption that is full, the last tokens make room.
    """
    import torch

    tokens = content(row, words)[: max(len(row) - 2 - len(added), 0)]
    for token in added:
        place = int(torch.randint(len(tokens) + 1, (), generator=generator))
        tokens = torch.cat([tokens[:place], token[None], tokens[place:]])
    return spelled(tokens, len(row), words)


def random_words(count: int, words: Words, generator: torch.Generator) -> torch.Tensor:
    """Tokens of `count` random words, int64 [count]."""
    import torch

    return words.ids[torch.randint(len(words.ids), (count,), generator=generator)]

"""A tokenizer of CLIP's kind, learned from captions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.models.contract import Words

if TYPE_CHECKING:
    import torch

BEGIN, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
# CLIP's words: contractions, runs of letters, single digits, runs of anything else
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
SMALLEST = 2 * 256 + 2  # every byte in a word and at its end, and the two special tokens


def learn_tokenizer(captions: Sequence[str], size: int, length: int) -> Any:
    """A `CLIPTokenizer` of at most `size` tokens, for captions of `length` tokens with begin and end.

    Byte-pair encoding, learned from the captions; it depends on their set, not on their order. All bytes are tokens, so
    no word of another caption is unknown. `CLIPTokenizer(vocab_file=…)` of transformers 5 ignores its files, so they go
    through a folder.
    """
    from transformers import CLIPTokenizer

    vocabulary, merges = _as_clip(_learned(tuple(sorted(set(captions))), size))
    settings = {
        "tokenizer_class": "CLIPTokenizer", "model_max_length": length, "bos_token": BEGIN, "eos_token": END,
        "unk_token": END, "pad_token": END,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def check_lengths(captions: Sequence[str], size: int, length: int) -> None:
    """Raise `InputError` if a caption has more than `length` tokens by the tokenizer that is learned from all of them.

    It takes no import of transformers, which would slow down every dry run.
    """
    learner = _learned(tuple(sorted(set(captions))), size)
    lengths = [len(found.ids) + 2 for found in learner.encode_batch(list(captions))]
    cut = sum(own > length for own in lengths)
    if cut:
        raise InputError(
            f"model.tokens is {length}, which cuts {cut} of the {len(captions)} captions; the longest has "
            f"{max(lengths)} tokens, with those of its begin and end"
        )


@lru_cache(maxsize=4)
def _learned(captions: tuple[str, ...], size: int) -> Any:
    """A tokenizer that spells words as CLIP's does, without begin and end, with room for these in its size."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True)
    learner.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # the trainer counts the letters that end a word only where they occur
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(letters) - 2, min_frequency=1, show_progress=False, initial_alphabet=letters,
        end_of_word_suffix=WORD_END,
    )  # fmt: skip
    learner.train_from_iterator(captions, trainer)
    return learner


def _as_clip(learner: Any) -> tuple[dict[str, int], list[str]]:
    """The tokens by text, and the merges, as CLIP's files have them: every byte, every byte at a word's end, merges."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = json.loads(learner.to_str())["model"]["merges"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in found]
    merged = [merge.replace(" ", "") for merge in merges]
    tokens = [*letters, *(f"{letter}{WORD_END}" for letter in letters), *dict.fromkeys(merged), BEGIN, END]
    return {token: number for number, token in enumerate(tokens)}, merges


def words_of(tokenizer: Any) -> Words:
    """How the tokenizer spells captions; the tokens of whole words are those of two or more letters that end one."""
    import torch

    shortest = len(WORD_END) + 2
    vocabulary = tokenizer.get_vocab()
    whole = sorted(number for text, number in vocabulary.items() if text.endswith(WORD_END) and len(text) >= shortest)
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    ids = whole or sorted(set(vocabulary.values()) - special)
    return Words(tokenizer.bos_token_id, tokenizer.eos_token_id, torch.tensor(ids))


def tokens_of(tokenizer: Any, captions: Sequence[str]) -> torch.Tensor:
    """The token ids int64 [N, L] of captions, padded to the tokenizer's length; a longer caption is cut."""
    import torch

    rows = tokenizer(list(captions), padding="max_length", truncation=True)["input_ids"] if captions else []
    return torch.tensor(rows, dtype=torch.long).reshape(len(captions), tokenizer.model_max_length)

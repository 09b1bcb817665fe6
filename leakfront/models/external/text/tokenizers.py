"""The tokenizers of external pipelines, made from JSON and text alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leakfront.documents import parse_json, read_text
from leakfront.errors import InputError
from leakfront.models.external.documents import one_line, read_object, shown
from leakfront.models.external.places import POINTER, inside, is_pointer, leads_inside

CONFIG, SPECIAL, WHOLE, VOCABULARY, MERGES = (
    "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json", "vocab.json", "merges.txt",
)  # fmt: skip
SENTENCES, ADDED = "spiece.model", "added_tokens.json"
MAX_BYTES = 2**26  # of one file; T5's tokenizer.json has 2.4 MB
# of tokenizer_config.json; other keys are not handed on
KEPT = ("added_tokens_decoder", "add_prefix_space", "bos_token", "clean_up_tokenization_spaces", "do_lower_case",
        "eos_token", "errors", "extra_ids", "pad_token", "unk_token")  # fmt: skip
CLASSES = {"CLIPTokenizer": "CLIPTokenizer", "CLIPTokenizerFast": "CLIPTokenizer",
           "T5Tokenizer": "T5TokenizerFast", "T5TokenizerFast": "T5TokenizerFast"}  # fmt: skip


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer whose files were checked and not yet made into one.

    files: by name, those that are read. kind: the class of transformers. count: the number of its tokens. longest: the
    most tokens of a caption that it states, or None.
    """

    folder: Path
    files: dict[str, Path]
    kind: str
    count: int
    longest: int | None
    settings: dict[str, Any]

    def make(self, length: int) -> Any:
        """The tokenizer for captions of `length` tokens with begin and end; `InputError` if transformers cannot."""
        import transformers

        from leakfront.models.text.model import silent

        with tempfile.TemporaryDirectory() as place:  # so that nothing but these files can be found
            folder = Path(place)
            for name, path in self.files.items():
                if name != CONFIG:
                    (folder / name).write_bytes(path.read_bytes())
            settings = {**self.settings, "tokenizer_class": self.kind, "model_max_length": length}
            (folder / CONFIG).write_text(json.dumps(settings))
            try:
                with silent():
                    return getattr(transformers, self.kind).from_pretrained(folder, local_files_only=True)
            except Exception as error:  # of files that are no tokenizer
                raise InputError(f"{self.folder} cannot be read as a {self.kind}: {one_line(error)}") from error


def read_tokenizer(folder: Path, home: Path, kind: str, faults: list[str]) -> TokenizerFiles | None:
    """The files of a tokenizer of the class `kind`; None with a sentence in `faults` for what is wrong."""
    if not folder.is_dir() or not leads_inside(folder, home):
        state = "is a link that leads out of the folder" if folder.exists() else "does not exist"
        faults.append(f"{folder} {state}; a text-to-image pipeline has the files of its tokenizer there")
        return None
    before = len(faults)
    config = read_object(folder / CONFIG, home, faults) or {}
    stated = config.get("tokenizer_class", kind)
    if len(faults) == before and CLASSES.get(str(stated)) != kind:
        faults.append(f"{folder / CONFIG}: tokenizer_class is {shown(stated)}; it must be {kind}; no other code is run")
    if "auto_map" in config:
        faults.append(f"{folder / CONFIG} has the key 'auto_map', which names code of its own; no such code is run")
    named = {CONFIG: folder / CONFIG}
    if (folder / SPECIAL).exists():
        read_object(folder / SPECIAL, home, faults)
        named[SPECIAL] = folder / SPECIAL
    parts = _parts(folder, kind, faults)
    count = _count(folder, parts, home, faults) if parts else 0
    if count and (folder / ADDED).exists():
        _require_added(folder, parts, config, home, faults)
    if len(faults) > before or not parts:
        return None
    named |= {name: folder / name for name in parts}
    longest = config.get("model_max_length")
    settings = {key: config[key] for key in KEPT if key in config}
    known = longest if isinstance(longest, int) and not isinstance(longest, bool) and 3 <= longest <= 2**12 else None
    return TokenizerFiles(folder, named, kind, count, known, settings)


def _require_added(folder: Path, parts: Sequence[str], config: dict[str, Any], home: Path, faults: list[str]) -> None:
    """A sentence in `faults` if added_tokens.json, which is not read, names tokens that no other file has."""
    decoder = config.get("added_tokens_decoder")
    stated = decoder.values() if isinstance(decoder, dict) else ()
    known = {str(entry.get("content")) for entry in stated if isinstance(entry, dict)}
    found = parse_json(read_text(folder / parts[0], MAX_BYTES))  # which `_count` has read
    entries = found.get("added_tokens") or () if WHOLE in parts else ()
    known |= {str(entry.get("content")) for entry in entries if isinstance(entry, dict)}
    vocabulary = found["model"]["vocab"] if WHOLE in parts else found
    known |= set(vocabulary) if isinstance(vocabulary, dict) else {str(entry[0]) for entry in vocabulary}
    added = read_object(folder / ADDED, home, faults) or {}
    if missing := [token for token in added if token not in known]:
        faults.append(
            f"{folder / ADDED} names {shown(missing[0])}, which {' and '.join(parts)} and {CONFIG} do not have: such "
            "tokens are not read; load the tokenizer with transformers and write it again with save_pretrained"
        )


def _parts(folder: Path, kind: str, faults: list[str]) -> Sequence[str]:
    """The files that hold the tokens; a sentence in `faults` if they are not there."""
    if (folder / VOCABULARY).exists() and (folder / MERGES).exists() and kind == "CLIPTokenizer":
        return (VOCABULARY, MERGES)
    if (folder / WHOLE).exists():
        return (WHOLE,)
    what = f"{folder} has no {WHOLE}" + (f", and no {VOCABULARY} with {MERGES}" if kind == "CLIPTokenizer" else "")
    if (folder / SENTENCES).exists():
        what += (
            f"; its {SENTENCES} is not read: load the tokenizer with transformers' {kind} and write {WHOLE} with "
            "save_pretrained"
        )
    faults.append(what)
    return ()


def _count(folder: Path, parts: Sequence[str], home: Path, faults: list[str]) -> int:
    """The number of tokens; a sentence in `faults` for a file that is none, or that has no more than a stub."""
    for name in parts:
        if (path := inside(folder / name, home, faults)) is None:
            return 0
        if is_pointer(path):
            faults.append(f"{path} {POINTER}")
            return 0
    try:
        texts = {name: read_text(folder / name, MAX_BYTES) for name in parts}
        if MERGES in texts:
            tokens = parse_json(texts[VOCABULARY])
            pairs = [line for line in texts[MERGES].splitlines() if line.strip() and not line.startswith("#version")]
        else:
            model = parse_json(texts[WHOLE])["model"]
            tokens, pairs = model["vocab"], model.get("merges", [()])
        if not tokens or not pairs:
            raise ValueError("it has no tokens, or no merges")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        faults.append(f"{folder} is a stub, or no tokenizer: {' and '.join(parts)} cannot be read ({one_line(error)})")
        return 0
    return len(tokens)

"""The small text-to-image model: its tokenizer, its folder, which plain diffusers loads, and what is refused."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pickle
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from leakfront.datasets import open_dataset
from leakfront.errors import InputError
from leakfront.models.text.model import TextToImageDiffusion
from leakfront.models.text.tokenizer import check_lengths, learn_tokenizer, tokens_of, words_of
from leakfront.models.text_to_image import TextToImage
from tests.test_security import Bomb

SMALL = TextToImage(channels=(8, 8), norm_groups=4, text_width=8, text_heads=2)
CAPTIONS = tuple(open_dataset("captioned_digits").load().captions or ())


@cache
def built() -> TextToImageDiffusion:
    model = SMALL.build((1, 8, 8), 10, 3, CAPTIONS)
    model.network.eval().requires_grad_(False)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text") / "whole"
    built().save(folder)
    return folder


def conditions(*captions: str) -> torch.Tensor:
    return built().conditions(torch.zeros(len(captions), dtype=torch.long), captions)


# tokenizer


def test_every_word_of_every_caption_is_one_token() -> None:
    tokenizer = learn_tokenizer(CAPTIONS, 2000, 20)
    rows = tokens_of(tokenizer, CAPTIONS)
    assert rows.shape == (1797, 20)
    assert rows.dtype == torch.int64
    words = {word for text in CAPTIONS for word in text.replace(",", " ,").split()}
    spelled = {word: tokenizer.tokenize(word) for word in words}
    assert {tuple(tokens) for tokens in spelled.values()} == {(f"{word}</w>",) for word in words}
    assert len(torch.unique(rows, dim=0)) == 1797


def test_a_tokenizer_depends_on_the_set_of_captions_alone() -> None:
    first, again = learn_tokenizer(CAPTIONS, 600, 20), learn_tokenizer(CAPTIONS[::-1] + CAPTIONS[:7], 600, 20)
    assert first.get_vocab() == again.get_vocab()
    assert len(first) <= 600
    assert torch.equal(tokens_of(first, CAPTIONS[:50]), tokens_of(again, CAPTIONS[:50]))
    assert learn_tokenizer(CAPTIONS[:3], 600, 20).get_vocab() != first.get_vocab()


def test_a_word_that_no_caption_has_is_spelled_and_not_unknown() -> None:
    tokenizer = learn_tokenizer(CAPTIONS[:5], 600, 40)
    for text in ("Ünïcode 27, it's €!", "日本", "x"):
        tokens = tokenizer(text)["input_ids"][1:-1]
        assert tokenizer.eos_token_id not in tokens
        assert tokenizer.decode(tokens).replace(" ", "") == text.lower().replace(" ", "")


def test_words_are_the_tokens_that_end_one() -> None:
    tokenizer = learn_tokenizer(CAPTIONS, 2000, 20)
    words = words_of(tokenizer)
    assert (words.begin, words.end) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    spelled = {tokenizer.decode([i]).strip() for i in words.ids.tolist()}
    assert {"handwritten", "seven", "rosa", "weber"} <= spelled
    assert not {"a", ",", "<|endoftext|>"} & spelled


@pytest.mark.parametrize("size", [530, 2000])
def test_captions_that_would_be_cut_are_counted_as_the_tokenizer_spells_them(size: int) -> None:
    lengths = [len(row) for row in learn_tokenizer(CAPTIONS, size, 100)(list(CAPTIONS))["input_ids"]]
    check_lengths(CAPTIONS, size, max(lengths))
    cut = sum(length > max(lengths) - 2 for length in lengths)
    with pytest.raises(InputError, match=rf"which cuts {cut} of the 1797 captions; the longest has {max(lengths)}"):
        check_lengths(CAPTIONS, size, max(lengths) - 2)


def test_captions_that_would_be_cut_are_refused() -> None:
    SMALL.check_captions(CAPTIONS)
    with pytest.raises(InputError, match=r"model\.tokens is 12, which cuts \d+ of the 1797 captions; .* has 14 tokens"):
        dataclasses.replace(SMALL, tokens=12).check_captions(CAPTIONS)


# model


def test_the_empty_caption_is_null_and_stands_for_no_captions() -> None:
    model = built()
    assert torch.equal(conditions("")[0], model.null)
    assert torch.equal(model.conditions(torch.zeros(2, dtype=torch.long), None), model.null.expand(2, -1))
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 700])
    assert torch.equal(model.predict_noise(x, t), model.predict_noise(x, t, conditions("", "")))


def test_a_row_does_not_depend_on_the_other_rows() -> None:
    """A null row in a batch of captions gives what the empty caption gives alone."""
    model, x, t = built(), torch.randn(3, 1, 8, 8), torch.tensor([3, 700, 50])
    found = model.predict_noise(x, t, conditions(CAPTIONS[0], "", CAPTIONS[1]))
    torch.testing.assert_close(found[1:2], model.predict_noise(x[1:2], t[1:2], conditions("")), rtol=1e-5, atol=1e-6)


def test_training_drops_captions_at_the_familys_probability() -> None:
    loss: Any = built().loss()
    assert (loss.null_probability, loss.conditional) == (0.1, True)
    assert torch.equal(loss.null, built().null)
    given = loss.given(conditions(CAPTIONS[0]).expand(2000, -1), torch.Generator().manual_seed(0))
    assert 150 < int((given == built().null).all(1).sum()) < 250


def test_gradients_reach_the_text_encoder_and_the_unet() -> None:
    model = SMALL.build((1, 8, 8), 10, 3, CAPTIONS[:9])
    given = model.conditions(torch.zeros(9, dtype=torch.long), CAPTIONS[:9])
    model.loss()(model.network, torch.rand(9, 1, 8, 8), given, torch.Generator().manual_seed(0)).mean().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.network.unet.parameters())
    encoder = model.network.text_encoder.named_parameters()
    used = [name for name, p in encoder if p.grad is not None and bool(p.grad.abs().sum() > 0)]
    assert any("token_embedding" in name for name in used)
    assert any("position_embedding" in name for name in used)


# folder


def test_plain_diffusers_loads_the_folder_without_a_vae_and_generates_pixels(saved: Path) -> None:
    from diffusers import StableDiffusionPipeline

    assert json.loads((saved / "model_index.json").read_text())["vae"] == [None, None]
    pipeline: Any = StableDiffusionPipeline.from_pretrained(saved, vae=None, safety_checker=None, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    x, t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 700])
    prompts = list(CAPTIONS[:2])
    tokens = pipeline.tokenizer(prompts, padding="max_length", max_length=20, return_tensors="pt").input_ids
    assert torch.equal(tokens, conditions(*prompts))
    with torch.no_grad():
        hidden = pipeline.text_encoder(tokens)[0]
        theirs = pipeline.unet(x, t, encoder_hidden_states=hidden).sample
    torch.testing.assert_close(theirs, built().predict_noise(x, t, conditions(*prompts)))
    torch.testing.assert_close(pipeline.scheduler.alphas_cumprod, built().alphas_cumprod)
    images = pipeline(
        prompts, height=64, width=64, num_inference_steps=2, guidance_scale=3.0, output_type="latent"
    ).images  # 64 / 8 pixels, as diffusers counts without a VAE
    assert images.shape == (2, 1, 8, 8)


def test_saving_and_loading_say_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    before = of_diffusers.get_verbosity(), of_transformers.get_verbosity(), of_transformers.is_progress_bar_enabled()
    built().save(tmp_path)
    SMALL.load(tmp_path)
    found = capfd.readouterr()
    assert (found.out, found.err) == ("", "")
    after = of_diffusers.get_verbosity(), of_transformers.get_verbosity(), of_transformers.is_progress_bar_enabled()
    assert after == before


def no_tokenizer(folder: Path, made: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def pickles_for_text(folder: Path, made: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").unlink()
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(made)))


def code_of_its_own(folder: Path, made: Path) -> None:
    for part, name in (("text_encoder", "config.json"), ("tokenizer", "tokenizer_config.json")):
        (folder / part / "evil.py").write_text(f"import os\nos.mkdir({str(made)!r})\nclass Evil: pass\n")
        path = folder / part / name
        auto = {"AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoConfig": "evil.Evil"}
        path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": auto}))


@pytest.mark.parametrize(
    ("tamper", "refused"), [(no_tokenizer, True), (pickles_for_text, True), (code_of_its_own, False)]
)
def test_a_hostile_folder_is_refused_or_harmless(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tamper: Any, refused: bool
) -> None:
    def no_network(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    folder, made = tmp_path / "foreign", tmp_path / "made"
    shutil.copytree(saved, folder)
    tamper(folder, made)
    if refused:
        with pytest.raises(InputError, match="foreign"):
            SMALL.load(folder)
    else:
        assert SMALL.load(folder).image_shape == (1, 8, 8)
    assert not made.exists()


# settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"channels": (12,)}, r"model\.channels is \[12\]; each must be a multiple of model\.norm_groups, 8"),
        ({"heads": 3}, r"model\.heads is 3; it must divide the last of model\.channels, 32"),
        ({"text_heads": 5}, r"model\.text_heads is 5; it must divide model\.text_width, 32"),
        ({"vocabulary": 500}, r"model\.vocabulary is 500; it must lie in 514 … 131072"),
        ({"tokens": 2}, r"model\.tokens is 2; it must lie in 3 … 1024"),
    ],
)
def test_settings_that_make_no_model_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        TextToImage(**settings)


def test_without_transformers_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs transformers: pip install leakfront\[text\]"):
        TextToImage()


def test_the_family_is_known_without_torch_or_transformers() -> None:
    code = "from leakfront.models import registry; registry.get('text_to_image')(); import sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "tokenizers", "diffusers"} & set(found)


# attacks


def test_the_attack_by_clusters_asks_a_text_model_with_the_empty_caption() -> None:
    from leakfront.attacks.side import GuidedModel
    from leakfront.models.sampling import classes_in_turn, with_guidance

    model: Any = built()
    guided: Any = GuidedModel(model, torch.nn.Identity(), clusters=3, scale=0.0)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 700])
    assert torch.equal(guided.predict_noise(x, t, guided.embed(torch.tensor([0, 2]))), model.predict_noise(x, t))
    assert classes_in_turn(guided)(range(4)).tolist() == [0, 1, 2, 0]
    assert with_guidance(guided, 3.0) is guided  # of the run, which needs an empty condition

"""A fine-tune by adapters: its base is the same network with them off, and both are in its folder."""

from __future__ import annotations

import copy
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from leakfront.errors import InputError
from leakfront.models.adapters.file import FILE
from leakfront.models.adapters.layers import adapted_layers, adapters_of, merge_adapters
from leakfront.models.lora import LoRA
from leakfront.models.text.adapted import AdaptedTextToImage
from leakfront.models.text.model import TextToImageDiffusion

SMALL = LoRA(channels=(8, 8), norm_groups=4, text_width=8, text_heads=2, rank=3)
CAPTIONS = ("a seven, slanted", "a one by rosa weber")


@cache
def base() -> TextToImageDiffusion:
    model = SMALL.base_family.build((1, 8, 8), 10, 3, CAPTIONS)
    model.network.eval().requires_grad_(False)
    return model


def tuned(seed: int = 5) -> AdaptedTextToImage:
    """A fine-tune of the base whose factors B are no longer 0."""
    model = SMALL.on(copy.deepcopy(base()), seed)
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in adapted_layers(model.network).values():
            layer.lora_B["default"].weight.normal_()
    return model


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x_t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return x_t, torch.tensor([20, 700]), base().conditions(torch.zeros(2, dtype=torch.long), CAPTIONS)


def predicted(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.predict_noise(*inputs())
    return found


def test_the_base_family_has_the_same_settings_and_no_adapters() -> None:
    family = SMALL.base_family
    assert (family.name, family.channels, family.text_width) == ("text_to_image", (8, 8), 8)
    assert not adapted_layers(base().network)
    assert SMALL.base_training == {"steps": 600, "batch_size": 64, "learning_rate": 3e-3}


def test_before_its_training_it_predicts_what_the_base_predicts_and_the_seed_decides_a() -> None:
    models = [SMALL.on(copy.deepcopy(base()), seed) for seed in (5, 5, 6)]
    assert torch.equal(predicted(models[0]), predicted(base()))
    factors = [torch.cat([one.down.flatten() for one in adapters_of(m.network).values()]) for m in models]
    assert torch.equal(factors[0], factors[1])
    assert not torch.equal(factors[0], factors[2])


def test_its_base_is_the_same_network_with_the_adapters_off_bit_for_bit() -> None:
    model = tuned()
    before = predicted(model)
    assert not torch.allclose(before, predicted(base()), atol=1e-3)
    assert torch.equal(predicted(model.base), predicted(base()))
    assert model.base.network is model.network
    given = inputs()
    with torch.no_grad():
        assert torch.equal(model.base.predict_with(model.base.parameters(), *given), predicted(base()))
        embedded = model.base.predict_noise(*given[:2], model.base.embed(given[2]))
    assert torch.equal(embedded, predicted(base()))
    assert torch.equal(predicted(model), before)


def test_what_it_learned_are_the_adapters_alone() -> None:
    model = tuned()
    assert {name.rsplit(".", 3)[1] for name in model.parameters()} == {"lora_A", "lora_B"}
    assert len(model.parameters()) == 2 * len(adapters_of(model.network))
    assert len(model.base.parameters()) == len(base().parameters())


def test_its_folder_holds_the_base_and_the_adapters(tmp_path: Path) -> None:
    model = tuned()
    model.save(tmp_path)
    assert torch.equal(predicted(SMALL.load(tmp_path)), predicted(model))
    assert torch.equal(predicted(SMALL.base_family.load(tmp_path)), predicted(base()))
    assert torch.equal(predicted(SMALL.load(tmp_path).base), predicted(base()))
    assert {len(value) for key, value in load_file(tmp_path / FILE).items() if "lora_A" in key} == {3}
    assert adapted_layers(model.network)  # saving takes nothing off
    with pytest.raises(TypeError, match="is stored with the model"):
        model.base.save(tmp_path / "other")
    (tmp_path / FILE).unlink()
    with pytest.raises(InputError, match="cannot be read as adapters"):
        SMALL.load(tmp_path)


def test_a_model_that_lost_its_adapters_is_not_saved(tmp_path: Path) -> None:
    model = tuned()
    merge_adapters(model.network)
    with pytest.raises(ValueError, match="must keep its adapters"):
        model.save(tmp_path)


def test_it_needs_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "peft" else find(name, *more))
    with pytest.raises(InputError, match=r'^model\.name = "lora" needs peft: pip install leakfront\[lora\]$'):
        LoRA()


@pytest.mark.parametrize(("key", "value"), [("rank", 0), ("base_steps", 0), ("base_learning_rate", 0.0), ("heads", 0)])
def test_a_wrong_setting_is_named(key: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"model\.{key}"):
        LoRA(**{key: value})

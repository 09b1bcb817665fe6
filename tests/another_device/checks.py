"""Every training step, sampler, guard, signal and generation computes on the device that it is given.

By default that is a device that only pretends, see `device.py`; `make gpu` runs the same tests on a GPU. They register
a device with PyTorch, so `tests/harness/test_another_device.py` runs them in a process of their own. The file's name
keeps pytest from collecting them elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leakfront.attacks import Attack, GenerationContext
from leakfront.attacks import registry as attacks
from leakfront.attacks.contract import signal_key
from leakfront.defenses import Defense, Serving, TrainingSet
from leakfront.defenses import registry as defenses
from leakfront.harness.settings import sections
from leakfront.harness.stages.probe import ProbeSettings, measure_signals
from leakfront.harness.stages.sample import to_uint8
from leakfront.harness.training.loop import TrainingRun, train
from leakfront.harness.training.state import Checkpoints
from leakfront.models.sampling import Numbered, SamplerSettings, make_sampler
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle
from tests.another_device.device import another_device

QUICK = {"accountant": "rdp"}
# parameters that take a path of their own through a defense's step, beside the defaults of every defense
VARIANTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "private, two draws, per layer": [
        ("augment", {}),
        ("dp_sgd", {**QUICK, "noise_multiplicity": 2, "clipping": "per_layer", "physical_batch_size": 6}),
    ],
    "adapters": [("dp_finetune", {"pretrain_steps": 2, "lora_rank": 2, **QUICK})],
    "mixed images": [("augment", {"policy": "mixup"})],
    "told of its augmentation": [("augment", {"conditioned": True, "probability": 0.5})],
    "stopped by held-out loss": [("early_stop", {"patience": 1, "every": 2})],
}  # fmt: skip


def small(conditional: bool = True) -> Any:
    family = UNet(channels=(8,), head_channels=8, dropout=0.1, conditional=conditional)
    return family.build((1, 8, 8), 10, 3)


def trained(stack: list[Defense], folder: Path, device: str) -> tuple[Any, list[float]]:
    model = small(conditional=not any(getattr(defense, "conditioned", False) for defense in stack))
    labels = np.arange(40) % 10
    data = TrainingSet(oracle.digits()[:40], labels, np.arange(40))
    public = TrainingSet(oracle.digits()[100:140], labels, np.full(40, -1))
    budget = sections.Training(steps=2, batch_size=8, learning_rate=1e-3, ema_decay=0.9)
    run = TrainingRun(budget, stack, seed=7, privacy_key=b"k" * 32, device=device)
    found = train(model, data, public, 40.0, run, Checkpoints(folder, "key", 0.0), lambda *_: None)
    return model, [loss for _, loss in found.losses]


SHORT: dict[str, dict[str, Any]] = {
    "dp_finetune": {"pretrain_steps": 2, **QUICK},
    "dp_sgd": QUICK,
}  # parameters of defenses that take long
OF_IMAGES = [name for name in defenses.names() if not defenses.get(name).needs_captions]
STACKS = {**{name: [(name, SHORT.get(name, {}))] for name in OF_IMAGES}, **VARIANTS}


@pytest.mark.parametrize("name", STACKS)
def test_a_model_trains_there_as_on_the_cpu(name: str, tmp_path: Path) -> None:
    def stack() -> list[Defense]:
        return [defenses.get(each)(**parameters) for each, parameters in STACKS[name]]

    expected, here = trained(stack(), tmp_path / "here", "cpu")
    with another_device() as device:
        found, there = trained(stack(), tmp_path / "there", device)
    assert all(value.device.type == device for value in found.network.parameters())
    if any("dp_" in defense.name for defense in stack()):  # their noise comes from a generator of the device
        assert there[0] == pytest.approx(here[0], rel=1e-4)
        return
    assert there == pytest.approx(here, rel=1e-4)
    # weights without effect, such as an attention's key bias, follow rounding errors
    x_t, t, condition = (
        torch.from_numpy(oracle.digits()[:8]).float() / 127.5 - 1,
        torch.arange(0, 800, 100),
        torch.arange(8),
    )
    with another_device() as device:
        predicted = found.predict_noise(x_t.to(device), t.to(device), condition.to(device)).cpu()
    torch.testing.assert_close(predicted, expected.predict_noise(x_t, t, condition), rtol=0, atol=1e-3)


@pytest.mark.parametrize("settings", [
    SamplerSettings("ddim", 3), SamplerSettings("ddim", 3, 0.5), SamplerSettings("ddpm", 3),
    SamplerSettings("dpm_solver++", 3),
], ids=str)  # fmt: skip
def test_a_sampler_draws_there_what_it_draws_on_the_cpu(settings: SamplerSettings) -> None:
    expected = make_sampler(_evaluated("cpu"), settings, 5)(range(4))
    with another_device() as device:
        found = make_sampler(_evaluated(device), settings, 5, device)(range(4))
        assert found.device.type == device
        images, on_cpu = to_uint8(found), found.cpu()
    torch.testing.assert_close(on_cpu, expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(images.astype(int), to_uint8(expected).astype(int), atol=1)


@pytest.mark.parametrize("name", [name for name in OF_IMAGES if defenses.get(name)().overrides("guard")])
def test_a_guard_serves_there(name: str) -> None:
    with another_device() as device:
        model, settings = _evaluated(device), SamplerSettings("ddim", 3)

        def sampler_of(served: Any) -> Any:
            return make_sampler(served, settings, 5, device)

        guarded = defenses.get(name)().guard(sampler_of(model), Serving(model, oracle.digits()[:20], sampler_of))
        assert guarded(range(4)).device.type == device


def _evaluated(device: str) -> Any:
    model = small()
    model.network.to(device).eval().requires_grad_(False)
    return model


# parameters of attacks whose signals take long
FEW: dict[str, dict[str, Any]] = {
    "inpainting": {"repeats": 2, "keep": 1, "steps": 2},
    "gsa": {"timesteps": [100, 700]},
    "trajectory": {"timesteps": [100, 700]},
    "lira": {"timesteps": [100], "draws": 2, "flips": True},
    "loss": {"timesteps": [100], "draws": 2},
    "quantile": {"timesteps": [100], "draws": 2},
    "pia": {"timesteps": [100, 200]},
    "pian": {"timesteps": [100, 200]},
    "sima": {"timesteps": [100]},
    "rediffuse": {"repeats": 2},
    "secmi": {"timesteps": [10, 90]},
    "pfami": {"timesteps": [100], "crops": 2},
    "side": {"steps": 2, "clusters": 3},
}
OF_OTHERS = {"dataset_inference"}  # asks what other attacks ask, at length
ATTACKS: list[Attack] = [
    attacks.get(name)(**FEW.get(name, {}))
    for name in attacks.names()
    if name not in OF_OTHERS
    and not (attacks.get(name).needs_captions or attacks.get(name).needs_base or attacks.get(name).needs_discriminator)
]
SIGNALS = {signal_key(s): s for attack in ATTACKS for s in (*attack.signals(), *attack.outside_signals())}


@pytest.mark.parametrize("key", SIGNALS, ids=str)
def test_a_signal_is_measured_there_as_on_the_cpu(key: str) -> None:
    images, condition = torch.from_numpy(oracle.digits()[:5]).float() / 127.5 - 1, torch.arange(5)
    settings = ProbeSettings(batch_size=4, gradient_batch=2)

    def measured(where: str) -> dict[str, np.ndarray]:
        arguments = [SIGNALS[key]], _evaluated(where), images.to(where), condition.to(where)
        return measure_signals(*arguments, settings, lambda *_: None)[0]

    expected = measured("cpu")
    with another_device() as device:
        found = measured(device)
    assert expected.keys() == found.keys() != set()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-2, atol=2e-2 * float(np.abs(values).max()))


GENERATIONS = {signal_key(g): g for attack in ATTACKS for g in attack.generations()}


@pytest.mark.parametrize("key", GENERATIONS)
def test_a_generation_draws_there(key: str) -> None:
    images = oracle.digits()[:12]
    with another_device() as device:
        model = _evaluated(device)

        def draw(changed: Any, seeds: Any = range(12), conditions: Any = None) -> np.ndarray:
            return to_uint8(make_sampler(changed, SamplerSettings("ddim", 2), 5, device, conditions)(seeds))

        def sample(conditions: Any, seeds: Any, **_: Any) -> np.ndarray:
            return draw(model, seeds, Numbered(torch.as_tensor(conditions), seeds))

        context = GenerationContext(
            model, oracle.pool_view(images), images, oracle.flat(images), 3, draw, sample, lambda name, make: make()
        )
        found = GENERATIONS[key].generate(context).images
    assert found.dtype == np.uint8
    assert found.shape[1:] == images.shape[1:]


def test_what_a_gpu_refuses_is_refused() -> None:
    with another_device() as device:
        _refusals(device)


def _refusals(device: str) -> None:
    there, here = torch.ones(3).to(device), torch.ones(3)
    for mistake in (
        lambda: there + here,
        lambda: torch.stack([here, there]),
        lambda: here[torch.tensor([0]).to(device)],
        lambda: torch.randn(3, generator=torch.Generator(), device=device),
        lambda: torch.randn(3, generator=torch.Generator(device)),
    ):
        with pytest.raises(RuntimeError):
            mistake()
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()
    assert there[torch.tensor([0])].item() == 1  # indices may lie on the CPU
    assert (there * torch.tensor(2.0)).sum().item() == 6  # and so may numbers
    assert torch.randn(3, generator=torch.Generator(device), device=device).device.type == device

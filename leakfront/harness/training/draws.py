"""The random draws of a training: step k of a model draws from a state that follows from its seed, or its secret."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from leakfront.seeds import derive_seed

# the state of torch's CPU generator, Mersenne Twister, as bytes: from byte 24 on, 624 words of 32 bits, each in 8 bytes
_WORDS, _FIRST = 624, 24


def seed_step(generator: torch.Generator, seed: int, step: int) -> None:
    """Set `generator`, and torch's global one for dropout and torchvision, to the state of a step of a plain training.

    Anyone who knows the seed can repeat the draws.
    """
    generator.manual_seed(derive_seed(seed, "step", step))
    of_all = derive_seed(seed, "global", step)
    torch.default_generator.manual_seed(of_all)
    if torch.cuda.is_available():  # without a GPU `torch.manual_seed` formats a stack trace at each call
        torch.cuda.manual_seed_all(of_all)


def seed_private_step(generator: torch.Generator, key: bytes, step: int) -> None:
    """The same for a step of a private training: states that only those who know `key` (32 bytes) can repeat.

    `manual_seed` takes 32 bits on a CPU, which can be tried out. So all 19,968 bits of the generator's state come from
    SHAKE-256 of the key and the step. (Mersenne Twister is no cryptographic generator, but its outputs are never seen:
    they are hidden in the noise of a sum.)
    """
    generator.set_state(_state(key, f"step {step}"))
    torch.default_generator.set_state(_state(key, f"global {step}"))
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(int.from_bytes(_stream(key, f"cuda {step}", 8), "big") >> 1)


def _stream(key: bytes, name: str, length: int) -> bytes:
    return hashlib.shake_256(key + name.encode()).digest(length)


def _state(key: bytes, name: str) -> torch.Tensor:
    """A state of torch's CPU generator, uint8 [5056], whose words come from the key."""
    words = np.frombuffer(_stream(key, name, 4 * _WORDS), "<u4").astype("<u8")
    state = torch.Generator().manual_seed(0).get_state().numpy()
    state[_FIRST : _FIRST + 8 * _WORDS] = words.view(np.uint8)
    return torch.from_numpy(state)

"""What an attack asks of a model, checked: stable names, the stated access, one measurement for each image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.attacks import Attack
from leakfront.attacks.contract import signal_key
from leakfront.testing import oracles
from leakfront.testing.plugin import calling, require, same_arrays

if TYPE_CHECKING:
    from leakfront.attacks.queries.queries import Queries
    from leakfront.models import DiffusionModel


def check_questions(attack: Attack, who: str) -> None:
    """Raise `AssertionError` unless signals and generations of an attack keep to their contract.

    who: the attack as sentences begin with it.
    """
    with calling(f"{who}: listing its signals and generations"):
        asked = [*attack.signals(), *attack.outside_signals()]
        generations = list(attack.generations())
        again = [*attack.signals(), *attack.outside_signals(), *attack.generations()]
    for question in (*asked, *generations, *again):
        params = vars(type(question)).get("__dataclass_params__")
        require(params is not None and params.frozen, f"{_of(question, who)} must be a @dataclass(frozen=True)")
        require(" at 0x" not in signal_key(question), f"{_of(question, who)} has a parameter without a stable text")
    keys = [signal_key(question) for question in (*asked, *generations)]
    require(keys == [signal_key(question) for question in again], f"{who} must ask for the same signals each time")
    if attack.signal is not None:
        require(attack.signal in attack.signals(), f"the signal of {who} must be among its signals()")
    if attack.access in ("none", "samples"):
        needed = "access must be 'loss' or 'gradients' if it asks the model"
        own = [g for g in generations if not (g.served and attack.access == "samples")]
        require(not asked and not own, f"the access of {who} is {attack.access!r}; {needed}")
    for signal in dict.fromkeys(asked):
        _check_signal(signal, attack, who)
    for generation in dict.fromkeys(generations):
        _check_generation(generation, attack, who)


def _of(question: Any, who: str) -> str:
    return f"{type(question).__name__} of {who}"


def _check_signal(signal: Any, attack: Attack, who: str) -> None:
    from leakfront.attacks.queries.queries import CALLS_OF_A_GRADIENT, Queries

    of = _of(signal, who)
    texts = oracles.captions(slice(500, 700)) if attack.needs_captions else None
    model = oracles.fitted("gaussian", oracles.digits()[500:700], texts)
    first, whole = _measured(signal, model, slice(0, 2), of), _measured(signal, model, slice(0, 5), of)
    require(set(first) == set(whole), f"{of} must measure the same names for every batch")
    for name, values in whole.items():
        require(isinstance(name, str) and "/" not in name, f"the name {name!r} of {of} must be a text without '/'")
        rows = values.shape[:1] == (5,) and first[name].shape[:1] == (2,)
        require(rows, f"{name!r} of {of} must have one entry for each image of the batch")
        require(np.isfinite(values).all(), f"{name!r} of {of} must be finite")
        rounding = 1 if values.dtype.kind in "iu" else 1e-6
        alike = np.allclose(first[name], values[:2], rtol=1e-3, atol=rounding)
        require(alike, f"{name!r} of {of} depends on the other images of the batch")
    require(whole, f"{of} must measure something")

    class Watched(Queries):
        def gradient_norms(self, *_: Any, **__: Any) -> Any:
            raise AssertionError(
                f"{of} asks for gradients ({CALLS_OF_A_GRADIENT} calls each), so the access of {who} must be "
                "'gradients'"
            )

        derivative = gradient_norms

    if attack.access == "loss":
        signal.measure(_asked(Watched, model, slice(0, 1)))


def _measured(signal: Any, model: DiffusionModel, rows: slice, of: str) -> dict[str, np.ndarray]:
    """What a signal measures on some digits; the same twice."""
    import torch

    from leakfront.attacks.queries.queries import Queries

    def once() -> dict[str, np.ndarray]:
        queries = _asked(Queries, model, rows)
        with torch.no_grad(), calling(f"{of}: measure"):
            found = signal.measure(queries)
        for name, values in found.items():
            require(isinstance(values, torch.Tensor), f"{name!r} of {of} must be a torch.Tensor")
        return {name: values.cpu().numpy() for name, values in found.items()}

    one, two = once(), once()
    repeated = set(one) == set(two) and all(same_arrays(one[name], two[name]) for name in one)
    require(repeated, f"{of} must measure the same each time: take noise from queries.noise(draw)")
    return one


def _asked(queries: type[Queries], model: DiffusionModel, rows: slice) -> Queries:
    """Queries about some digits, with their captions if the model takes any."""
    import torch

    images, texts = torch.as_tensor(oracles.digits()[rows]).float() / 127.5 - 1, oracles.captions(rows)
    condition = model.conditions(torch.zeros(len(images), dtype=torch.long), texts)
    return queries(model, images, condition, seed=3, captions=texts)


def _check_generation(generation: Any, attack: Attack, who: str) -> None:
    of = _of(generation, who)
    require(isinstance(getattr(generation, "served", None), bool), f"{of} must say whether it is served")
    require(generation.images(120, 160) > 0, f"{of} must say how many images it takes as long as, for times")
    shown, texts = oracles.digits()[:40], oracles.captions(slice(40)) if attack.needs_captions else None
    model = oracles.fitted("memorizer", shown, texts)
    signals = oracles.measured(attack.signals(), model, shown, texts=texts)
    context = oracles.context(model, oracles.view_of(model, shown, texts), oracles.sampled(model), signals)
    nothing: Any = {"model": None, "draw": None}
    seen = replace(context, **nothing) if generation.served else context
    with calling(f"{of}: generate"):
        one, two = (generation.generate(seen) for _ in range(2))
    images, prompt = one.images, one.prompt
    fits = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape[1:] == context.samples.shape[1:]
    require(fits, f"{of} must generate uint8 images of the shape {context.samples.shape[1:]}")
    numbers = isinstance(prompt, np.ndarray) and prompt.dtype == np.int64 and prompt.shape == (len(images),)
    require(numbers, f"{of} must name one prompt int64 for each image")
    known = ((prompt >= -1) & (prompt < len(context.pool.images))).all()
    require(bool(known), f"the prompts of {of} must be pool images, or -1")
    again = same_arrays(images, two.images) and same_arrays(prompt, two.prompt)
    require(again, f"{of} must generate the same images again with the same seed")

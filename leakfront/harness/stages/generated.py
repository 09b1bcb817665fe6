"""The images that attacks make a cell's model generate, in parts of which each is kept if the run is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from leakfront.attacks import GenerationContext, PoolView
from leakfront.attacks.contract import signal_key
from leakfront.harness.machine.provenance import made_by
from leakfront.harness.plan.plan import CellPlan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.extractor import pool_set
from leakfront.harness.stages.features import sample_set
from leakfront.harness.stages.prepare import load_prepared
from leakfront.harness.stages.sample import (
    CountedModel,
    Request,
    asked_of,
    draw_samples,
    drawn,
    guards_of,
    load_samples,
    solver_of,
    trained_labels,
)
from leakfront.harness.stages.stage import Work
from leakfront.harness.store.artifacts import discard, stored_key, writing
from leakfront.harness.store.code_keys import content_key, plugin_code, with_imports
from leakfront.harness.store.layout import PARTS, Layout
from leakfront.registry import parameters
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.defenses import Defense, TrainingSet
    from leakfront.models import DiffusionModel

# the code that decides what is generated, in addition to that of the generations and of the sampler
GENERATING = ("leakfront.harness.stages.generated", "leakfront.harness.stages.sample")
_CALLS = "model calls"


def pool_view(pool: Pool, conditions: np.ndarray, layout: Layout, decoded: np.ndarray | None = None) -> PoolView:
    """What every attacker knows of the pool. conditions: int64 [P, ...], as the models take them.

    decoded: of a latent model what its autoencoder makes of the images, uint8 [P, C, H, W].
    """
    features, variants, variant_of = pool_set(layout, pool).first_fit.matrix(), pool.variants, pool.variant_of
    if decoded is not None:
        variants = np.concatenate([variants, decoded])
        variant_of = np.concatenate([variant_of, np.arange(len(decoded))])
    return PoolView(
        pool.images, pool.labels, features, variants, variant_of, conditions, pool.copies, pool.captions,
        0 if decoded is None else len(decoded),
    )  # fmt: skip


def generate(
    work: Work,
    model: DiffusionModel,
    conditions: np.ndarray,
    signals: Mapping[Any, Mapping[str, np.ndarray]],
    generations: Sequence[Any],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]:
    """Generations of the attacks: as served, those again that differ with the weights, and the model calls.

    The arrays are "<generation key>/images" and "<generation key>/prompt"; calls are counted by generation key, as
    served. conditions: those of the pool's images, int64 [P, ...]. signals: what was measured on these.
    """
    cell = work.cell
    if not generations:
        return {}, {}, {}
    view = pool_view(work.pool, conditions, work.layout)
    training = load_prepared(cell, work.layout)[0]
    served: dict[str, np.ndarray] = {}
    with_weights: dict[str, np.ndarray] = {}
    calls = {}
    for generation in generations:
        key = signal_key(generation)
        counted = CountedModel(model)
        behind = guards_behind(cell, generation)
        served |= _Generating(work, generation, counted, behind, training, signals).arrays(view)
        calls[key] = counted.calls
        if behind:
            with_weights |= _Generating(work, generation, counted, (), training, signals).arrays(view)
    return served, with_weights, calls


def guards_behind(cell: CellPlan, generation: Any) -> Sequence[Defense]:
    """The defenses of a cell that stand before the model in a generation."""
    return guards_of(cell) if generation.served else ()


def generation_key(work: Work, generation: Any, guards: Sequence[Defense], part: str = "") -> str:
    """The key of a generation behind guards, or of a part: it does not depend on which other attacks the config has."""
    cell, config = work.cell, work.plan.config
    acting = [[guard.name, parameters(guard)] for guard in guards]
    sampling = config.sampling.model_dump(exclude={"batch_size"})
    settings = [signal_key(generation), part, acting, sampling, config.seed, cell.split]
    code = [*plugin_code(generation), *with_imports("leakfront.models.sampling"), *GENERATING,
            *with_imports("leakfront.attacks.queries.queries"),
            *(module for guard in guards for module in plugin_code(guard))]  # fmt: skip
    inputs = [cell.keys[stage] for stage in ("train", "prepare", "features")]
    return content_key("part", settings, inputs, sorted({*code}))


def remove_parts(cell: CellPlan, layout: Layout) -> None:
    """Delete the parts of an unfinished generation, if there are any."""
    discard(layout.stage(cell.name, PARTS))


@dataclass(frozen=True, eq=False)
class _Generating:
    """One generation of a cell's model, behind some guards."""

    work: Work
    generation: Any
    model: CountedModel
    guards: Sequence[Defense]
    training: TrainingSet
    signals: Mapping[Any, Mapping[str, np.ndarray]]

    def arrays(self, view: PoolView) -> dict[str, np.ndarray]:
        """The generated images and their prompts, by name."""
        cell, key = self.work.cell, signal_key(self.generation)
        context = GenerationContext(
            model=self.model,
            pool=view,
            samples=load_samples(cell, self.work.layout),
            features=sample_set(cell, self.work.layout).first_fit.matrix(),
            seed=derive_seed(self.work.plan.config.seed, "generation", key, cell.split),
            draw=self.draw,
            sample=self.sample,
            keep=self.keep,
            signals=self.signals,
        )
        generated = self.generation.generate(context)
        return {
            f"{key}/images": np.ascontiguousarray(generated.images),
            f"{key}/prompt": np.ascontiguousarray(generated.prompt),
        }

    def draw(self, changed: DiffusionModel) -> np.ndarray:
        """See `GenerationContext`."""
        asked = asked_of(changed, self.work.pool, trained_labels(self.work))
        return draw_samples(self.work.plan, changed, self.work.cell.split, asked)

    def sample(
        self,
        conditions: np.ndarray | torch.Tensor,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """See `leakfront.attacks.contract.Sampling`."""
        import torch

        from leakfront.models.sampling import NUMBERS, Numbered

        plan = self.work.plan
        solver = solver_of(plan)
        steps, guidance = (
            (solver.steps if steps is None else steps),
            (solver.guidance if guidance is None else guidance),
        )
        request = Request(
            Numbered(torch.as_tensor(conditions), seeds),
            NUMBERS // 2**32,
            derive_seed(plan.config.seed, "prompted sampling", self.work.cell.split),
            replace(solver, steps=steps, guidance=guidance),
            asked_of(self.model, self.work.pool, trained_labels(self.work)),
        )
        sampler = request.sampler(self.model, plan.config.execution.device, self.guards, self.training)
        return drawn(sampler, seeds, plan.config.sampling.batch_size)

    def keep(self, name: str, make: Callable[[], dict[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """See `GenerationContext`. Each part is one artifact, which also holds the number of model calls."""
        key = generation_key(self.work, self.generation, self.guards, name)
        folder = self.work.layout.part(self.work.cell.name, key)
        if stored_key(folder) == key:
            arrays = load_file(folder / "part.safetensors")
            self.model.calls += int(arrays.pop(_CALLS)[0])
            return arrays
        before, arrays = self.model.calls, make()
        execution = self.work.plan.config.execution
        with writing(folder, key, made_by(execution.threads, execution.device)) as place:
            counted = {**arrays, _CALLS: np.array([self.model.calls - before])}
            save_file({n: np.ascontiguousarray(values) for n, values in counted.items()}, place / "part.safetensors")
        return arrays

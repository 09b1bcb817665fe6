"""The generated images of a cell: generated once, used by attacks on samples and by every metric of quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.workload import sampling_work
from leakfront.harness.stages.prepare import load_prepared
from leakfront.harness.stages.stage import Files, Progress, Stage, Subject, Work, silent
from leakfront.harness.stages.train import load_model
from leakfront.harness.store.code_keys import plugin_code, with_imports
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.mapped import mapped
from leakfront.registry import parameters
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.defenses import Defense, Sampler, TrainingSet
    from leakfront.defenses.serving import Conditions, Start
    from leakfront.harness.pool.pool import Pool
    from leakfront.models import DiffusionModel
    from leakfront.models.sampling import SamplerSettings


def guards_of(cell: CellPlan) -> list[Defense]:
    """The defenses of a cell that stand between the model and its users."""
    return [defense for defense in cell.point.stack if defense.overrides("guard")]


def _settings(subject: Subject) -> list[Any]:
    guards = [[guard.name, parameters(guard)] for guard in guards_of(subject.cell)]
    return [subject.plan.config.sampling.model_dump(exclude={"batch_size"}), guards]


def _code(subject: Subject) -> list[str]:
    of_guards = [name for guard in guards_of(subject.cell) for name in plugin_code(guard)]
    return [*with_imports("leakfront.models.sampling"), *of_guards]


def _run(work: Work) -> Files:
    """Draw the config's number of images, with the same seeds for every defense on a split.

    If defenses guard the sampler, images are drawn twice: as served ("images"), and without the guards, as anyone with
    the weights can draw them ("unguarded").
    """
    from leakfront.harness.machine.clock import Stopwatch

    plan, cell = work.plan, work.cell
    model: Any = CountedModel(load_model(plan, cell, work.layout))
    guards, asked = guards_of(cell), asked_of(model, work.pool, trained_labels(work))
    watch = Stopwatch(plan.config.execution.device)
    arrays = {"images": draw_samples(plan, model, cell.split, asked, progress=work.progress)}
    if guards:
        arrays["unguarded"], watch, model.calls = arrays["images"], Stopwatch(plan.config.execution.device), 0
        training = load_prepared(cell, work.layout)[0]
        arrays["images"] = draw_samples(plan, model, cell.split, asked, guards, training, work.progress)
    arrays["prompts"] = np.arange(len(arrays["images"])) % len(asked)
    arrays["labels"] = _classes_of(work, model, arrays["prompts"])
    count = len(arrays["images"])
    facts = {"seconds": watch.seconds, "model_calls_per_image": model.calls / count, **aside(model, count)}
    return {"samples.safetensors": arrays, "sample.json": facts}


SAMPLE = Stage(
    "sample",
    "cell",
    inputs=("prepare", "train"),
    settings=_settings,
    code=_code,
    run=_run,
    work=lambda work: sampling_work(work.plan),
)


def aside(model: DiffusionModel, images: int) -> dict[str, dict[str, float]]:
    """Under "aside" what a model did in addition to the calls of its network, for each of so many images, by name.

    Empty for a model that does nothing else.
    """
    found = {f"{name}_per_image": count / images for name, count in model.aside().items()}
    return {"aside": found} if found else {}


class CountedModel:
    """A model that counts the images that pass through it."""

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        self.calls += len(x_t)
        return self._model.predict_noise(x_t, t, condition)

    def generate(self, noise: torch.Tensor) -> torch.Tensor:
        """Of a `Generator`."""
        self.calls += len(noise)
        images: torch.Tensor = self.__getattr__("generate")(noise)
        return images


def _classes_of(work: Work, model: DiffusionModel, prompts: np.ndarray) -> np.ndarray:
    """The class that each sample was asked for, int64 [N_G]; zeros if models are told something else."""
    if model.words is not None:
        of_captions: np.ndarray = _asked_for(work.pool)[0][prompts]
        return of_captions
    told_classes = work.plan.config.data.labels == "class"
    return prompts if told_classes else np.zeros(len(prompts), np.int64)


def trained_labels(work: Work) -> np.ndarray | None:
    """The labels in the training set, int64 [R], if they are told in place of classes; else None.

    A model knows no others. Their order is drawn at random, so that the order of samples says nothing of the pool's.
    """
    if work.plan.config.data.labels == "class":
        return None
    found = np.unique(load_prepared(work.cell, work.layout)[0].labels)
    return np.random.default_rng(derive_seed(work.plan.config.seed, "asked", work.cell.split)).permutation(found)


def asked_of(model: DiffusionModel, pool: Pool, known: np.ndarray | None = None) -> torch.Tensor:
    """The conditions, int64 [R, ...], that a model's samples are asked for in turn.

    Its classes, but of these only the `known` ones if a model was not told them all (also of a model that has several
    times as many, see `side`); for a text model the captions of the reference. They are never the pool's captions
    where there is a reference: FID would reward a model that answers those with its members. Without a reference there
    is no FID, and they are the pool's, of members and decoys alike; without captions the empty one.
    """
    import torch

    if model.words is None:
        classes = torch.arange(max(model.classes, 1))
        return classes if known is None else classes.reshape(-1, len(pool.classes))[:, known].flatten()
    labels, captions = _asked_for(pool)
    return model.conditions(torch.as_tensor(labels), captions)


def _asked_for(pool: Pool) -> tuple[np.ndarray, Sequence[str] | None]:
    """The labels and captions of the images whose captions a text model's samples are asked for."""
    if len(pool.reference_labels):
        return pool.reference_labels, pool.reference_captions
    return pool.labels, pool.captions


def draw_samples(
    plan: Plan,
    model: DiffusionModel,
    split: int,
    asked: torch.Tensor,
    guards: Sequence[Defense] = (),
    training: TrainingSet | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """The config's number of images from a model, uint8 [G, C, H, W], by the config's sampler.

    split: decides the seed. asked: conditions int64 [R, ...]; sample i has row i modulo R. guards: defenses that guard
    the sampler; they get the training set.
    """
    from leakfront.models.sampling import Table, make_noise_sampler

    seed, device = derive_seed(plan.config.seed, "sampling", split), plan.config.execution.device
    if plan.model.kind == "generator":
        sampler = make_noise_sampler(cast(Any, model), seed, device)
    else:
        request = Request(Table(asked), len(asked), seed, solver_of(plan), asked)
        sampler = request.sampler(model, device, guards, training)
    return drawn(sampler, range(plan.config.sampling.images), plan.config.sampling.batch_size, progress)


def solver_of(plan: Plan) -> SamplerSettings:
    """The config's sampler, with its guidance."""
    from leakfront.models.sampling import SamplerSettings

    settings = plan.config.sampling
    return SamplerSettings(settings.scheduler, settings.steps, settings.eta, settings.guidance)


@dataclass(frozen=True, eq=False)
class Request:
    """What samples are asked for, and how.

    conditions: by the indices of samples; they repeat with the `period`. seed: with the index, it decides the noise of
    a sample. public: conditions int64 [M, ...] from outside the pool, for guards to compare with.
    """

    conditions: Conditions
    period: int
    seed: int
    solver: SamplerSettings
    public: torch.Tensor

    def sampler(
        self, model: DiffusionModel, device: str, guards: Sequence[Defense], training: TrainingSet | None
    ) -> Sampler:
        """The sampler of a model behind its guards; they get the training set."""
        import torch

        from leakfront.defenses import Prompts, Serving
        from leakfront.harness.training.batches import conditions_of
        from leakfront.models.sampling import first_timestep, make_sampler, start_noise, with_guidance

        solver = replace(self.solver, guidance=1.0)

        def sampler_of(
            served: DiffusionModel, conditions: Conditions | None = None, start: Start | None = None
        ) -> Sampler:
            return make_sampler(served, solver, self.seed, device, conditions or self.conditions, start)

        def start(indices: Sequence[int]) -> torch.Tensor:
            return torch.stack([start_noise(self.seed, i, model.latent_shape)[0] for i in indices]).to(device)

        guided = with_guidance(model, self.solver.guidance)
        sampler, first = sampler_of(guided), first_timestep(model, solver)
        for defense in guards:
            assert training is not None
            theirs, scale = conditions_of(model, training), self.solver.guidance
            prompts = Prompts(model, self.conditions, self.public, start, first, self.seed, device, scale, theirs)
            served = Serving(guided, training.images, sampler_of, self.period, prompts if model.words else None)
            sampler = defense.guard(sampler, served)
        return sampler


def drawn(sampler: Sampler, indices: Sequence[int], batch_size: int, progress: Progress = silent) -> np.ndarray:
    """The samples with these indices, uint8 [n, C, H, W], in batches."""
    batches = []
    for first in range(0, len(indices), batch_size):
        batch = indices[first : first + batch_size]
        batches.append(to_uint8(sampler(batch)))
        progress(first + len(batch), len(indices), {})
    return np.concatenate(batches)


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """float32 [N, C, H, W] in [-1, 1] -> uint8."""
    import torch

    scaled = (images.clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).cpu().numpy()


def load_sample_labels(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The class that each sample was generated for, int64 [N_G]; 0 for an unconditional model.

    For a text model, the class of the reference image whose caption it was asked for.
    """
    return _load(cell, layout)["labels"]


def load_sample_prompts(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The number of the condition that each sample was generated for, int64 [N_G]: its class, or its caption's."""
    return _load(cell, layout)["prompts"]


def load_samples(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The samples as served, uint8 [N_G, C, H, W]."""
    return _load(cell, layout)["images"]


def load_unguarded_samples(cell: CellPlan, layout: Layout) -> np.ndarray | None:
    """The samples drawn without the defenses that guard the sampler, uint8 [N_G, C, H, W]; None if none does."""
    return _load(cell, layout).get("unguarded")


def _load(cell: CellPlan, layout: Layout) -> dict[str, np.ndarray]:
    return mapped(layout.stage(cell.name, SAMPLE.name) / "samples.safetensors")

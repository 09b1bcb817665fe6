"""The settings of a scheduler from any source and vintage that define the forward process.

All schedulers read here share DDPM's forward process. They differ in how they sample, which the run decides itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Lt, MaxLen, MinLen

from leakfront.models.contract import MAX_TIMESTEPS, Prediction, Timesteps
from leakfront.models.external.documents import one_of, read_section, shown

_OTHER_BETAS = (0.00085, 0.012)  # the defaults of beta_start and beta_end where they are not DDPM's
SCHEDULERS: dict[str, tuple[float, float] | None] = {
    "DDPMScheduler": None,
    "DDIMScheduler": None,
    "PNDMScheduler": None,
    "DPMSolverMultistepScheduler": None,
    "DPMSolverSinglestepScheduler": None,
    "UniPCMultistepScheduler": None,
    "DEISMultistepScheduler": None,
    "EulerDiscreteScheduler": None,
    "EulerAncestralDiscreteScheduler": None,
    "LMSDiscreteScheduler": None,
    "HeunDiscreteScheduler": _OTHER_BETAS,
    "KDPM2DiscreteScheduler": _OTHER_BETAS,
    "KDPM2AncestralDiscreteScheduler": _OTHER_BETAS,
}
_ONLY_DDPM = ("sigmoid", "laplace")  # schedules of betas that no other scheduler of diffusers has

# keys that concern sampling alone, of all these schedulers; the second part stood in configs of 2022
SAMPLING = frozenset({
    "algorithm_type", "clip_sample", "clip_sample_range", "disable_corrector", "dynamic_thresholding_ratio",
    "euler_at_final", "final_sigmas_type", "flow_shift", "interpolation_type", "lambda_min_clipped",
    "lower_order_final", "predict_x0", "sample_max_value", "set_alpha_to_one", "shift_terminal", "sigma_max",
    "sigma_min", "skip_prk_steps", "solver_order", "solver_p", "solver_type", "steps_offset", "thresholding",
    "time_shift_type", "timestep_spacing", "use_beta_sigmas", "use_dynamic_shifting", "use_exponential_sigmas",
    "use_karras_sigmas", "use_lu_lambdas", "variance_type",
}) | frozenset({"tensor_format"})  # fmt: skip

# keys that change the forward process unless they have this value, and what they then mean
_FORWARD: dict[str, tuple[Any, str]] = {
    "rescale_betas_zero_snr": (False, "the last timestep then holds no signal of the image, which attacks divide by"),
    "use_flow_sigmas": (False, "the forward process is then that of flow matching, not DDPM's"),
    "timestep_type": ("discrete", "the network is then asked for continuous noise levels, as in EDM"),
    "timestep_values": (None, "the noise levels are then a selection that is not read"),
}

Beta = Annotated[float, Gt(0), Lt(1)]


@dataclass(frozen=True)
class SchedulerConfig:
    """The scheduler settings that define the forward process, by diffusers' names and with its defaults.

    predict_epsilon: what prediction_type was in 2022; false says that the network predicts the image.
    """

    num_train_timesteps: Timesteps = 1000
    beta_start: Beta = 0.0001
    beta_end: Beta = 0.02
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"] = "linear"
    trained_betas: Annotated[tuple[Beta, ...], MinLen(1), MaxLen(MAX_TIMESTEPS)] | None = None
    prediction_type: Prediction | None = None
    predict_epsilon: bool | None = None

    @property
    def prediction(self) -> Prediction:
        """What the network outputs."""
        return self.prediction_type or ("sample" if self.predict_epsilon is False else "epsilon")

    @property
    def levels(self) -> dict[str, Any]:
        """The settings that decide the noise levels."""
        return {key: value for key, value in self.settings().items() if key != "prediction_type"}

    def settings(self) -> dict[str, Any]:
        """The parameters of diffusers' `DDPMScheduler` with this forward process."""
        return {
            "num_train_timesteps": self.num_train_timesteps,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "beta_schedule": self.beta_schedule,
            "trained_betas": list(self.trained_betas) if self.trained_betas else None,
            "prediction_type": self.prediction,
        }


def read_scheduler(path: Path, settings: dict[str, Any], faults: list[str]) -> SchedulerConfig:
    """The forward process in a scheduler_config.json, with a sentence in `faults` for each setting that is wrong."""
    name = str(settings.get("_class_name"))
    if name not in SCHEDULERS:
        faults.append(
            f"{path}: _class_name is {shown(settings.get('_class_name'))}; it must be {one_of(SCHEDULERS)}, which "
            "share DDPM's forward process; no other code is run"
        )
    for key, (right, means) in _FORWARD.items():
        if (value := settings.get(key, right)) is not None and (value != right or type(value) is not type(right)):
            faults.append(f"{path}: {key} is {shown(value)}; only {json.dumps(right)} is read, since {means}")
    what = "may change the forward process and is not known"
    config = read_section(SchedulerConfig, path, settings, {*SAMPLING, *_FORWARD}, what, faults)
    if (betas := SCHEDULERS.get(name)) is not None:
        start, end = (config.beta_start if "beta_start" in settings else betas[0],
                      config.beta_end if "beta_end" in settings else betas[1])  # fmt: skip
        config = replace(config, beta_start=start, beta_end=end)
    if config.beta_schedule in _ONLY_DDPM and name != "DDPMScheduler":
        faults.append(f"{path}: beta_schedule is {config.beta_schedule!r}, which only a DDPMScheduler has")
    is_epsilon = {None: None, "epsilon": True, "sample": False}.get(config.prediction_type, "neither")
    if is_epsilon is not None and config.predict_epsilon not in (None, is_epsilon):
        faults.append(
            f"{path}: prediction_type is {config.prediction_type!r} and predict_epsilon "
            f"{str(config.predict_epsilon).lower()}, which contradict each other; take out the one that is wrong"
        )
    if config.trained_betas is not None and len(config.trained_betas) != config.num_train_timesteps:
        faults.append(
            f"{path}: trained_betas has {len(config.trained_betas)} values, and num_train_timesteps is "
            f"{config.num_train_timesteps}; they must be equal"
        )
    return config

"""The settings of a flow-matching scheduler that define the forward process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from leakfront.models.contract import Timesteps
from leakfront.models.external.documents import read_section, shown

NAME = "FlowMatchEulerDiscreteScheduler"
# keys that concern sampling alone, or which times a training prefers
SAMPLING = frozenset({
    "base_image_seq_len", "base_shift", "max_image_seq_len", "max_shift", "shift", "shift_terminal",
    "stochastic_sampling", "time_shift_type", "use_beta_sigmas", "use_dynamic_shifting", "use_exponential_sigmas",
    "use_karras_sigmas",
})  # fmt: skip


@dataclass(frozen=True)
class FlowConfig:
    """The scheduler settings that define the forward process x_s = (1 - s) x_0 + s eps, by diffusers' names."""

    num_train_timesteps: Timesteps = 1000
    invert_sigmas: Literal[False] = False

    prediction: ClassVar[Literal["flow"]] = "flow"

    @property
    def levels(self) -> dict[str, Any]:
        """The settings that decide the noise levels."""
        return {"flow": self.num_train_timesteps}


def read_flow(path: Path, settings: dict[str, Any], faults: list[str]) -> FlowConfig:
    """The forward process in a scheduler_config.json, with a sentence in `faults` for each setting that is wrong."""
    if (named := settings.get("_class_name")) != NAME:
        faults.append(f"{path}: _class_name is {shown(named)}; it must be {NAME}; no other code is run")
    return read_section(FlowConfig, path, settings, SAMPLING, "may change the forward process and is not known", faults)

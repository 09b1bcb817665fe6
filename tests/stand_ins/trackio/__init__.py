"""A stand-in for trackio: the documented arguments of what is called here, and a record of the calls."""

from __future__ import annotations

from typing import Any

calls: list[tuple[str, Any]] = []


def init(
    project: str,
    name: str | None = None,
    group: str | None = None,
    space_id: str | None = None,
    config: dict[str, Any] | None = None,
    resume: str = "never",
    embed: bool = True,
    auto_log_gpu: bool | None = None,
    auto_log_cpu: bool | None = None,
) -> None:
    assert not any(key.startswith("_") for key in config or {})  # which trackio reserves
    own = (embed, auto_log_gpu, auto_log_cpu)
    calls.append(("init", {"project": project, "name": name, "config": config, "own": own}))


def log(metrics: dict[str, Any], step: int | None = None) -> None:
    calls.append(("log", metrics))


def finish() -> None:
    calls.append(("finish", None))

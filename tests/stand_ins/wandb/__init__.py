"""A stand-in for wandb: the documented arguments of what is called here, and a record of the calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

calls: list[tuple[str, Any]] = []


class Error(Exception):
    """The base of wandb's errors."""


@dataclass
class Settings:
    """Only settings that wandb documents; it refuses any other."""

    console: str = "auto"
    disable_code: bool = False
    disable_git: bool = False
    disable_job_creation: bool = True
    save_code: bool | None = None
    x_disable_machine_info: bool = False
    x_disable_meta: bool = False
    x_disable_stats: bool = False
    x_save_requirements: bool = True


class Run:
    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        calls.append(("log", data))

    def finish(self, exit_code: int | None = None) -> None:
        calls.append(("finish", exit_code))


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | None = None,
    id: str | None = None,
    name: str | None = None,
    config: dict[str, Any] | None = None,
    mode: str | None = None,
    settings: Settings | None = None,
) -> Run:
    calls.append(("init", {"project": project, "dir": dir, "name": name, "config": config, "settings": settings}))
    if project == "nobody":
        raise Error("api_key not configured (no-tty)")
    return Run()

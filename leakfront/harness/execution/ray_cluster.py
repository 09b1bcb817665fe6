"""Join a Ray cluster, and state the resources that a task needs."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leakfront.errors import InputError
from leakfront.harness.execution.devices import check_device
from leakfront.harness.plan.limits import check_threads
from leakfront.harness.settings.sections import Execution

LOCAL = "local"
CONNECT_SECONDS = 30.0  # Ray itself tries for minutes


@dataclass(frozen=True)
class RayCluster:
    """A cluster that this process has joined. nodes: those that can run tasks. slots: how many tasks run at once."""

    nodes: int
    slots: int

    def __str__(self) -> str:
        return f"Ray cluster of {self.nodes} node{'s' if self.nodes > 1 else ''}"


def join(address: str, execution: Execution, workers: int) -> RayCluster:
    """Join the cluster at `address` ("auto" or HOST:PORT), or start one on this machine ("local") for `workers` tasks.

    This machine must be a node of the cluster; that node may have no resources. Raises `InputError` for a wrong address
    or device, if Ray is not installed, and if no node has the resources of a task.
    """
    if execution.device not in ("cpu", "cuda"):
        raise InputError(
            f"execution.device is {execution.device!r}; with --ray it must be cpu or cuda, since Ray assigns the GPUs"
        )
    if address not in (LOCAL, "auto") and not re.fullmatch(r"[^\s:/]+:\d{1,5}", address):
        raise InputError(f"--ray {address!r} must be local, auto or the HOST:PORT of a cluster's head node")
    if address == LOCAL:
        check_threads(execution)
        check_device(execution)
        # set before Ray is imported, because Ray reads its environment at import
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # a token for this run alone: otherwise Ray writes one to the home folder, and without any, anyone may send code
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise InputError('--ray needs Ray, an extra: pip install "leakfront[ray]"') from None
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        # an explicit address, because without one Ray joins any cluster that it finds running
        ray.init(LOCAL, num_cpus=workers * int(needs_of(execution)["CPU"]), include_dashboard=False, **quiet)
    else:
        _connect(address, quiet)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    needs = needs_of(execution)
    slots = sum(_fits(needs, node["Resources"]) for node in nodes)
    if slots == 0:
        asked = ", ".join(f"{amount:g} {name}" for name, amount in needs.items())
        raise InputError(
            f"no node of the Ray cluster has the resources of one task, {asked} (from execution.threads, "
            "execution.device and execution.ray); lower these, or start a larger node"
        )
    return RayCluster(sum(_fits(needs, node["Resources"]) > 0 for node in nodes), slots)


def _connect(address: str, options: Mapping[str, Any]) -> None:
    """Join an existing cluster. Raises `InputError` with one sentence, instead of Ray's long waits and messages."""
    import ray

    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            raise InputError(f"--ray {address}: nothing answers there ({error}); is a cluster running?") from None
    failed: list[BaseException] = []

    def connect() -> None:
        try:
            ray.init(address=address, **options)
        except BaseException as error:
            failed.append(error)

    # in a thread, because Ray tries for minutes and has no setting for that
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if thread.is_alive():
        raise InputError(f"--ray {address}: the server there is no Ray cluster, or none that this machine has joined")
    if failed:
        raise InputError(f"--ray {address}: {' '.join(str(failed[0]).split())}")


def needs_of(execution: Execution) -> dict[str, float]:
    """The resources that one task takes, by Ray's names (memory in bytes)."""
    needs: dict[str, float] = {"CPU": execution.threads * execution.processes}
    if execution.device != "cpu":
        needs["GPU"] = execution.processes
    if execution.ray.memory_gib is not None:
        needs["memory"] = execution.ray.memory_gib * 2**30
    return {**needs, **execution.ray.resources}


def _fits(needs: Mapping[str, float], has: Mapping[str, float]) -> int:
    """How many tasks run on a node at once."""
    return int(min(has.get(name, 0) / amount + 1e-9 for name, amount in needs.items()))  # 0.3 / 0.1 is 3, not 2

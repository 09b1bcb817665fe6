"""Run tasks on a Ray cluster: the same tasks as in local worker processes, on many machines."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from leakfront import version
from leakfront.errors import InputError
from leakfront.harness.execution.process import Task, environment, plan_of, set_up
from leakfront.harness.execution.ray_cluster import needs_of
from leakfront.harness.execution.tasks import run_task
from leakfront.harness.execution.workers import Listener, Outcome
from leakfront.harness.machine import provenance
from leakfront.harness.plan.packages import packages_of
from leakfront.harness.plan.plan import Plan
from leakfront.harness.store.attempts import Attempt, begin, working_on
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.temporaries import temporary_beside

CANCEL_SECONDS = 10.0
POLL_SECONDS = 0.5  # for events


def fingerprint(plan: Plan) -> dict[str, str]:
    """What two machines must share to get the same results from a plan: versions, code, and the plan's keys."""
    keys = [*plan.keys.values(), *(key for cell in plan.cells for key in cell.keys.values())]
    return {
        **provenance.versions(),
        **packages_of(plan),
        "code": _code(),
        "plan": hashlib.sha256("".join(keys).encode()).hexdigest(),
    }


def _code() -> str:
    """A hash of all modules of this package."""
    root, digest = version.PACKAGE.parent, hashlib.sha256()
    for path in sorted((root / "leakfront").rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Ticket:
    """What a process of the cluster needs in order to work on a run.

    fingerprint: that of the driver, which the node's must equal. marker: a folder in the run's, which the node must
    see, with a file for each task that was begun (see `Attempt`). working_folder: that of the driver, where relative
    paths of the config start. threads: of each process.
    """

    fingerprint: dict[str, str]
    marker: Path
    working_folder: Path
    threads: int


_admitted: Path | None = None  # the marker of the run that this process has been admitted to


def _run(task: Task, ticket: _Ticket, attempt: Attempt, mailbox: Any) -> None:
    """Run a task in a process of the cluster. Raises `LateAttemptError` if it was given to another in the meantime."""
    global _admitted
    if _admitted != ticket.marker:
        _admit(task, ticket)
        _admitted = ticket.marker
    set_up(_Sender(mailbox), ticket.threads)
    with working_on(attempt):
        run_task(task)


def _admit(task: Task, ticket: _Ticket) -> None:
    """Raise `InputError` unless this node has the driver's folder, code, libraries and plug-ins."""
    node = socket.gethostname()
    if not ticket.marker.is_dir():
        raise InputError(
            f"the Ray node {node} does not see the run's folder {task.root}; put it (--out) on a file system that all "
            "nodes share under the same path"
        )
    if ticket.working_folder.is_dir():
        os.chdir(ticket.working_folder)
    here = fingerprint(plan_of(task))
    for name, there in ticket.fingerprint.items():
        if here[name] != there:
            raise InputError(_difference(node, name, here[name], there))


def _difference(node: str, name: str, here: str, there: str) -> str:
    """The sentence that refuses a node with another fingerprint."""
    if name == "code":
        return f"the Ray node {node} has other code of leakfront than this machine; install the same code on all nodes"
    if name == "plan":
        return (
            f"the Ray node {node} computes other keys for the run's stages than this machine; plug-ins and external "
            "models must be the same on all nodes, under the same path"
        )
    return f"the Ray node {node} has {name} {here}, this machine has {there}; install the same version on all nodes"


@dataclass(frozen=True)
class _Sender:
    """Sends the events of a worker to the mailbox."""

    mailbox: Any

    def put(self, event: dict[str, Any]) -> None:
        self.mailbox.put.remote(event)


class _Mailbox:
    """An actor that keeps events until the driver takes them."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []

    def put(self, event: dict[str, Any]) -> None:
        self._events.append(event)

    def take(self) -> list[dict[str, Any]]:
        events, self._events = self._events, []
        return events


@dataclass
class RayWorkers:
    """Runs tasks on a cluster, as `Workers` does on one machine. A task whose process or node dies is tried once more.

    listener: receives the events of the tasks.
    """

    plan: Plan
    layout: Layout
    listener: Listener
    _running: dict[Any, tuple[Task, int]] = field(default_factory=dict)
    _held: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> RayWorkers:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        execution = self.plan.config.execution
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = ray.remote(num_cpus=0, scheduling_strategy=here)(_Mailbox).remote()
        marker = self._held.enter_context(temporary_beside(self.layout.root.absolute() / "ray"))
        marker.mkdir()
        self._ticket = _Ticket(fingerprint(self.plan), marker, Path.cwd(), execution.threads)
        needs = needs_of(execution)
        options: dict[str, Any] = {
            "num_cpus": needs.pop("CPU"),
            "num_gpus": needs.pop("GPU", 0),
            "memory": needs.pop("memory", None),
            "resources": needs,
            "max_retries": 0,  # retries are counted here
            "runtime_env": {"env_vars": environment(execution.threads)},
        }
        self._remote = ray.remote(**options)(_run)
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *details: object) -> None:
        import ray

        for running in self._running:
            ray.cancel(running, force=True)
        if self._running:
            ray.wait(list(self._running), num_returns=len(self._running), timeout=CANCEL_SECONDS)
        self._ended.set()
        self._reader.join()
        ray.kill(self._mailbox)
        self._held.close()  # removes the marker: from now on no task can replace an artifact

    def submit(self, task: Task, attempt: int = 1) -> None:
        """Queue a task; `outcomes` yields its outcome."""
        there = replace(task, root=task.root.absolute())
        latest = begin(self._ticket.marker / f"{task.stage} {task.cell}")
        self._running[self._remote.remote(there, self._ticket, latest, self._mailbox)] = (task, attempt)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of each task as it ends, until none is left; more may be submitted in the meantime."""
        import ray

        while self._running:
            done, _ = ray.wait(list(self._running), num_returns=1)
            for reference in done:
                task, attempt = self._running.pop(reference)
                outcome = _outcome(task, reference)
                if outcome is not None:
                    yield outcome
                elif attempt > 1:
                    yield Outcome(task, error=RuntimeError("its worker process or its node died twice"))
                else:
                    self.listener(
                        {"message": f"  the worker process of {task} or its node died; it is tried once more"}
                    )
                    self.submit(task, attempt + 1)

    def _read_events(self) -> None:
        import ray

        while True:
            ended = self._ended.wait(POLL_SECONDS)
            for event in ray.get(self._mailbox.take.remote()):
                self.listener(event)
            if ended:
                return


def _outcome(task: Task, reference: Any) -> Outcome | None:
    """How a task ended; None if it was lost with its process or node."""
    import ray
    from ray import exceptions

    lost = (
        exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.LocalRayletDiedError,
        exceptions.OutOfMemoryError, exceptions.ObjectLostError,
    )  # fmt: skip
    try:
        return Outcome(task, ray.get(reference))
    except exceptions.RayTaskError as error:
        cause = error.cause
        if re.search(r"failed to import on the worker|No module named 'leakfront", error.traceback_str):
            cause = InputError(
                "a node of the Ray cluster cannot import this machine's leakfront; install the same code on all nodes"
            )
        cause.__cause__ = RuntimeError(error.traceback_str)  # for the log
        return Outcome(task, error=cause)
    except lost:
        return None
    except exceptions.RayError as error:
        return Outcome(task, error=error)

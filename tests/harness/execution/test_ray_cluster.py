"""A run on Ray gives the rows of a local run despite interrupts and lost nodes; wrong settings are refused."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

import leakfront
from leakfront import version
from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.execution import ray_cluster, ray_workers
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.progress import RunProgress
from leakfront.harness.execution.ray_cluster import RayCluster, _fits, join, needs_of
from leakfront.harness.execution.ray_workers import RayWorkers, _admit, _run, _Ticket, fingerprint
from leakfront.harness.execution.schedule import execute
from leakfront.harness.machine import provenance
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import POOL
from leakfront.harness.stages.measure import cell_rows
from leakfront.harness.stages.reference import reference_rows
from leakfront.harness.stages.stage import Work, perform
from leakfront.harness.store.artifacts import writing
from leakfront.harness.store.attempts import LateAttemptError
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import write_config
from tests.command_line import WITHOUT_REPORT
from tests.in_process import in_process
from tests.small_config import FEATURES, small, write_toml

SETTINGS = small(training__steps=3, attacks={"loss": {"timesteps": [50], "draws": 1}})
LONG = {**SETTINGS, "training": {**SETTINGS["training"], "steps": 120}}  # enough to be interrupted and to lose a node


class Recording(RunProgress):
    """Keeps the events."""

    def __init__(self, log: Path) -> None:
        super().__init__({}, log, Console(file=io.StringIO()))
        self.events: list[dict[str, Any]] = []

    def event(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        super().event(event)


def prepared(folder: Path, settings: dict[str, Any] = SETTINGS) -> tuple[Plan, Layout]:
    """A run whose pool is stored."""
    config, layout = parse_config(settings), Layout(folder)
    plan, pool = check_everything(config, layout)
    folder.mkdir(exist_ok=True)
    write_config(layout, config, {})
    perform(POOL, Work(plan=plan, layout=layout, pool=pool), plan.keys["pool"])
    return plan, layout


def carry_out(
    folder: Path, cluster: RayCluster | None = None, settings: dict[str, Any] = SETTINGS
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All stages of the small benchmark: (its rows except costs, the events)."""
    plan, layout = prepared(folder, settings)
    with Recording(layout.log) as progress:
        assert execute(plan, layout, 2, cluster, progress) == {}
    rows = [*reference_rows(layout), *(row for cell in plan.cells for row in cell_rows(cell, layout))]
    return [asdict(row) for row in rows if row.kind != "cost"], progress.events


def until(condition: Callable[[], bool], seconds: float = 250) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def steps_done(folder: Path) -> int:
    """The steps in the latest checkpoint; 0 if there is none."""
    done = [0]
    for state in folder.glob("models/*/train.checkpoint/state.json"):
        with suppress(OSError, ValueError):  # replaced while it is read
            done.append(dict(json.loads(state.read_text())["pairs"])["done"])
    return max(done)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A run on this machine: (its folder, its rows)."""
    folder = tmp_path_factory.mktemp("local") / "run"
    with in_process():
        return folder, carry_out(folder)[0]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose head takes no tasks, and without other nodes."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tempfile.mkdtemp(prefix="ray")  # short, as paths of sockets must be
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "no_monitor": True, "include_log_monitor": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        yield cluster
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def one_node(cluster: Any) -> Iterator[tuple[Any, RayCluster]]:
    """A node with one CPU, and the cluster, joined."""
    import ray

    node = cluster.add_node(num_cpus=1, include_log_monitor=False)
    joined = join(cluster.address, parse_config(SETTINGS).execution, 1)
    assert joined == RayCluster(nodes=1, slots=1)
    yield node, joined
    ray.shutdown()
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node)


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """Let Ctrl-C through; a shell makes its background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow  # a node is started, lost and replaced, and 120 steps are trained twice
@pytest.mark.usefixtures("hears_interrupts")
def test_a_run_that_is_interrupted_and_loses_its_node_gives_the_rows_of_a_local_run(
    cluster: Any,
    one_node: tuple[Any, RayCluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    node, joined = one_node
    folder, attempts = tmp_path / "run", []

    def interrupt() -> None:
        until(lambda: steps_done(folder) >= 3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        carry_out(folder, joined, LONG)
    until(lambda: ray.available_resources().get("CPU") == 1, 30)  # no task is still running
    assert not (folder / "cells/none-split1/sample").exists()
    stopped = steps_done(folder)
    assert not list(folder.glob(".*.tmp"))

    submit = RayWorkers.submit

    def count(self: RayWorkers, task: Task, attempt: int = 1) -> None:
        attempts.append((task.stage, attempt))
        submit(self, task, attempt)

    monkeypatch.setattr(RayWorkers, "submit", count)
    results: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]] = []
    going_on = threading.Thread(target=lambda: results.append(carry_out(folder, joined, LONG)), daemon=True)
    going_on.start()
    until(lambda: steps_done(folder) >= stopped + 10)
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1, include_log_monitor=False)
    going_on.join()
    ((rows, events),) = results
    assert rows == carry_out(tmp_path / "local", settings=LONG)[0]
    assert {"auc", f"fid_{FEATURES}"} <= {row["metric"] for row in rows}
    assert ("train", 2) in attempts
    assert max(attempt for _, attempt in attempts) == 2
    lost = "  the worker process of none-split0: train or its node died; it is tried once more"
    assert lost in [event.get("message") for event in events]
    steps = [e["done"] for e in events if e.get("stage") == "train" and e["cell"] == "none-split0"]
    assert steps == sorted(steps)  # it resumed where it stopped, both times
    assert stopped < steps[0] <= stopped + 10 < steps[-1] == 120


@pytest.mark.usefixtures("one_node")
def test_a_task_whose_process_dies_twice_is_given_up(tmp_path: Path) -> None:
    import psutil

    killed, over = set(), threading.Event()

    def kill_tasks() -> None:
        while not over.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if process.cmdline()[:1] == ["ray::_run"] and process.pid not in killed:
                        killed.add(process.pid)
                        process.kill()

    killer = threading.Thread(target=kill_tasks, daemon=True)
    killer.start()
    events: list[dict[str, Any]] = []
    plan, layout = prepared(tmp_path / "run")
    with RayWorkers(plan, layout, events.append) as workers:
        workers.submit(Task("extractor", layout.root, plan.config.model_dump_json()))
        (outcome,) = workers.outcomes()
    over.set()
    killer.join()
    assert len(killed) == 2
    assert str(outcome.error) == "its worker process or its node died twice"
    assert [event["message"] for event in events if "message" in event] == [
        "  the worker process of the extractor or its node died; it is tried once more"
    ]


def test_a_cluster_without_the_resources_of_a_task_is_refused(cluster: Any, one_node: tuple[Any, RayCluster]) -> None:
    import ray

    ray.shutdown()
    execution = parse_config(small(execution={"ray": {"memory_gib": 0.5, "resources": {"a100": 1}}})).execution
    with pytest.raises(InputError, match=r"no node .* 1 CPU, 5.*e\+08 memory, 1 a100 "):
        join("auto", execution, 1)


def test_ray_on_this_machine_leaves_nothing_in_the_home_folder(
    local: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    run, measured = tmp_path / "run", "cells/none-split1/measure/rows.json"
    shutil.copytree(local[0], run)
    shutil.rmtree((run / measured).parent)
    sessions = tempfile.mkdtemp(prefix="ray")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(tmp_path / "home"), "RAY_TMPDIR": sessions, "MPLCONFIGDIR": str(tmp_path)}
    command = [sys.executable, "-c", WITHOUT_REPORT, "run", write_toml(tmp_path / "c.toml", SETTINGS)]
    options = ["--out", str(run), "--ray", "local", "--workers", "1"]
    result = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    shutil.rmtree(sessions)
    assert result.returncode == 0, result.stderr
    assert "1 workers on a Ray cluster of 1 node" in result.stdout
    assert (run / measured).read_bytes() == (local[0] / measured).read_bytes()
    assert json.loads((run / "run.json").read_text())["cluster"] == "Ray cluster of 1 node"
    assert not (tmp_path / "home").exists()


def test_a_server_that_is_no_cluster_is_reported_in_time(tmp_path: Path) -> None:
    code = (
        "import sys; from leakfront.harness.execution import ray_cluster; from leakfront.cli import main\n"
        "ray_cluster.CONNECT_SECONDS = 1\n"
        "main(['run', 'digits', '--ray', sys.argv[1]])"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        command = [sys.executable, "-c", code, address]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert f"error: --ray {address}: the server there is no Ray cluster" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: nothing answers there"),
        (["--ray", "no host:6379"], "must be local, auto or the HOST:PORT"),
        (["--ray", "ray://127.0.0.1:10001"], "must be local, auto or the HOST:PORT"),
        (["--ray", "127.0.0.1:1", "--device", "cuda:1"], "must be cpu or cuda, since Ray"),
        (["--ray", "127.0.0.1:1", "--workers", "2"], "leave out --workers with --ray ADDRESS"),
        (["--set", "execution.threads=100000", "--ray", "local"], "threads is 100000, but this machine has"),
        (["--set", "execution.ray.memory_gib=0", "--ray", "local"], "execution.ray.memory_gib"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_sentence(
    options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.monotonic()
    result = CliRunner().invoke(main, ["run", "digits", *options])
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - start < 30


def test_without_ray_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = CliRunner().invoke(main, ["run", "digits", "--ray", "auto"])
    assert result.exit_code == 2
    assert result.stderr == 'error: --ray needs Ray, an extra: pip install "leakfront[ray]"\n'


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(parse_config(SETTINGS))


def admission(plan: Plan, folder: Path) -> tuple[Task, _Ticket]:
    """A task, and a ticket that admits this process."""
    marker = folder / "marker"
    marker.mkdir()
    task = Task("extractor", folder, plan.config.model_dump_json())
    return task, _Ticket(fingerprint(plan), marker, Path.cwd(), 1)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("torch", f"has torch {provenance.versions()['torch']}, this machine has other; install the same version"),
        ("leakfront", f"has leakfront {leakfront.__version__}, this machine has other"),
        ("code", "has other code of leakfront than this machine"),
        ("plan", "external models must be the same on all nodes"),
    ],
)
def test_a_node_that_differs_from_the_driver_is_refused(name: str, says: str, plan: Plan, tmp_path: Path) -> None:
    task, ticket = admission(plan, tmp_path)
    _admit(task, ticket)
    with pytest.raises(InputError, match=re.escape(says)):
        _admit(task, replace(ticket, fingerprint={**ticket.fingerprint, name: "other"}))


def test_a_node_that_does_not_see_the_folder_is_refused(plan: Plan, tmp_path: Path) -> None:
    task, ticket = admission(plan, tmp_path)
    ticket.marker.rmdir()
    with pytest.raises(InputError, match=r"does not see the run's folder .*; put it \(--out\) on a file system"):
        _admit(task, ticket)


def test_what_a_node_still_writes_that_was_believed_dead_is_not_kept(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task was given to another; each attempt here writes its number, the later one before the first ends."""
    task, ticket = admission(plan, tmp_path)
    workers, sent, written = RayWorkers(plan, Layout(tmp_path), print), [], []

    def remote(*arguments: Any) -> object:
        sent.append(arguments)
        return object()

    def work(_: Task) -> None:
        number = len(written) + 1
        written.append(number)
        with writing(tmp_path / "extractor", "key") as place:
            (place / "attempt.txt").write_text(str(number))
            if number == 1:
                workers.submit(task, attempt=2)
                _run(*sent[1])

    monkeypatch.setattr(workers, "_ticket", ticket, raising=False)
    monkeypatch.setattr(workers, "_mailbox", None, raising=False)
    monkeypatch.setattr(workers, "_remote", SimpleNamespace(remote=remote), raising=False)
    monkeypatch.setattr(ray_workers, "run_task", work)
    monkeypatch.setattr(ray_workers, "set_up", lambda *_: None)
    workers.submit(task)
    with pytest.raises(LateAttemptError, match="another attempt at this task was begun"):
        _run(*sent[0])
    assert (tmp_path / "extractor" / "attempt.txt").read_text() == "2"
    shutil.rmtree(ticket.marker)  # as the end of the run does
    with pytest.raises(LateAttemptError, match="the run that this task belongs to has ended"):
        _run(*sent[1])
    assert (tmp_path / "extractor" / "attempt.txt").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["extractor"]


def test_the_fingerprint_changes_with_the_code(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(plan)
    root = version.PACKAGE.parent
    shutil.copytree(root / "leakfront", tmp_path / "leakfront", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(version, "PACKAGE", tmp_path / "leakfront")
    assert fingerprint(plan) == before
    (tmp_path / "leakfront" / "results" / "run" / "rows.py").write_text("")
    assert {k for k, v in fingerprint(plan).items() if v != before[k]} == {"code"}


def test_a_node_carries_as_many_tasks_as_its_scarcest_resource_allows() -> None:
    execution = parse_config(small(execution={"threads": 2, "device": "cuda", "ray": {"memory_gib": 4}})).execution
    needs = needs_of(execution)
    assert needs == {"CPU": 2, "GPU": 1, "memory": 4 * 2**30}
    assert _fits(needs, {"CPU": 8, "GPU": 8, "memory": 13 * 2**30, "other": 1}) == 3
    assert _fits(needs, {"CPU": 8, "memory": 13 * 2**30}) == 0
    assert _fits(needs, {"CPU": 1, "GPU": 8, "memory": 13 * 2**30}) == 0
    assert _fits({"CPU": 1, "share": 0.1}, {"CPU": 16, "share": 1}) == 10


def test_help_does_not_import_ray() -> None:
    code = (
        "import sys; from leakfront.cli import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('ray' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    assert "ray" not in vars(ray_cluster)

"""The memory that a process may use: the smallest of RAM, rlimits and the limits of its cgroups."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from leakfront import memory as module
from leakfront.memory import memory

GIB = 2**30
V2 = "42 32 0:39 {root} {point} rw,nosuid - cgroup2 cgroup rw\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "34 31 0:31 / {point}/cpuset rw - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 {root} {point} rw,relatime - cgroup cgroup rw,memory\n"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 GiB without rlimits; /proc/self and the cgroups lie in this folder."""
    monkeypatch.setattr(module, "_physical", lambda: 64 * GIB)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return tmp_path


def groups(here: Path, mounts: str, own: str, limits: dict[str, object], root: str = "/") -> int:
    """The memory with these mounts, this line of /proc/self/cgroup and these files below the mount of the cgroups."""
    (here / "mountinfo").write_text(mounts.format(point=here / "fs", root=root))
    (here / "cgroup").write_text(own)
    for name, limit in limits.items():
        (here / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "fs" / name).write_text(f"{limit}\n")
    return memory(here)


def test_without_any_limit_it_is_the_ram(here: Path) -> None:
    assert memory(here) == 64 * GIB  # there are no cgroups
    limits = {"job/memory.max": "max", "job/step/memory.max": "max"}
    assert groups(here, V2, "0::/job/step\n", limits) == 64 * GIB


def test_a_limit_of_a_group_or_of_one_above_it_counts_in_version_2(here: Path) -> None:
    assert groups(here, V2, "0::/job/step\n", {"job/step/memory.max": 3 * GIB}) == 3 * GIB
    assert groups(here, V2, "0::/job/step\n", {"job/memory.max": 2 * GIB}) == 2 * GIB
    assert groups(here, V2, "0::/job/step\n", {"other/memory.max": GIB}) == 2 * GIB


def test_a_limit_of_a_group_or_of_one_above_it_counts_in_version_1(here: Path) -> None:
    own = "9:cpuset:/elsewhere\n4:memory,hugetlb:/job/step\n0::/\n"
    unlimited = {"job/step/memory.limit_in_bytes": 9223372036854771712}
    assert groups(here, V1, own, unlimited) == 64 * GIB
    assert groups(here, V1, own, {"job/memory.limit_in_bytes": 5 * GIB}) == 5 * GIB


@pytest.mark.parametrize(
    ("mounts", "own", "file"), [(V2, "0::", "memory.max"), (V1, "4:memory:", "memory.limit_in_bytes")]
)
def test_in_a_container_the_limit_lies_at_the_mount(mounts: str, own: str, file: str, here: Path) -> None:
    """Whether the container sees its path on the host or not."""
    assert groups(here, mounts, f"{own}/docker/abc\n", {file: 4 * GIB}, root="/docker/abc") == 4 * GIB
    assert groups(here, mounts, f"{own}/../../outside\n", {file: 4 * GIB}) == 4 * GIB


@pytest.mark.parametrize("kind", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_an_rlimit_counts(kind: int, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda asked: (GIB, none) if asked == kind else (none, none))
    assert memory(here) == GIB
    assert groups(here, V2, "0::/job\n", {"job/memory.max": GIB // 2}) == GIB // 2


def test_a_config_beyond_the_limit_is_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from leakfront.errors import InputError
    from leakfront.harness.plan import limits

    monkeypatch.setattr(limits, "memory", lambda: GIB)
    with pytest.raises(InputError, match=r"takes at least 2\.0 GiB, but this process may use 1\.0 GiB; lower it"):
        limits.check_weights(2 * GIB // 20 + 1)

"""The least of what affinity and cgroups grant, in trees as containers and services see them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.engine.cpus import granted_cpus

_V1_MOUNT = "/sys/fs/cgroup/cpu,cpuacct"
_V2_MOUNT = "/sys/fs/cgroup"


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may run on eight CPUs."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


def v2_mount(root: str = "/", mount_point: str = _V2_MOUNT) -> str:
    """A line of mountinfo for the unified hierarchy."""
    return f"30 23 0:26 {root} {mount_point} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"


def v1_mount(root: str = "/") -> str:
    """A line of mountinfo for the hierarchy of the controllers cpu and cpuacct."""
    return f"31 24 0:27 {root} {_V1_MOUNT} rw,nosuid - cgroup cgroup rw,cpu,cpuacct"


def system(
    folder: Path, *, cgroup: str, mounts: list[str], quotas: dict[str, str] | None = None
) -> Path:
    """A root directory with /proc/self and files of cgroups, by path."""
    files = {
        "/proc/self/cgroup": cgroup,
        "/proc/self/mountinfo": "\n".join(
            ["22 1 8:1 / / rw - ext4 /dev/sda1 rw", "23 22 0:20 / /proc rw - proc proc rw", *mounts]
        ),
        **(quotas or {}),
    }
    for name, text in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


def v1_quota(cgroup: str, quota: int, period: int = 100_000) -> dict[str, str]:
    """The files of a cgroup of v1."""
    at = f"{_V1_MOUNT}{cgroup}/cpu.cfs_"
    return {f"{at}quota_us": str(quota), f"{at}period_us": str(period)}


@pytest.mark.parametrize(
    ("cpu_max", "granted"),
    [
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("30000 10000", 3),
        ("6400000 100000", 8),
        ("max 100000", 8),
    ],
)
def test_a_quota_of_v2(tmp_path: Path, cpu_max: str, granted: int) -> None:
    """Rounded down, but to one CPU at least, and never more than there are."""
    root = system(
        tmp_path,
        cgroup="0::/",  # as a container sees it
        mounts=[v2_mount()],
        quotas={f"{_V2_MOUNT}/cpu.max": cpu_max},
    )
    assert granted_cpus(root) == granted


@pytest.mark.parametrize(("quota", "granted"), [(300_000, 3), (-1, 8), (0, 1)])
def test_a_quota_of_v1(tmp_path: Path, quota: int, granted: int) -> None:
    root = system(
        tmp_path,
        cgroup="5:cpu,cpuacct:/service\n4:memory:/elsewhere\n0::/service",
        mounts=[v1_mount(), v2_mount(mount_point="/sys/fs/cgroup/unified")],
        quotas=v1_quota("/service", quota),
    )
    assert granted_cpus(root) == granted


@pytest.mark.parametrize(("outer", "middle", "inner"), [(2, 4, 6), (6, 2, 4), (4, 6, 2)])
def test_the_least_of_nested_quotas(tmp_path: Path, outer: int, middle: int, inner: int) -> None:
    def cpu_max(cgroup: str, cpus: int) -> dict[str, str]:
        return {f"{_V2_MOUNT}{cgroup}/cpu.max": f"{cpus * 100_000} 100000"}

    root = system(
        tmp_path / "v2",
        cgroup="0::/machine.slice/translation.service/replica",
        mounts=[v2_mount()],
        quotas=cpu_max("/machine.slice", outer)
        | cpu_max("/machine.slice/translation.service", middle)
        | cpu_max("/machine.slice/translation.service/replica", inner)
        | cpu_max("/machine.slice/another", 1),
    )
    assert granted_cpus(root) == 2
    root = system(
        tmp_path / "v1",
        cgroup="3:cpuacct,cpu:/a/b/c",
        mounts=[v1_mount()],
        quotas=v1_quota("/a", outer * 50_000, 50_000)
        | v1_quota("/a/b", middle * 100_000)
        | v1_quota("/a/b/c", inner * 100_000),
    )
    assert granted_cpus(root) == 2


def test_the_least_of_both_versions(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        cgroup="2:cpu:/old\n0::/new",
        mounts=[v1_mount(), v2_mount(mount_point="/sys/fs/cgroup/unified")],
        quotas=v1_quota("/old", 500_000) | {"/sys/fs/cgroup/unified/new/cpu.max": "300000 100000"},
    )
    assert granted_cpus(root) == 3


@pytest.mark.parametrize("mounted", ["/docker/0123", "/", "/docker/another"])
def test_a_container_that_sees_its_own_cgroup_only(tmp_path: Path, mounted: str) -> None:
    """Its path is the host's, of which nothing but its own part is mounted."""
    seen = {"/": "/docker/0123"}.get(mounted, "")
    root = system(
        tmp_path,
        cgroup="5:cpu,cpuacct:/docker/0123",
        mounts=[v1_mount(mounted)],
        quotas=v1_quota(seen, 200_000),
    )
    assert granted_cpus(root) == 2


def test_affinity_counts_where_it_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = system(
        tmp_path,
        cgroup="0::/",
        mounts=[v2_mount()],
        quotas={f"{_V2_MOUNT}/cpu.max": "400000 100000"},
    )
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {5, 7, 11})
    assert granted_cpus(root) == 3


@pytest.mark.parametrize(
    "cpu_max", ["", "100000", "many 100000", "100000 0", "-5 100000", "1 2 3", "³ 100000"]
)
def test_what_cannot_be_read_limits_nothing(tmp_path: Path, cpu_max: str) -> None:
    assert granted_cpus(tmp_path) == 8, "without /proc"
    broken = ["30 23 0:26", "", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2"]
    root = system(tmp_path, cgroup="0::/", mounts=[*broken, v2_mount()])
    (root / "sys/fs/cgroup").mkdir(parents=True)
    assert granted_cpus(root) == 8, "without quotas"
    (root / "sys/fs/cgroup/cpu.max").write_text(cpu_max, encoding="utf-8")
    assert granted_cpus(root) == 8


def test_the_kernel_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    ours = sorted(os.sched_getaffinity(0))
    assert 1 <= granted_cpus() <= len(ours)
    # A process of its own: affinity belongs to threads.
    told = subprocess.run(
        [
            sys.executable, "-c",
            f"import os; os.sched_setaffinity(0, {{{ours[-1]}}}); "
            "from model.engine.cpus import granted_cpus; print(granted_cpus())",
        ],
        cwd=Path(__file__).parents[4], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert told.stdout == "1\n"

"""How much memory there is, by machine and control group."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from service.hosting.memory_limit import free_memory, memory_limit
from tests.cgroup_files import system_with


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "700", "memory.max": "900"}, 700),
        ("0::/", {"memory.max": "900"}, 900),  # as a container sees it
        ("3:memory:/a\n0::/", {"memory/a/memory.limit_in_bytes": "500"}, 500),
        ("3:cpu:/a\n0::/", {"cpu/a/memory.limit_in_bytes": "500", "memory.max": "max"}, 1000),
    ],
)
def test_memory_is_what_the_cgroups_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], limit: int
) -> None:
    machine = psutil.virtual_memory()._replace(total=1000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    assert memory_limit(system_with(tmp_path, own, files)) == limit


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        ("0::/", {"memory.max": "max", "memory.current": "300"}, 800),
        ("0::/", {"memory.max": "900", "memory.current": "300"}, 600),
        (
            "0::/",
            {
                "memory.max": "900",
                "memory.current": "300",
                "memory.stat": "anon 100\ninactive_file 150",
            },
            750,
        ),
        ("0::/a", {"a/memory.max": "200", "a/memory.current": "250"}, 0),
        (
            "3:memory:/a\n0::/",
            {"memory/a/memory.limit_in_bytes": "500", "memory/a/memory.usage_in_bytes": "400"},
            100,
        ),
    ],
)
def test_what_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], left: int
) -> None:
    machine = psutil.virtual_memory()._replace(available=800)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    assert free_memory(system_with(tmp_path, own, files)) == left

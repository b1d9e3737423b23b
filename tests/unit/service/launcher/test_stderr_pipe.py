"""Standard error without what only means something to Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.launcher.stderr_pipe import is_marker

ROOT = Path(__file__).parents[4]

_WRITERS = """
import subprocess, sys
from service.launcher.stderr_pipe import filtered_stderr

say = "import os, sys; [os.write(2, (sys.argv[1] * 2000 + '\\\\n').encode()) for _ in range(200)]"
with filtered_stderr():
    children = [subprocess.Popen([sys.executable, "-c", say, letter]) for letter in "abc"]
    print(":job_id:01", file=sys.stderr)
    print("ours", file=sys.stderr)
    for child in children:
        child.wait()
print("after", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("line", "marker"),
    [
        (b":job_id:01000000\n", True),
        (b":actor_name:ServeReplica:polyhead:Gateway\n", True),
        (b"[2026-11-29 06:47:17,961 I 21883 21883] logging.cc:303: Set ray log level from", True),
        (
            b"[2026-11-29 06:47:19,502 C 21922 21956] (raylet) agent_manager.cc:87: Raylet",
            False,
        ),
        (b'{"level": "info", "message": ":job_id:"}\n', False),
        (b"\n", False),
    ],
)
def test_markers(line: bytes, marker: bool) -> None:
    assert is_marker(line) is marker


def test_lines_of_several_processes_stay_whole() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WRITERS], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    lines = ran.stderr.splitlines()
    assert lines[-1] == "after"
    assert sorted(set(lines[:-1])) == ["a" * 2000, "b" * 2000, "c" * 2000, "ours"]
    assert len(lines) == 602


def test_a_standard_error_that_nobody_reads_stops_nobody() -> None:
    program = (
        "import os, sys\n"
        "from service.launcher.stderr_pipe import filtered_stderr\n"
        "with filtered_stderr():\n"
        "    for _ in range(20_000):\n"
        "        os.write(2, b'x' * 999 + b'\\n')\n"
        "    print('done', flush=True)\n"
        "    os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
        finally:
            process.kill()

"""What a start took, from a stand-in for the service that prints and answers as that does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from loadtests import start_time
from loadtests.corpus import LoadTestError
from loadtests.start_time import Start, start_once

_SERVICE = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"translations": [{"text": sys.argv[3]}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

server = HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
print("Polyhead is ready after 3.2 s")
print("  start      1.00 s  Python, imports, checks")
print("  start     12.25 s  Ray")
print("Ctrl-C ends it.", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
"""


def test_times_a_start(tmp_path: Path) -> None:
    found = start_once(("-c", _SERVICE), ["Guten Abend."], tmp_path / "1")
    assert found.phases == {"Python, imports, checks": 1.0, "Ray": 12.25}
    assert found.ready == 3.2
    assert found.first_answer > 0
    assert found.cpu_seconds > 0


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (_SERVICE, r"must be 'Guten Abend.', but is \['Good evening.'\]"),
        ("raise SystemExit('no such model')", "but has not:\nno such model"),
    ],
)
def test_a_service_that_is_not_well_is_told(program: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=problem):
        start_once(("-c", program), ["Good evening."], tmp_path / "1")


def test_tells_medians_of_all_but_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([100.0, 3.0, 1.0, 2.0])
    asked: list[Sequence[str]] = []

    def start(program: Sequence[str], options: Sequence[str], folder: Path) -> Start:
        asked.append(options)
        took = next(seconds)
        return Start(phases={"Ray": took}, ready=took, first_answer=took + 1, cpu_seconds=took)

    monkeypatch.setattr(start_time, "start_once", start)
    start_time.measure(["--single-process"], runs=3)
    *table, line = capsys.readouterr().out.splitlines()
    cells = {row.split("|")[1].strip(): row.split("|")[2:5] for row in table}
    assert [float(cell) for cell in cells["Ray"]] == [2.0, 1.0, 3.0]
    assert [float(cell) for cell in cells["first answer"]] == [3.0, 2.0, 4.0]
    assert json.loads(line)["starts"]["Ray"]["rounds"] == [3.0, 1.0, 2.0]
    assert asked == [["--single-process"]] * 4

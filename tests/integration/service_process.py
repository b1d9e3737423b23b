"""`polyhead serve` as a process of its own, seen from outside: HTTP, signals and processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from service.launcher.ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 150.0
"""A busy machine takes its time."""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class ServiceProcess:
    """Started at once; `close` kills whatever it leaves behind, found by its session."""

    def __init__(
        self, folder: Path, *arguments: str, prelude: str = "", **environment: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / "stdout"
        self.errors = folder / "stderr"
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.process = start_polyhead(
                "serve",
                "--port",
                str(self.port),
                *arguments,
                output=output,
                errors=errors,
                folder=folder,
                environment={
                    # Tests send the same text again and again, and each is to be work.
                    "POLYHEAD_SEGMENT_CACHE_MIB": "0",
                    # A store as it comes: there is none before somebody stores something.
                    "POLYHEAD_STORE_URL": "",
                    "XDG_DATA_HOME": str(folder / "data"),
                    **environment,
                },
                prelude=prelude,
            )
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False, verify=False)

    def wait_until_ready(self) -> str:
        """The banner, which is the last thing that is printed before requests are served."""
        wait_for(
            lambda: "Ctrl-C" in self.output.read_text() or self.process.poll() is not None,
            START_SECONDS,
        )
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended instead:\n{self.errors.read_text()[-4000:]}")
        return self.output.read_text()

    def pids(self, title: str = "") -> list[int]:
        """Processes that it started whose title contains `title`."""
        found = processes(title, session=self.process.pid)
        return [pid for pid in found if pid != self.process.pid]

    def kill_one(self, title: str) -> None:
        """SIGKILL for one process with that title."""
        os.kill(min(self.pids(title)), signal.SIGKILL)

    def translate(self, *texts: str) -> httpx.Response:
        """A request over a connection of its own, so that each goes to any gateway.

        Here and elsewhere httpx reads no certificates: that takes longer than the request.
        """
        return httpx.post(
            f"{self.url}/v1/translate",
            json={"texts": list(texts), "source": "en", "target": "de"},
            timeout=60,
            trust_env=False,
            verify=False,
        )

    def samples(self) -> Samples:
        """One scrape; raises httpx.HTTPError when there is no answer."""
        response = httpx.get(f"{self.url}/metrics", timeout=30, trust_env=False, verify=False)
        response.raise_for_status()
        return parse_samples(response.text)

    def close(self) -> None:
        """Ends it the way a user does, and then whatever is left."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=30)
        for pid in [self.process.pid, *self.pids()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=30)


def start_polyhead(
    *arguments: str,
    output: IO[bytes] | int,
    errors: IO[bytes] | int,
    folder: Path,
    environment: dict[str, str] | None = None,
    prelude: str = "",
) -> subprocess.Popen[bytes]:
    """The command line as the console script runs it, from a folder that is not the project's.

    Args:
        prelude: what the program does first.
    """
    return subprocess.Popen(
        [sys.executable, "-c", f"{prelude}\nfrom service.cli import main; main()", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        start_new_session=True,
    )


def processes(title: str, session: int | None = None) -> list[int]:
    """Ids of the processes whose title contains `title`, of one session or of any."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if session in (None, os.getsid(process.pid)) and title in title_of(process.pid):
                found.append(process.pid)
    return found


def title_of(pid: int) -> str:
    """The command line of a process, or what it wrote there instead.

    Raises:
        psutil.NoSuchProcess: it has ended, also where nobody has asked for its status yet.
    """
    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.ZombieProcess(pid)
    return " ".join(process.cmdline())


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        title_of(pid)
        return True
    return False


def parse_samples(text: str) -> Samples:
    """The samples of a scrape."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples called `name` that have these labels."""
    return sum(
        value
        for (sample, found), value in samples.items()
        if sample == name and labels.items() <= dict(found).items()
    )


def replicas(samples: Samples, component: str) -> set[str]:
    """The processes of that kind in the scrape."""
    return {
        dict(labels)["replica"]
        for (name, labels), value in samples.items()
        if name == "polyhead_process_up" and dict(labels)["component"] == component and value == 1
    }


def wait_for(condition: Callable[[], object], seconds: float = 90.0) -> None:
    """Until `condition` is true; TimeoutError when it does not become so."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {condition}")
        time.sleep(pause)
        pause = min(2 * pause, 0.25)


def listening(pid: int) -> list[tuple[str, int]]:
    """(address, port) of every TCP socket on which a process listens.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    return [
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]

"""An image's service in a container: started as the image says, asked, and ended."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.image.buildah import Buildah

__all__ = ["ContainerService"]

_PORT = 8000
_PROGRAM = b"/opt/polyhead/bin/polyhead"
_LOOK_SECONDS = 0.05
_REQUEST_SECONDS = 60


class ContainerService:
    """Runs from the start on; `close` ends it, whatever it does.

    It has the network of whoever makes this object, and must be alone there: a container's service
    listens on the port of the image.
    """

    def __init__(
        self,
        buildah: Buildah,
        container: str,
        config: Mapping[str, Any],
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        self._buildah = buildah
        self._container = container
        self.output = folder / "stdout"
        """The file with what it prints."""
        self.errors = folder / "stderr"
        """The file with its log."""
        command = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        given = [f"--env={name}={value}" for name, value in environment.items()]
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.started_at = time.monotonic()
            self._process = subprocess.Popen(
                self._run(*given, command=command), stdout=output, stderr=errors
            )

    def _run(self, *options: str, command: Sequence[str]) -> list[str]:
        run = ("run", "--isolation", "chroot", *options, self._container, "--")
        return self._buildah.command(*run, *command)

    def execute(self, command: Sequence[str]) -> int:
        """The exit status of another command in the container."""
        run = self._run(command=command)
        return subprocess.run(run, timeout=_REQUEST_SECONDS, check=False).returncode

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer; status 0 if nobody listens."""
        with suppress(OSError, http.client.HTTPException), self.open(method, path, body) as answer:
            return answer.status, json.loads(answer.read() or "null")
        return 0, None

    def open(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> http.client.HTTPResponse:
        """An answer that is still to be read.

        Raises:
            OSError: nobody listens, or nobody answers.
        """
        connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=_REQUEST_SECONDS)
        content = None if body is None else json.dumps(body).encode()
        connection.request(method, path, content, {"Content-Type": "application/json"})
        return connection.getresponse()

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether a condition has come true in time, while the service runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self._process.poll() is not None:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    @staticmethod
    def cpu_seconds() -> float:
        """What its processes have computed until now, and those of buildah that started them."""
        ticks = 0
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and folder.name != "1":
                with suppress(OSError):
                    values = (folder / "stat").read_text().rpartition(")")[2].split()
                    # With what ended children had computed.
                    ticks += sum(map(int, values[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def user(self) -> int:
        """The id of the user as whom the service runs."""
        status = Path(f"/proc/{self._main()}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("Uid:")]
        return int(line.split()[2])

    def terminate(self) -> None:
        """Sends the service SIGTERM, as `docker stop` does."""
        os.kill(self._main(), signal.SIGTERM)

    def wait(self, seconds: float) -> int | None:
        """Its exit status; None if it has not ended in time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Kills what is left; all within this namespace of processes ends with its first one."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @staticmethod
    def leftover() -> list[str]:
        """What of the service still runs."""
        return [" ".join(map(os.fsdecode, words)) for _, words in _processes() if _is_ours(words)]

    @staticmethod
    def _main() -> int:
        """The first process of the service; not the one of buildah that waits for it.

        Raises:
            ValueError: there is none.
        """
        return min(
            pid for pid, words in _processes() if words[1:2] == [_PROGRAM] and b"python" in words[0]
        )


def _is_ours(words: Sequence[bytes]) -> bool:
    return any(b"/opt/polyhead/" in word or word.startswith(b"ray::") for word in words)


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Ids and command lines of all in this namespace of processes."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                yield int(folder.name), (folder / "cmdline").read_bytes().split(b"\0")

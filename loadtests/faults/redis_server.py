"""What Ray's head can keep its state in, so that another head goes on where it ended."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import ClassVar

from loadtests.processes import end, wait_for
from service.launcher.ports import free_port

__all__ = ["RedisServer"]

_START_SECONDS = 30.0


class RedisServer:
    """A Redis of our own, on loopback, with a password; in memory only."""

    PROGRAM: ClassVar[str] = "redis-server"
    """To be found on the PATH."""

    def __init__(self, folder: Path) -> None:
        """Comes back when it takes connections.

        Raises:
            RuntimeError: it did not start.
        """
        program = shutil.which(self.PROGRAM)
        if program is None:
            raise RuntimeError(f"{self.PROGRAM} must be on the PATH, but is not")
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.namespace = f"faults-{secrets.token_hex(4)}"
        """Prefix of this cluster's keys."""
        settings = (
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'save ""\nappendonly no\ndir {folder}\n'
        )
        with (folder / "redis").open("wb") as output:
            # Not as arguments, where everybody could read the password.
            self._process = subprocess.Popen(
                [program, "-"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        self._process.stdin.write(settings.encode())
        self._process.stdin.close()
        if not wait_for(self._listens, _START_SECONDS):
            self.close()
            raise RuntimeError("Redis did not start")

    @property
    def variables(self) -> dict[str, str]:
        """What Ray's head must find in its environment."""
        return {
            "RAY_REDIS_ADDRESS": f"127.0.0.1:{self.port}",
            "RAY_external_storage_namespace": self.namespace,
        }

    def close(self) -> None:
        """Ends it."""
        end(self._process, 0.0)

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True

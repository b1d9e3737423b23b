"""What the raylet starts for a worker: asks the fork server for one, and ends.

    fork_client.py SOCKET COMMAND...

Without an answer it becomes COMMAND itself, which is Ray's own. Run as a file, with little of the
standard library: it takes some hundredths of a second.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

__all__ = ["main"]

_ANSWER_SECONDS = 30.0
"""Half of what Ray gives a worker to register; then it starts another one."""


def main() -> None:
    """Hands all that a child would inherit to the server."""
    place, *command = sys.argv[1:]
    request = {
        "command": command,
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "blocked_signals": [*signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    }
    if not _is_started(place, json.dumps(request).encode()):
        os.execv(command[0], command)


def _is_started(place: str, request: bytes) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.settimeout(_ANSWER_SECONDS)
            server.connect(place)
            socket.send_fds(server, [request], [0, 1, 2])
            try:
                return bool(server.recv(16))
            except TimeoutError:
                # From here on a worker cannot tell that it has started, and so does not.
                server.shutdown(socket.SHUT_RD)
                return bool(server.recv(16))
    except OSError:
        return False


if __name__ == "__main__":
    main()

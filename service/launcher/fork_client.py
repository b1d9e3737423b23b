"""What the raylet starts for a worker: asks the fork server for one, and ends.

    fork_client.py SOCKET COMMAND...

Without a server it becomes COMMAND itself, which is Ray's own. Run as a file, with little of the
standard library: it takes some hundredths of a second.
"""

from __future__ import annotations

import json
import os
import socket
import sys

__all__ = ["main"]


def main() -> None:
    """Hands its command, environment, folder and standard streams to the server."""
    place, *command = sys.argv[1:]
    request = {"command": command, "environment": dict(os.environ), "directory": os.getcwd()}
    started = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.connect(place)
            socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
            started = server.recv(16)
    except OSError:
        pass
    if not started:
        os.execv(command[0], command)


if __name__ == "__main__":
    main()

"""A network of machines within this one: namespaces that a bridge joins, and cables to be pulled.

All of it, the bridge and its addresses included, is in namespaces of its own and ends with them:
nothing of this machine's network is touched. What keeps them, and what is started in them, ends
with the thread that started it, however that ends. It takes root, and the programs ip, nsenter,
mount, setpriv and unshare.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.processes import end

__all__ = ["PROGRAMS", "Machine", "Network"]

PROGRAMS = ("ip", "mount", "nsenter", "setpriv", "unshare")
"""To be found on the PATH."""
_CLONE_NEWNET = 0x40000000
_NET = "10.77.0."
"""The first 24 bits of all addresses; the first address is this process's."""
_SHARED_MEMORY = "256M"
_SECONDS = 30.0


@dataclass(eq=False)
class Machine:
    """A network and mounts of its own, with one cable to the bridge."""

    address: str
    cable: str
    """The bridge's end of it."""
    _holder: subprocess.Popen[bytes] = field(repr=False)
    """Keeps the namespaces, which end with the last process in them."""

    @property
    def command(self) -> list[str]:
        """What the command line of a process begins with that is to run there."""
        inside = ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", "--"]
        # Ray's nodes end their processes by themselves.
        return [*_ends_with_parent("TERM"), *inside]

    def run(self, *command: str) -> None:
        """Runs a program there; CalledProcessError if it fails."""
        _run(*self.command, *command)

    def pull(self) -> None:
        """Pulls the cable: what is sent is lost, and nobody is told."""
        _run("ip", "link", "set", self.cable, "down")

    def plug(self) -> None:
        """Puts it back."""
        _run("ip", "link", "set", self.cable, "up")

    def close(self) -> None:
        """Ends what keeps it; its processes are their owner's affair."""
        end(self._holder, 0.0)


class Network:
    """A bridge, and this thread with all that it starts beside it, until it is closed."""

    def __init__(self) -> None:
        """Raises OSError where namespaces are refused."""
        self._machines: list[Machine] = []
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _checked(_libc().unshare(_CLONE_NEWNET))
        try:
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", "bridge", "type", "bridge")
            _run("ip", "address", "add", f"{_NET}1/24", "dev", "bridge")
            _run("ip", "link", "set", "bridge", "up")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends all machines, and takes this thread back to where it was. Idempotent."""
        for machine in self._machines:
            machine.close()
        self._machines = []
        if self._outside >= 0:
            _checked(_libc().setns(self._outside, _CLONE_NEWNET))
            os.close(self._outside)
            self._outside = -1

    def add(self, own_folders: Sequence[Path]) -> Machine:
        """One more machine.

        Args:
            own_folders: which are empty there, and which no other machine sees; all others are
                those of this machine, as if they were mounted from a server.
        """
        number = len(self._machines) + 2
        stay = ["unshare", "--net", "--mount", "sh", "-c", "echo there; exec sleep infinity"]
        holder = subprocess.Popen(
            [*_ends_with_parent("KILL"), *stay],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        machine = Machine(f"{_NET}{number}", f"cable{number}", holder)
        self._machines.append(machine)
        assert holder.stdout is not None
        with holder.stdout as told:
            told.readline()
        peer = ["peer", "name", "eth0", "netns", str(holder.pid)]
        _run("ip", "link", "add", machine.cable, "type", "veth", *peer)
        _run("ip", "link", "set", machine.cable, "master", "bridge", "up")
        machine.run("ip", "address", "add", f"{machine.address}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            machine.run("ip", "link", "set", interface, "up")
        for folder in ("/dev/shm", *map(str, own_folders)):
            machine.run("mount", "-t", "tmpfs", "-o", f"size={_SHARED_MEMORY}", "tmpfs", folder)
        return machine


def _ends_with_parent(signal_name: str) -> list[str]:
    """What a command line begins with whose process gets a signal when this thread ends."""
    return ["setpriv", f"--pdeathsig={signal_name}", "--"]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=_SECONDS)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

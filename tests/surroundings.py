"""Surroundings for a process of its own: namespaces, mounts, limits and a user, as machines have
them on which it has never run.

A test hands `Surroundings.prelude` to the process, which puts itself there before anything else;
`inside` then reaches into its network.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

__all__ = ["Surroundings", "enter", "inside", "refused", "sent_away"]

_T = TypeVar("_T")
_ROOT = Path(__file__).parents[1]
_NOBODY = 54_321
"""A user of whom /etc/passwd says nothing."""
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND = 1, 32, 4096
_MS_REC, _MS_PRIVATE, _MS_RELATIME = 16384, 1 << 18, 1 << 21
_PR_SET_DUMPABLE = 4
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_KERNELS = ("/proc", "/sys", "/dev")
"""Mounts that stay writable: what is there is no disk."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a process finds; all that is not given is as here."""

    writable: str | None = None
    """The only folder on a disk that can be written to: 64 MB in memory."""
    small_disks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Folders that are file systems of a size, such as "2M"."""
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Files that have another content here, such as /etc/hosts: from folder to file."""
    network: bool = True
    """False: loopback alone."""
    user: int | None = None
    """A user, and group, by id."""
    open_files: int | None = None
    processes: int | None = None
    """Limits, which cannot be raised."""
    shared_memory: str | None = None
    """Size of /dev/shm."""

    @property
    def prelude(self) -> str:
        """The beginning of a program that is to run there."""
        given = vars(self) | {"small_disks": dict(self.small_disks), "files": dict(self.files)}
        return (
            "from tests.surroundings import Surroundings, enter\n"
            f"enter(Surroundings(**{given!r}))\n"
        )


def refused() -> str:
    """Why processes of this user may not be put anywhere; empty where they may."""
    tried = Surroundings(network=False, shared_memory="1M", user=_NOBODY).prelude
    tried += "import service.settings\n"  # which a folder that only root may enter would hide
    ran = subprocess.run(
        [sys.executable, "-c", tried], cwd=_ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    lines = ran.stderr.splitlines() or [""]
    return f"namespaces are refused here: {lines[-1]}" if ran.returncode else ""


def enter(found: Surroundings) -> None:
    """Puts this process there, for good.

    Raises:
        OSError: that is refused.
    """
    flags = _CLONE_NEWNS | (0 if found.network else _CLONE_NEWNET)
    _checked(_libc().unshare(flags), "unshare")
    _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)
    if not found.network:
        _raise_loopback()
    if found.shared_memory is not None:
        _mount("tmpfs", "/dev/shm", kind="tmpfs", data=f"size={found.shared_memory},mode=1777")
    if found.user is not None:
        _open_to_all([_ROOT, Path(sys.prefix), Path(sys.base_prefix)])
    for file, content in found.files.items():
        _mount(content, file, flags=_MS_BIND)
    if found.writable is not None:
        _make_read_only()
        _mount("tmpfs", found.writable, kind="tmpfs", data="size=64M,mode=1777")
    for folder, size in found.small_disks.items():
        _mount("tmpfs", folder, kind="tmpfs", data=f"size={size},mode=1777")
    for limit, value in (
        (resource.RLIMIT_NOFILE, found.open_files),
        (resource.RLIMIT_NPROC, found.processes),
    ):
        if value is not None:
            resource.setrlimit(limit, (value, value))
    if found.user is not None:
        os.chdir("/")  # which others may enter, unlike a folder of pytest's
        os.setgroups([])
        os.setresgid(*[found.user] * 3)
        os.setresuid(*[found.user] * 3)
        # Else its own files in /proc would not be its own.
        _checked(_libc().prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def _mount(source: str, target: str, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    words = [None if not word else word.encode() for word in (source, target, kind, data)]
    result = _libc().mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    _checked(result, f"mount on {target}")


def _open_to_all(folders: Sequence[Path]) -> None:
    """Lets every user enter folders, though they may be within one that only root may enter.

    Such a one is empty but for them.
    """
    hidden: dict[Path, list[tuple[Path, int]]] = {}
    for folder in folders:
        closed = [each for each in folder.parents[::-1] if not each.stat().st_mode & 0o001]
        if closed:
            opened = os.open(folder, os.O_PATH)
            hidden.setdefault(closed[0], []).append((folder, opened))
    for outer, inner in hidden.items():
        _mount("tmpfs", str(outer), kind="tmpfs", data="size=1M,mode=755")
        for folder, opened in inner:
            folder.mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{opened}", str(folder), flags=_MS_BIND)
            os.close(opened)


def _make_read_only() -> None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4].encode().decode("unicode_escape")
        if not place.startswith(_KERNELS):
            with contextlib.suppress(FileNotFoundError):  # hidden by a later mount
                _mount("none", place, flags=_MS_REMOUNT | _MS_BIND | _MS_RDONLY)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def inside(pid: int, call: Callable[[], _T]) -> _T:
    """The result of a call in the network of a process; what it starts is there, too."""
    answers: list[_T] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            with open(f"/proc/{pid}/ns/net", "rb") as namespace:
                _checked(_libc().setns(namespace.fileno(), _CLONE_NEWNET), "setns")
            answers.append(call())
        except BaseException as error:
            problems.append(error)

    # Of a thread, for which the namespace counts alone.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return answers[0]


def sent_away(pid: int) -> dict[str, int]:
    """What was tried to be sent from a network without a way out, by the kernel's counters.

    Connections and datagrams to where there is no route, and datagrams, such as questions for an
    address, to a port of this machine where nobody listens. Those of zero are left out.
    """
    counters: dict[str, int] = {}
    lines = Path(f"/proc/{pid}/net/snmp").read_text().splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        kind = names.partition(":")[0]
        counters |= {
            f"{kind}{name}": int(value)
            for name, value in zip(names.split()[1:], values.split()[1:], strict=True)
        }
    for line in Path(f"/proc/{pid}/net/snmp6").read_text().splitlines():
        name, value = line.split()
        counters[name] = int(value)
    watched = ("IpOutNoRoutes", "Ip6OutNoRoutes", "UdpNoPorts", "Udp6NoPorts")
    return {name: counters[name] for name in watched if counters[name]}

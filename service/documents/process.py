"""Documents read and written by a process of their own, with bounded memory and time.

What a file does to its reader, it does to that process alone. `python -m service.documents.process`
gets one task, a pickle, at its standard input; its answer begins with a byte that says what it is.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from model.text_options import TextFormat
from service.documents import errors
from service.documents.document import DocumentOptions, Unit
from service.documents.errors import DamagedDocumentError, DocumentError, DocumentTooLargeError

__all__ = ["DocumentProcess", "ReaderLostError"]

_UNITS, _FILE, _ERROR = b"U", b"F", b"E"
_WALL = 10
"""Times the CPU time that a process may take in all, on a machine that is busy."""
_NICENESS = 10
_PR_SET_PDEATHSIG = 1
"""Linux's constant; see prctl(2)."""


class ReaderLostError(Exception):
    """The process ended before it was done, and not for what it was given."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    format: str
    data: bytes
    options: DocumentOptions
    translations: Sequence[str] | None


@dataclass(frozen=True, kw_only=True)
class DocumentProcess:
    """Starts such processes. Its methods block: call them on a thread."""

    max_memory_bytes: int
    """Address space of one."""
    max_seconds: int
    """CPU time of one."""

    def units(self, format: str, data: bytes, options: DocumentOptions) -> list[Unit]:
        """What is translated of a file.

        Args:
            format: name of its format.
            data: the file.
            options: what is asked of it.

        Raises:
            DocumentError: as of `DocumentFormat.read`, or it takes too much memory or time.
            ReaderLostError: the process was killed.
        """
        task = _Task(format=format, data=data, options=options, translations=None)
        units = json.loads(self._run(task, _UNITS))
        return [Unit(text, TextFormat(kind)) for text, kind in units]

    def written(
        self, format: str, data: bytes, options: DocumentOptions, translations: Sequence[str]
    ) -> bytes:
        """The file with translations, one for each unit; raises as `units` does."""
        task = _Task(format=format, data=data, options=options, translations=translations)
        return self._run(task, _FILE)

    def _run(self, task: _Task, expected: bytes) -> bytes:
        limits = str(self.max_memory_bytes), str(self.max_seconds), str(os.getpid())
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "service.documents.process", *limits],
                input=pickle.dumps(task), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=environment, timeout=_WALL * self.max_seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise self._too_slow() from None
        kind, content = done.stdout[:1], done.stdout[1:]
        if kind == expected:
            return content
        if kind == _ERROR:
            name, message = json.loads(content)
            raise getattr(errors, name)(message)
        if done.returncode in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
            raise self._too_slow()
        if done.returncode in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT):
            raise DamagedDocumentError(
                f"the document must be a .{task.format} file, but is damaged"
            )
        raise ReaderLostError(f"the reader of a document ended with {done.returncode}")

    def _too_slow(self) -> DocumentTooLargeError:
        return DocumentTooLargeError(
            f"the document must be read and written within {self.max_seconds} s, but takes longer"
        )


def _answer(task: _Task) -> bytes:
    from service.documents.formats import DOCUMENT_FORMATS

    [found] = [each for each in DOCUMENT_FORMATS if each.name == task.format]
    document = found.read(task.data, task.options)
    if task.translations is not None:
        return _FILE + document.written(task.translations)
    return _UNITS + json.dumps([[unit.text, unit.format] for unit in document.units]).encode()


def _end_with(parent: int) -> None:
    """Has this process killed when the one that waits for it ends, however that does."""
    if sys.platform == "linux":
        # It is the end of the parent's thread that counts, which waits until this process ends.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def _main(max_memory_bytes: int, max_seconds: int, parent: int) -> None:
    _end_with(parent)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (max_seconds, max_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = _answer(pickle.load(sys.stdin.buffer))
    except DocumentError as error:
        answer = _ERROR + json.dumps([type(error).__name__, str(error)]).encode()
    except MemoryError:
        problem = f"the document must take at most {max_memory_bytes >> 20} MiB, but takes more"
        answer = _ERROR + json.dumps([DocumentTooLargeError.__name__, problem]).encode()
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    # The task was made with the classes of the module by its name.
    from service.documents import process

    process._main(*map(int, sys.argv[1:]))

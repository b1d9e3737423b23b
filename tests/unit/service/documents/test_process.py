"""The process that reads a document ends with the one that waits for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil

_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_GATEWAY = """
import os, threading, psutil
from service.documents.document import DocumentOptions
from service.documents.process import DocumentProcess

process = DocumentProcess(max_memory_bytes=2**30, max_seconds=60)
data = b"[%b1]" % (b"[]," * 2_000_000)
threading.Thread(target=process.units, args=("json", data, DocumentOptions())).start()
readers = []
while not readers or readers[0].rlimit(psutil.RLIMIT_AS)[0] != 2**30:
    readers = psutil.Process().children()
readers[0].suspend()  # it would never end by itself
print(readers[0].pid, flush=True)
os._exit(1)
"""


def _is_running(pid: int) -> bool:
    # Nobody may be there who waits for an orphan.
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_reader_ends_with_its_gateway() -> None:
    command = [sys.executable, "-c", _GATEWAY]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=_SECONDS, check=False)
    reader = int(done.stdout)
    try:
        deadline = time.monotonic() + _SECONDS
        while _is_running(reader):
            assert time.monotonic() < deadline, "the reader outlives who waits for it"
            time.sleep(_LOOK_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(reader, signal.SIGKILL)

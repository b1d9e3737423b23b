"""UTF-8 for arguments, files' names and output, where the locale knows ASCII alone.

In the locale C, with PYTHONUTF8=0 and PYTHONCOERCECLOCALE=0, Python can neither read a text with an
umlaut from the command line, nor print one, nor open a file whose name has one.
"""

from __future__ import annotations

import os
import sys

__all__ = ["require_utf8"]


def require_utf8() -> None:
    """Starts this program once more in Python's UTF-8 mode, if its file names are ASCII's.

    What it starts in turn, such as Ray's workers, inherits that. To be called before anything else.
    """
    if sys.getfilesystemencoding() != "ascii" or sys.flags.utf8_mode:
        return
    os.environ["PYTHONUTF8"] = "1"
    # The first -X utf8 counts, also where -X utf8=0 or -I sets the variable aside.
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])

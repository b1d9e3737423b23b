"""`polyhead serve --open`: the page in the user's browser."""

from __future__ import annotations

import sys
import threading
import webbrowser

__all__ = ["open_browser"]


def open_browser(url: str) -> None:
    """Opens the URL beside what this process does, since some browsers end only with their user."""
    threading.Thread(target=_open, args=(url,), name="browser", daemon=True).start()


def _open(url: str) -> None:
    if not webbrowser.open(url):
        print(f"--open: no browser was found here; open {url} in yours", file=sys.stderr)

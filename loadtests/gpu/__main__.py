"""`python -m loadtests.gpu`: all stages; with a stage's name, that stage in this process."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from loadtests.bench.machine import commit, read_hardware, versions
from loadtests.bench.models import RANDOM_MODELS, BenchModel
from loadtests.gpu.rates import offer_cublas_12
from loadtests.gpu.stages import Figures, as_json_line, as_text, run_stage
from model.engine.cpus import granted_cpus

_TESTS = ("tests/unit/model/engine/cuda/kernels", "tests/unit/model/engine/cuda")
_RESERVE = 8.0
"""Seconds for the report."""
_KERNELS_SECONDS = 100
_SECONDS = {
    "agreement": 100, "steps": 80, "throughput": 90, "alone": 45, "online": 60, "peers": 200,
}  # fmt: skip
"""The most that each stage may take, in the order of what must be known first. The last takes what
is left: CTranslate2 may have to compile its kernels first."""


def main() -> int:
    """Returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.gpu", description=__doc__)
    parser.add_argument("stage", nargs="?", choices=list(_SECONDS), help="only this one, here")
    parser.add_argument("--output", type=Path, help="folder for the figures")
    parser.add_argument("--seconds", type=float, default=525.0, help="most of everything's time")
    parser.add_argument("--text", type=Path, help="`source<TAB>reference` lines, for BLEU")
    arguments = parser.parse_args()
    output = arguments.output or Path(tempfile.mkdtemp(prefix="polyhead-gpu-"))
    output.mkdir(parents=True, exist_ok=True)
    if arguments.stage:
        figures = Figures(output / f"{arguments.stage}.json")
        wrong = _work(arguments.stage, figures, arguments.text)
        print("\n".join(wrong), file=sys.stderr)
        return int(bool(wrong))
    return _all_stages(output, arguments.seconds, arguments.text)


def _all_stages(output: Path, seconds: float, text: Path | None) -> int:
    deadline = time.monotonic() + seconds - _RESERVE
    hardware = read_hardware(range(granted_cpus()), "cuda")
    environment = {name: hardware[name] for name in ("gpus", "cpu", "cores")}
    environment |= {"versions": versions(), "commit": commit()}
    print(environment, flush=True)
    # Kernels are compiled, not interpreted.
    os.environ["TRITON_INTERPRET"] = "0"
    outcomes = {
        name: run_stage(
            name,
            command,
            output / f"{name}.json",
            at_most=min(_SECONDS.get(name, _KERNELS_SECONDS), deadline - time.monotonic()),
        )
        for name, command in commands(output, text).items()
    }
    table, line = as_text(outcomes), as_json_line(outcomes, environment)
    (output / "table.txt").write_text(table + "\n", encoding="utf-8")
    (output / "result.json").write_text(line + "\n", encoding="utf-8")
    print(table, line, sep="\n\n")
    return int(any(outcome["error"] is not None for outcome in outcomes.values()))


def commands(output: Path, text: Path | None) -> dict[str, list[str]]:
    """By stage: the tests of the kernels, then every stage of `_SECONDS`."""
    pytest = [
        # Its own settings: those of the project want plug-ins that nothing here needs.
        *(sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", "-q"),
        *("-o", "pythonpath=.", "--import-mode=importlib", "-p", "no:cacheprovider"),
        *("--ignore", f"{_TESTS[0]}/test_compilation.py", *_TESTS),
    ]
    if find_spec("xdist"):
        pytest += ["-n", "6"]
    given = ["--output", str(output), *(["--text", str(text)] if text else [])]
    return {"kernels": pytest} | {
        name: [sys.executable, "-m", "loadtests.gpu", name, *given] for name in _SECONDS
    }


def _work(stage: str, figures: Figures, text: Path | None) -> list[str]:
    """Does one stage's work in this process, and says what is wrong.

    What a stage needs is imported here: if it cannot be, that stage fails, and no other.
    """
    from loadtests.gpu import rates
    from loadtests.gpu.agreement import cuda_runner

    if stage == "agreement":
        from loadtests.gpu.agreement import check_agreement

        wrong = check_agreement(cuda_runner, figures, model=BenchModel.named("embedded", seed=0))
        return wrong + (rates.compare_dtypes(figures, text) if text else [])
    if stage == "steps":
        from loadtests.gpu.step_times import Ceilings, measure_steps

        ceilings = Ceilings.measured()
        figures.record("copy_bytes_per_second", ceilings.bytes_per_second)
        figures.record("product_flops", ceilings.flops)
        # 256 positions, and a bias to keep targets from ending
        config = replace(RANDOM_MODELS["paper-base"], max_positions=256, projection_bias=True)
        measure_steps(cuda_runner, figures, config, ceilings)
        return []
    if stage == "peers":
        with tempfile.TemporaryDirectory() as links:
            if not offer_cublas_12(Path(links)):
                print("no cuBLAS was found: CTranslate2 will not run", flush=True)
            return rates.measure_peers(figures)
    rates.measure(stage, rates.RATES[stage], figures)
    return []


if __name__ == "__main__":
    sys.exit(main())

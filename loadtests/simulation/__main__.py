"""Runs all scenarios and writes what came out: `python -m loadtests.simulation [--out FOLDER]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from loadtests.simulation.report import write_report

FOLDER = Path(__file__).parent


def main() -> None:
    """Takes about a minute on one core; the same seed gives the same figures."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.simulation", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="where REPORT.md and plots go")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    write_report(folder)


if __name__ == "__main__":
    main()

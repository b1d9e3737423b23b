"""`python -m loadtests.simulation [--out FOLDER]`: runs all scenarios and writes the report."""

from __future__ import annotations

import argparse
from pathlib import Path

from loadtests.simulation.report import REPORT, write_report

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m loadtests.simulation", description=__doc__)
    parser.add_argument("--out", type=Path, default=REPORT.parent, help="for REPORT.md and plots")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    write_report(folder)

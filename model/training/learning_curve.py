"""`python -m model.training.learning_curve METRICS... --output FILE.png`: plots runs of training.

The metrics of runs that begin with each other's weights are given in their order, and drawn as one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "main"]

_Series = tuple[list[float], list[float]]
"""Millions of target tokens, and what was measured there."""


def main() -> None:
    """Draws the plot."""
    parser = argparse.ArgumentParser(
        prog="python -m model.training.learning_curve", description=__doc__
    )
    parser.add_argument("metrics", nargs="+", type=Path, help="metrics.jsonl of a run")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    draw([_records(path) for path in options.metrics]).savefig(options.output)


def draw(runs: list[list[dict[str, Any]]]) -> Figure:
    """Loss above, BLEU of each validation file below, over the target tokens of all runs."""
    # Training itself runs where there is no matplotlib.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.4), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    tokens, loss = _loss(runs)
    above.plot(tokens, loss, linewidth=0.8)
    above.set_ylabel("loss, smoothed labels")
    for name, (seen, bleu) in sorted(_bleu(runs).items()):
        below.plot(seen, bleu, marker=".", label=name)
    below.set(ylabel="BLEU, greedy", xlabel="million target tokens")
    below.legend()
    for begin in _begins(runs)[1:]:
        for axes in (above, below):
            axes.axvline(begin / 1e6, color="grey", linewidth=0.8, linestyle=":")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    return figure


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _begins(runs: list[list[dict[str, Any]]]) -> list[int]:
    """Target tokens of all runs before each."""
    begins = [0]
    for run in runs:
        last = [r["target_tokens"] for r in run if r["kind"] == "update"][-1]
        begins.append(begins[-1] + last)
    return begins[:-1]


def _loss(runs: list[list[dict[str, Any]]]) -> _Series:
    updates = [
        (begin + record["target_tokens"], record["loss"])
        for begin, run in zip(_begins(runs), runs, strict=True)
        for record in run
        if record["kind"] == "update"
    ]
    return [tokens / 1e6 for tokens, _ in updates], [loss for _, loss in updates]


def _bleu(runs: list[list[dict[str, Any]]]) -> dict[str, _Series]:
    found: dict[str, _Series] = {}
    for begin, run in zip(_begins(runs), runs, strict=True):
        tokens_at = {r["step"]: r["target_tokens"] for r in run if r["kind"] == "update"}
        for record in (r for r in run if r["kind"] == "valid" and r["step"] in tokens_at):
            for name, bleu in record["bleu"].items():
                tokens, values = found.setdefault(name, ([], []))
                tokens.append((begin + tokens_at[record["step"]]) / 1e6)
                values.append(bleu)
    return found


if __name__ == "__main__":
    main()

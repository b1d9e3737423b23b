"""Runs that follow on each other are one curve."""

import subprocess
import sys

import numpy as np

from model.training.learning_curve import draw


def test_runs_are_drawn_one_behind_the_other() -> None:
    def update(step: int, loss: float) -> dict:
        return {"kind": "update", "step": step, "loss": loss, "target_tokens": step * 10_000}

    def valid(step: int, bleu: float) -> dict:
        return {"kind": "valid", "step": step, "bleu": {"dev": bleu}}

    start = {"kind": "start", "step": 0}
    first = [start, update(50, 8.0), valid(50, 1.0), update(100, 6.0), valid(100, 5.0)]
    second = [start, update(50, 5.0), valid(50, 7.0), valid(60, 9.0)]  # nobody counted at 60
    above, below = draw([first, second]).axes
    loss, begin = above.get_lines()
    np.testing.assert_allclose(loss.get_xydata(), [[0.5, 8], [1, 6], [1.5, 5]])
    np.testing.assert_allclose(begin.get_xdata(), [1, 1])
    np.testing.assert_allclose(below.get_lines()[0].get_xydata(), [[0.5, 1], [1, 5], [1.5, 7]])


def test_what_trains_needs_no_matplotlib() -> None:
    script = (
        "import sys, model.training.trainer, model.training.learning_curve; "
        "raise SystemExit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

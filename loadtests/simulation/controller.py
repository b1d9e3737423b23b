"""What autoscaling costs Ray Serve's controller, which is one process with one event loop.

Measured with Ray 2.60.0 and the policy of this project, one core of an AMD EPYC (2 cores, in use
by others), 2026-11-22: reports as replicas and handles send them, five samples of five values each,
handed to the controller's own autoscaling state outside of an actor, the best of several times; and
the CPU time that an actor spends on a call of 390 bytes besides.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CALL_SECONDS", "CONTROLLER_COSTS", "QUESTIONS_PER_SECOND", "ControllerCost"]

CALL_SECONDS = 300e-6
"""CPU time of an actor for a call that comes in among many; 650e-6 if it comes alone."""
QUESTIONS_PER_SECOND = 10.0
"""Serve asks the policy in each round of its control loop, 0.1 s after the one before."""


class ControllerCost(NamedTuple):
    """Seconds of one core for each event, with so many replicas and gateways."""

    replicas: int
    gateways: int
    replica_report: float
    """Unpacked and kept."""
    handle_report: float
    question: float
    """Serve adds up the requests of all reports, whatever the policy then says."""
    decision: float
    """A question to which the policy gives a new answer, once a second."""

    def share_of_a_core(self, report_seconds: float) -> float:
        """How busy the controller is with autoscaling, 0 to 1; more cannot be done."""
        reports = (
            self.replicas * (self.replica_report + CALL_SECONDS)
            + self.gateways * (self.handle_report + CALL_SECONDS)
        ) / report_seconds
        return reports + (QUESTIONS_PER_SECOND - 1) * self.question + self.decision


CONTROLLER_COSTS = (
    ControllerCost(10, 2, 17e-6, 38e-6, 0.05e-3, 0.19e-3),
    ControllerCost(100, 1, 17e-6, 58e-6, 0.09e-3, 0.39e-3),
    ControllerCost(100, 10, 16e-6, 50e-6, 0.16e-3, 0.49e-3),
    ControllerCost(1000, 1, 19e-6, 215e-6, 0.53e-3, 4.4e-3),
    ControllerCost(1000, 10, 21e-6, 278e-6, 3.8e-3, 8.0e-3),
    ControllerCost(1000, 100, 19e-6, 277e-6, 22.9e-3, 27.8e-3),
)

"""How fast a run is, and how many steps fit into its time."""

from __future__ import annotations

import time

MEASURED = 10
"""Steps that are timed where a time budget decides on the number of steps."""

UNTIMED = 2
"""First steps, which also ask for memory and choose algorithms, and say little about the later ones."""


class Pace:
    """Time the steps of a run.

    Parameters
    ----------
    seconds
        Time that the run has taken before, where it resumes.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._start = time.monotonic() - seconds
        self._steps = 0
        self._timed_from = self._latest = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time of the run up to now [s]."""
        return time.monotonic() - self._start

    def tick(self) -> None:
        """Count a step that is finished."""
        self._steps += 1
        self._latest = time.monotonic()
        if self._steps == UNTIMED:
            self._timed_from = self._latest

    @property
    def step_s(self) -> float:
        """Mean time of a step [s]; 0 before there is one to time."""
        return (self._latest - self._timed_from) / max(1, self._steps - UNTIMED) if self._steps > UNTIMED else 0.0

    def is_known(self, budget_s: float) -> bool:
        """Tell whether steps enough are timed, or a tenth of the budget is gone, to fix the number of steps."""
        timed = self._steps - UNTIMED
        return timed >= MEASURED or (timed >= 1 and self.seconds > 0.1 * budget_s)

    def steps_within(self, budget_s: float, done: int, validation_s: float, validations: int) -> int:
        """Return the number of steps that end with the budget, at least those done and one more.

        Parameters
        ----------
        budget_s
            Time of the whole run [s].
        done
            Steps done so far.
        validation_s
            Time of one validation [s].
        validations
            How many of them a run has where it is long enough.
        """
        left = budget_s - self.seconds
        steps = int(left / (self.step_s + validation_s))  # while there are few, each one is followed by a validation
        if steps > validations:
            steps = max(validations, int((left - validations * validation_s) / self.step_s))
        return done + max(1, steps)

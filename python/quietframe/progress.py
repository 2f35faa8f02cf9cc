"""How long work tells whoever asked for it how far it is.

A function that takes long takes ``progress: Progress = silent`` and calls it as ``progress(message, done, total)``;
the command line renders it with the time left, the Fiji side as ImageJ's progress bar, tests record it.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receive the state of long work."""

    def __call__(self, message: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of the work named `message` are finished."""


def silent(message: str, done: int, total: int) -> None:
    """Report nothing."""

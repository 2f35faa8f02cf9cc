"""When the memory is not enough for a batch: how to tell, what to say, and which batch fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..errors import OptionError

LARGEST = 16
"""Where the search for a batch that fits starts."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that there is not enough memory; on a CPU torch raises a plain RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "not enough memory")
    )


def largest_batch(attempt: Callable[[int], None], start: int = LARGEST) -> int:
    """Return the first of `start`, half of it, ... with which `attempt` does not run out of memory; at last 1."""
    size = start
    while size > 1:
        try:
            attempt(size)
            return size
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size //= 2
    return size


@contextmanager
def explained(batch_size: int, patch: tuple[int, ...]) -> Iterator[None]:
    """Turn running out of memory into an error that says what would fit.

    Parameters
    ----------
    batch_size
        Patches per step.
    patch
        Size of a patch [px].

    Raises
    ------
    OptionError
        When the block runs out of memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        given = f"--batch-size {batch_size} with patches of {' x '.join(map(str, patch))} px"
        advice = f"--batch-size {batch_size // 2}, or --batch-size auto" if batch_size > 1 else "a smaller --patch-px"
        raise OptionError(f"out of memory: {given} does not fit; start again (--overwrite) with {advice}") from error

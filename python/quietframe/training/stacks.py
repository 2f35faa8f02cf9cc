"""Training data in memory or on disk behind one way to ask for it: a shape, a type, and regions by index."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Stack(Protocol):
    """An array, or what can be asked like one without being in memory.

    Shape (N, C, Y, X) or (N, C, Z, Y, X); an index is a tuple of integers and of slices without a step, as long as the
    shape or shorter.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        """Return a region as an array."""

"""Corrections of the reads before the fit, as they are read: reference pixels, then linearity; signed, never clipped.

Saturated reads are found before anything is changed, and marked by a number above every level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import OptionError
from .quality import border_pixels
from .reads import Reads

ABOVE_ALL = 1e30
"""What a saturated read becomes [ADU]."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Linearity:
    """A camera that shows ``v = q (1 - a2 u - a3 u^2)``, ``u = q / full well``, of a charge q.

    Parameters
    ----------
    a2, a3
        Coefficients.
    full_well_e
        Electrons.
    gain_e_per_adu
        e-/ADU.
    black_adu
        Digital number of an empty well.
    """

    a2: float
    a3: float
    full_well_e: float
    gain_e_per_adu: float
    black_adu: float

    @classmethod
    def of(cls, coefficients: Sequence[float], camera: Camera) -> Linearity:
        """Take the coefficients with what the camera must tell.

        Raises
        ------
        OptionError
            For other than one or two coefficients, a curve that does not rise up to the full well, or a camera without
            full well, gain or black level.
        """
        if not 1 <= len(coefficients) <= 2 or not np.isfinite(coefficients).all():
            raise OptionError(f"linearity takes one or two numbers a2,a3; got {','.join(map(str, coefficients))}")
        a2, a3 = float(coefficients[0]), float(coefficients[1]) if len(coefficients) == 2 else 0.0
        missing = [name for name in ("full_well_e", "gain_e_per_adu", "black_adu") if getattr(camera, name) is None]
        if missing:
            raise OptionError(
                f"linearity needs {', '.join(missing)} of the camera; give --{missing[0].replace('_', '-')}"
            )
        fill = np.linspace(0.0, 1.0, 101)
        if (1.0 - 2.0 * a2 * fill - 3.0 * a3 * fill**2).min() <= 0.0:
            raise OptionError(f"linearity a2={a2:g}, a3={a3:g} does not rise up to the full well: it has no inverse")
        known = camera.known()
        return cls(a2, a3, known["full_well_e"], known["gain_e_per_adu"], known["black_adu"])

    def invert(self, reads_adu: NDArray[Any]) -> Floats:
        """Return the digital numbers a linear camera would show; above the full well the curve goes on as a line."""
        shown = (np.asarray(reads_adu, np.float64) - self.black_adu) * (self.gain_e_per_adu / self.full_well_e)
        top = 1.0 - self.a2 - self.a3
        slope_at_top = 1.0 - 2.0 * self.a2 - 3.0 * self.a3
        inside = np.clip(shown, -0.5, top)
        fill = inside.copy()
        for _ in range(6):  # Newton: each step doubles the digits; the start is right to a few per cent
            fill -= (fill * (1.0 - self.a2 * fill - self.a3 * fill**2) - inside) / (
                1.0 - 2.0 * self.a2 * fill - 3.0 * self.a3 * fill**2
            )
        fill += np.where(shown > top, (shown - top) / slope_at_top, np.minimum(shown + 0.5, 0.0))
        return np.asarray(fill * (self.full_well_e / self.gain_e_per_adu) + self.black_adu)


@dataclass(frozen=True)
class Reference:
    """A rectangle of pixels that see no light; their median is taken off, row by row where it spans all rows.

    Parameters
    ----------
    x, y, width, height
        In pixels, from the upper left corner.
    """

    x: int
    y: int
    width: int
    height: int

    def check(self, shape: tuple[int, int]) -> None:
        """Refuse a rectangle that is empty or not inside the image."""
        right, bottom = self.x + self.width, self.y + self.height
        inside = min(self.x, self.y) >= 0 and right <= shape[1] and bottom <= shape[0]
        if self.width < 1 or self.height < 1 or not inside:
            raise OptionError(
                f"reference {self.x},{self.y},{self.width},{self.height} does not lie inside the image of "
                f"{shape[1]} x {shape[0]} pixels (x,y,width,height)"
            )


@dataclass(frozen=True)
class Border:
    """Reference pixels along all four edges; their median over the whole read is taken off, which adds no row noise.

    Parameters
    ----------
    width
        In pixels.
    """

    width: int

    def check(self, shape: tuple[int, int]) -> None:
        """Refuse a border that is empty or leaves no pixel inside."""
        if self.width < 1 or 2 * self.width >= min(shape):
            raise OptionError(f"a reference border of {self.width} pixels does not fit {shape[1]} x {shape[0]} pixels")


class Corrected:
    """Reads with corrections, worked out when asked for; a source for `Reads`.

    Parameters
    ----------
    reads
        As stored.
    saturation_adu
        Stored numbers above this are saturated.
    reference
        Reference pixels, or None.
    linearity
        The camera's curve, or None.
    """

    def __init__(
        self, reads: Reads, saturation_adu: float, reference: Reference | Border | None, linearity: Linearity | None
    ) -> None:
        if reference is not None:
            reference.check((reads.shape[1], reads.shape[2]))
        self._reads, self._level, self._reference, self._linearity = reads, saturation_adu, reference, linearity
        self._common: dict[int, float] = {}

    def as_reads(self) -> Reads:
        """Return them as reads, float32."""
        return Reads(self, self._reads.shape, np.float32, row_source=self)

    def plane(self, index: int) -> NDArray[np.float32]:
        """Return one corrected read, shape (Y, X)."""
        return self.rows(index, 0, self._reads.shape[1])

    def rows(self, plane: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows ``start:stop`` of one corrected read."""
        stored = self._reads.rows(start, stop, plane, plane + 1)[0]
        with np.errstate(invalid="ignore"):
            saturated = stored > self._level
        values = stored.astype(np.float64)
        if self._reference is not None:
            values -= self._shared(plane, values, start)
        if self._linearity is not None:
            values = self._linearity.invert(values)
        values[saturated] = ABOVE_ALL
        return np.asarray(values, np.float32)

    def _shared(self, plane: int, values: Floats, start: int) -> Floats | float:
        """Return what the reference pixels show beyond what they showed in the first read."""
        box = self._reference
        assert box is not None
        if isinstance(box, Border):
            return self._of_border(plane, box.width)
        columns = slice(box.x, box.x + box.width)
        if box.height == self._reads.shape[1]:
            first = self._reads.rows(start, start + len(values), 0, 1)[0][:, columns]
            return np.asarray(np.median(values[:, columns] - first, axis=1, keepdims=True))
        if plane not in self._common:
            both = [
                self._reads.rows(box.y, box.y + box.height, index, index + 1)[0][:, columns].astype(np.float64)
                for index in (0, plane)
            ]
            self._common[plane] = float(np.median(both[1] - both[0]))
        return self._common[plane]

    def _of_border(self, plane: int, width: int) -> float:
        if plane not in self._common:
            edge = border_pixels(self._reads.shape[1:], width)
            change = self._reads.plane(plane)[edge].astype(np.float64) - self._reads.plane(0)[edge]
            change = change[np.isfinite(change)]
            self._common[plane] = float(np.median(change)) if change.size else 0.0
        return self._common[plane]

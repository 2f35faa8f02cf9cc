"""Give a picture's noise one standard deviation before a filter that assumes that, and take it back without bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import unknown
from ..noise_models.poisson_gaussian import NoiseLine, estimate_line, line_of_camera
from ..noise_models.stabilisation import Stabilisation

KINDS = ("image", "camera")
"""Where the noise parameters come from."""


@dataclass(frozen=True)
class LineStabiliser:
    """Anscombe's transform for a noise whose variance is a line; noise has the standard deviation 1 after `forward`.

    Parameters
    ----------
    line
        Variance against mean [ADU].
    """

    line: NoiseLine

    @property
    def note(self) -> str:
        """Where the noise parameters come from, and what they are."""
        black, read = self.line.dark
        level = f"black level {black:.4g} ADU, read noise {read:.4g} ADU"
        more = "".join(f"; {note}" for note in self.line.notes)
        return f"noise from {self.line.source}: {self.line.text} ({level}){more}"

    def forward(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the image with noise of standard deviation 1; any shape [ADU]."""
        return self._transform.forward(image)

    def inverse(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return a denoised result of `forward` in ADU, by the exact unbiased inverse."""
        return self._transform.inverse(image)

    @property
    def _transform(self) -> Stabilisation:
        black, read = self.line.dark
        return Stabilisation(self.line.slope, read, black)


def make_stabiliser(
    kind: str, camera: Camera | None = None, planes: Sequence[NDArray[Any]] | NDArray[Any] = ()
) -> LineStabiliser:
    """Return what stabilises the noise of a picture.

    Parameters
    ----------
    kind
        ``image``: estimated from the planes; ``camera``: from gain, read noise and black level.
    camera
        What is known of the camera.
    planes
        One plane (Y, X) or some planes of the picture; needed for ``image`` only.

    Raises
    ------
    OptionError
        For another kind, and a camera without gain.
    InputError
        When the planes do not tell their noise.
    """
    if kind == "camera":
        return LineStabiliser(line_of_camera(camera or Camera()))
    if kind != "image":
        raise unknown("stabilisation", kind, KINDS)
    return LineStabiliser(estimate_line(planes))

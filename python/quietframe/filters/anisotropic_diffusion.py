"""Let brightness flow between neighbours, the less the more they differ: Perona-Malik diffusion.

Use it when flat areas shall become flat while edges stay, or get sharper: outlines, interfaces, segmentation after it.
Gradients turn into steps when it runs long, and single noisy pixels far above kappa never go.

Each step adds ``time_step * sum c(d) d`` over the differences d to the four neighbours, with the conductance
``exp(-(d / kappa)^2)`` (exponential: strong edges first) or ``1 / (1 + (d / kappa)^2)`` (rational: wide areas first);
nothing flows through the image's border, so that its mean stays. Time steps up to 0.25 are stable: no new maxima or
minima arise. The noise left over by pure diffusion for a time t = steps x time_step is that after a Gaussian blur of
sigma ``sqrt(2 t)`` px. Without --kappa it is --strength times the noise. Computed in single precision. ImageJ's
"Anisotropic Diffusion 2D" is another filter (curvature-preserving).

References
----------
Perona & Malik 1990, "Scale-space and edge detection using anisotropic diffusion", IEEE PAMI 12, equations 7-8 and
section V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..kernels.edge_preserving import diffuse
from ..kernels.noise_sigma import noise_sigma_or_estimate
from ..kernels.options import require_noise_sigma, require_number, require_one_of, require_whole
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
GRID = {"steps": (5, 10, 20, 40), "strength": (1.0, 1.5, 2.0, 3.0)}


@dataclass(frozen=True)
class Settings:
    """Options of the Perona-Malik diffusion.

    Parameters
    ----------
    steps
        How many steps; a pixel looks that many pixels far.
    strength
        Differences of this many times the noise count as an edge.
    kappa
        The same in the unit of the image, instead of --strength.
    conductance
        exponential or rational.
    time_step
        Length of a step, above 0 to 0.25.
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    """

    steps: int = 20
    strength: float = 1.5
    kappa: float | None = None
    conductance: Literal["exponential", "rational"] = "exponential"
    time_step: float = 0.2
    noise_sigma: float | None = None

    def __post_init__(self) -> None:
        require_whole("steps", self.steps, 0, 10_000)
        require_number("strength", self.strength, 0, 1000)
        if self.kappa is not None:
            require_number("kappa", self.kappa, 0, 1e30)
        require_one_of("conductance", self.conductance, ("exponential", "rational"))
        require_number("time_step", self.time_step, 1e-6, 0.25)
        require_noise_sigma(self.noise_sigma)


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far brightness flows along Y and X [px]."""
    return (settings.steps, settings.steps)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the image after diffusion.

    Parameters
    ----------
    image
        YX.
    settings
        Options.

    Returns
    -------
    ndarray
        float32, same shape. Without noise (0 given, or estimated of a constant image) the pixels themselves.
    """
    pixels = require_pixels(image, AXES).astype(np.float32)
    kappa = settings.kappa
    if kappa is None:
        kappa = settings.strength * noise_sigma_or_estimate(settings.noise_sigma, pixels)
    # Below the smallest steps between values of the image nothing flows.
    if kappa <= float(np.spacing(np.abs(pixels).max())) / 16:
        return pixels
    rational = settings.conductance == "rational"
    return diffuse(pixels, kappa, steps=settings.steps, time_step=settings.time_step, rational=rational)

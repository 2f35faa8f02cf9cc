"""Group blocks that look alike and filter each group in three dimensions: BM3D, two passes, free to use.

Use it when the noise is additive with one sigma everywhere (or stabilised, ``--stabilise``) and time is not short: the
best of the classical filters on texture, edges and repeating detail. What occurs once, fainter than the noise, is lost.

Reference blocks of 8 x 8 px stand 3 px apart; blocks like them are looked for within 39 x 39 px, by full search. First
pass: up to 16 blocks, biorthogonal wavelet bior1.5 and Haar along the group, coefficients below 2.67 sigma set to zero.
Second pass: up to 32 blocks, found on the first result, cosine transform and Haar, an empirical Wiener filter. Blocks
overlap in a Kaiser window (2.0). As in 2007, with these differences: likeness is measured in units of the noise, so
that scaling an image scales the result; noise that blocks share is counted exactly in every coefficient (2020); the
mean of a group is never shrunk, so that adding a constant to an image adds it to the result.

Correlated noise (widefield cameras with interpolation, rescaled pictures): its correlation is measured on the picture
itself and used in both passes and in the search. ``auto`` does so where neighbours share 0.3 of their noise or more.

Images narrower than 8 px are continued by mirroring. Where the noise is 0 the image comes back as it is. ``--engine
reference`` runs the authors' `bm3d` package where it is installed: closed, licensed for non-commercial use only.

References
----------
Dabov, Foi, Katkovnik & Egiazarian 2007, "Image denoising by sparse 3-D transform-domain collaborative filtering", IEEE
Transactions on Image Processing 16, doi 10.1109/TIP.2007.901238.
Lebrun 2012, "An analysis and implementation of the BM3D image denoising method", IPOL 2, doi 10.5201/ipol.2012.l-bm3d.
Mäkinen, Azzari & Foi 2020, "Collaborative filtering of correlated noise: exact transform-domain variance for improved
shrinkage and patch matching", IEEE Transactions on Image Processing 29, doi 10.1109/TIP.2020.3014721.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..kernels.block_transforms import possible_correlation, share_in_finest_diagonal
from ..kernels.noise_sigma import estimate_noise_sigma
from ..kernels.options import require_noise_sigma, require_one_of
from ..kernels.pixels import require_pixels

AXES = "YX"
NOISE = "gaussian"
STEP = 3  # reference blocks begin at every third pixel: where a picture is cut into blocks, those do too
GRID: dict[str, tuple[Any, ...]] = {}


class LicenceWarning(UserWarning):
    """What the licence of the reference engine allows."""


@dataclass(frozen=True)
class Settings:
    """Settings of BM3D.

    Parameters
    ----------
    noise_sigma
        Standard deviation of the noise in the unit of the image; estimated from the image when not given.
    stage
        both, or hard: the first pass alone, in a third of the time.
    correlated
        Whether neighbouring pixels share noise: no, yes (measured on the image), or auto (where it is significant).
    engine
        own, or reference: the closed `bm3d` package, white noise only.
    """

    noise_sigma: float | None = None
    stage: Literal["both", "hard"] = "both"
    correlated: Literal["auto", "yes", "no"] = "auto"
    engine: Literal["own", "reference"] = "own"

    def __post_init__(self) -> None:
        require_noise_sigma(self.noise_sigma)
        require_one_of("stage", self.stage, ("both", "hard"))
        require_one_of("correlated", self.correlated, ("auto", "yes", "no"))
        require_one_of("engine", self.engine, ("own", "reference"))
        if self.engine == "reference" and self.correlated == "yes":
            raise OptionError("engine reference is run for white noise only; got correlated yes: use engine own")


def halo(settings: Settings) -> tuple[int, ...] | None:
    """Return how far both searches and their blocks reach: 45 px in each pass."""
    return (90, 90) if settings.stage == "both" else (45, 45)


def apply(image: NDArray[Any], settings: Settings) -> NDArray[np.float32]:
    """Filter one plane (Y, X); return float32 of the same shape."""
    pixels = require_pixels(image, AXES).astype(np.float64)
    correlation = np.ones((1, 1)) if settings.engine == "reference" else _correlation(pixels, settings.correlated)
    noise = noise_sigma(pixels, settings) if settings.noise_sigma is None else settings.noise_sigma
    offset = pixels.mean()
    if noise <= 1e-6 * np.abs(pixels - offset).max():  # beyond what single precision tells apart
        return pixels.astype(np.float32)
    scaled = ((pixels - offset) / noise).astype(np.float32)
    if settings.engine == "reference":
        done = _reference(scaled, settings.stage)
    else:
        from ..kernels.bm3d_engine import bm3d as own

        done = own(scaled, correlation, wiener=settings.stage == "both")
    return np.asarray(done * noise + offset, dtype=np.float32)


def noise_sigma(image: NDArray[Any], settings: Settings) -> float:
    """Return the noise that is estimated where none is given: once for a picture that is filtered in blocks."""
    # What is estimated is the noise of the finest details, of which correlated noise has less.
    share = share_in_finest_diagonal(_correlation(image.astype(np.float64), settings.correlated))
    return float(estimate_noise_sigma(image) / max(share, 1e-3) ** 0.5)


def _correlation(pixels: NDArray[np.float64], asked: str) -> NDArray[np.float64]:
    """Return the correlation of the noise, (1, 1) where it is taken for white."""
    from ..metrics.noise_correlation import noise_correlation

    white = np.ones((1, 1))
    if asked == "no":
        return white
    try:
        found = noise_correlation(pixels)
    except InputError:  # too small, or no noise to be seen
        if asked == "yes":
            raise
        return white
    return possible_correlation(found.values) if asked == "yes" or found.significant else white


def _reference(scaled: NDArray[np.float32], stage: str) -> NDArray[Any]:
    """Run the `bm3d` package on an image whose noise is 1."""
    try:
        import bm3d
    except ImportError as error:
        raise OptionError(
            "engine reference needs the `bm3d` package, licensed for non-commercial only: pip install bm3d, or take own"
        ) from error
    _say_licence()
    stages = bm3d.BM3DStages.ALL_STAGES if stage == "both" else bm3d.BM3DStages.HARD_THRESHOLDING
    # It measures likeness as if pixels went from 0 to 1: hand it about that range, whatever the unit was.
    extent = float(np.ptp(scaled)) or 1.0
    small = np.pad(scaled, [(0, max(0, 8 - n)) for n in scaled.shape], mode="symmetric").astype(np.float64) / extent
    done: NDArray[Any] = bm3d.bm3d(small, 1 / extent, stage_arg=stages)[: scaled.shape[0], : scaled.shape[1]]
    return done * extent


@cache
def _say_licence() -> None:
    text = "engine reference is the closed `bm3d` package: its licence allows non-commercial use only, with citation"
    warnings.warn(text, LicenceWarning, stacklevel=4)

"""Run one filter over one plane, volume or time series, whatever its pixels are.

What a filter itself refuses is settled here: pixels that are NaN or infinite are kept apart from the others, photon
noise is given one standard deviation everywhere first where that is wanted, and warnings become notes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..filters import load_filter
from ..kernels.pixels import as_pixels

_IMAGEJ_TYPES = ("uint8", "uint16", "float32")


class Stabiliser(Protocol):
    """What gives photon noise one standard deviation, and takes that back."""

    @property
    def note(self) -> str:
        """Where its noise parameters come from, and what they are."""

    def forward(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the image with noise of standard deviation 1."""

    def inverse(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return a denoised image in the unit of the picture, without bias."""


@dataclass(frozen=True)
class Filtered:
    """What came of filtering.

    Parameters
    ----------
    pixels
        The filtered pixels, shape as the input; type as the filter returns it.
    non_finite
        Pixels of the input that are NaN or infinite.
    notes
        Sentences for the user.
    """

    pixels: NDArray[Any]
    non_finite: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """A filter with its settings, ready to run.

    Parameters
    ----------
    name
        As `quietframe.filters.filter_names` lists it.
    module
        Its file, imported.
    settings
        An instance of its ``Settings``.
    stabiliser
        What gives the noise one standard deviation first; None to filter the pixels as they are.
    """

    name: str
    module: Any
    settings: Any
    stabiliser: Stabiliser | None = None

    @property
    def axes(self) -> str:
        """What it works on: YX, ZYX or TYX."""
        return "ZYX" if getattr(self.settings, "dimensions", 2) == 3 else str(self.module.AXES)

    @property
    def halo(self) -> tuple[int, ...] | None:
        """Pixels per axis that an output pixel depends on; None for the whole picture."""
        far = self.module.halo(self.settings)
        return None if far is None else tuple(int(size) for size in far)

    @property
    def step(self) -> int:
        """Pixels from one place to the next where the filter starts anew: its optional ``STEP``; blocks begin there."""
        return int(getattr(self.module, "STEP", 1))

    def result_type(self, dtype: Any) -> np.dtype[Any]:
        """Return the type of the result for pixels of a type: ImageJ's filters keep it, others give float32."""
        if self.stabiliser is None and hasattr(self.module, "IMAGEJ"):
            return as_pixels(np.zeros(1, dtype)).dtype
        return np.dtype(np.float32)


def make_filter(name: str, settings: Any = None, stabiliser: Stabiliser | None = None) -> Filter:
    """Import a filter and check its settings against the stabiliser.

    Parameters
    ----------
    name
        As `quietframe.filters.load_filter` takes it.
    settings
        An instance of its ``Settings``, a mapping, or a dataclass with the same fields; None for the usual ones.
    stabiliser
        For filters that assume noise of one standard deviation. A ``noise_sigma`` that is not set becomes 1.

    Raises
    ------
    OptionError
        For an unknown filter, a setting that cannot be, and a stabiliser where the filter does not want one.
    """
    module = load_filter(name)
    values = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else dict(settings or {})
    chosen = settings if isinstance(settings, module.Settings) else module.Settings(**values)
    short = module.__name__.rpartition(".")[2]
    if stabiliser is not None:
        require_gaussian(Filter(short, module, chosen))
        if getattr(chosen, "noise_sigma", 1.0) is None:
            chosen = replace(chosen, noise_sigma=1.0)
    return Filter(short, module, chosen, stabiliser)


def require_gaussian(job: Filter) -> None:
    """Refuse to stabilise the noise for a filter that does not assume one sigma.

    Raises
    ------
    OptionError
        With what to do.
    """
    if job.module.NOISE != "gaussian":
        raise OptionError(
            f"{job.name.replace('_', '-')} does not assume noise of one sigma: there is nothing to stabilise; leave "
            "--stabilise out, or take a filter whose noise is gaussian in `quietframe filter list`"
        )


def filter_pixels(
    image: NDArray[Any], name: str, settings: Any = None, *, stabiliser: Stabiliser | None = None
) -> Filtered:
    """Filter one plane, volume or time series.

    Parameters
    ----------
    image
        Axes of the filter (YX, ZYX or TYX); integers, real numbers or bool. Pixels that are NaN or infinite are filled
        by their nearest neighbour for the filter, and are NaN in the result; with them, where the filter is a plain
        window, every pixel whose window (the box of its halo) holds one.
    name, settings, stabiliser
        As `make_filter`.

    Returns
    -------
    Filtered
        uint8, uint16 or float32 as the input for filters that are ImageJ's, else float32.

    Raises
    ------
    InputError
        When no pixel is finite, the axes are not the filter's, or the pixels are no real numbers.
    OptionError
        As `make_filter`.

    Examples
    --------
    >>> spotted = np.ones((5, 5))
    >>> spotted[2, 2] = 9
    >>> float(filter_pixels(spotted, "median", {"radius": 1.0}).pixels[2, 2])
    1.0
    """
    job = make_filter(name, settings, stabiliser)
    pixels = plain_pixels(image)
    done = run_filter(pixels, job)
    if done.non_finite == pixels.size > 0:
        raise InputError(f"none of the {pixels.size} pixels is finite: there is nothing to filter")
    notes = (*type_notes(np.asarray(image).dtype), *missing_notes(done.non_finite, pixels.size, job), *done.notes)
    return Filtered(done.pixels, done.non_finite, notes)


def plain_pixels(image: NDArray[Any]) -> NDArray[Any]:
    """Return the image as uint8, uint16 or float32; what is beyond float32 becomes infinite."""
    with np.errstate(over="ignore"):
        return as_pixels(image)


def type_notes(dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Say what becomes of a type that filters do not have."""
    if dtype == np.bool_:
        return ("the pixels are true and false: filtered as 255 and 0",)
    return () if dtype.name in _IMAGEJ_TYPES else (f"{dtype.name} pixels are filtered as float32",)


def missing_notes(count: int, size: int, job: Filter) -> tuple[str, ...]:
    """Say how many pixels are NaN or infinite, and what becomes of them."""
    if not count:
        return ()
    far = job.halo if getattr(job.module, "WINDOW", False) else None
    around = f" and around them up to {max(far)} px" if far and max(far) else ""
    return (f"{count} of {size} pixels are NaN or infinite: the result is NaN there{around}",)


def run_filter(pixels: NDArray[Any], job: Filter) -> Filtered:
    """Filter pixels of a type that filters have; where none is finite, the result is NaN."""
    missing = _missing(pixels)
    count = 0 if missing is None else int(np.count_nonzero(missing))
    if missing is not None and count == pixels.size:
        return Filtered(np.full(pixels.shape, np.nan, np.float32), count)
    source = pixels if missing is None else _filled(pixels, missing)
    with _noted() as notes:
        if job.stabiliser is None:
            result = job.module.apply(source, job.settings)
        else:
            result = job.stabiliser.inverse(job.module.apply(job.stabiliser.forward(source), job.settings))
    if result.shape != pixels.shape:
        raise ValueError(f"{job.name} made {result.shape} of {pixels.shape}")
    if missing is not None:
        result = result.astype(np.float32)
        result[_spread(missing, job)] = np.nan
    return Filtered(result, count, tuple(notes))


def fill_missing(pixels: NDArray[Any]) -> NDArray[Any]:
    """Put the nearest finite pixel in the place of each that is not; the same array where all are, or none is."""
    missing = _missing(pixels)
    return pixels if missing is None or missing.all() else _filled(pixels, missing)


def _missing(pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where pixels are NaN or infinite; None when all are finite."""
    if pixels.dtype.kind != "f":
        return None
    # One sum finds every NaN and infinity; only then are the pixels looked at one by one.
    with np.errstate(invalid="ignore"):
        if math.isfinite(float(pixels.sum(dtype=np.float64))):
            return None
    missing = ~np.isfinite(pixels)
    return missing if missing.any() else None


def _filled(pixels: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Put the nearest pixel that is finite in the place of each that is not."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled: NDArray[Any] = pixels[tuple(nearest)]
    return filled


def _spread(missing: NDArray[np.bool_], job: Filter) -> NDArray[np.bool_]:
    """Return where the result is unknown: the missing pixels, and for a window every pixel that sees one."""
    from scipy.ndimage import maximum_filter1d

    far = job.halo if getattr(job.module, "WINDOW", False) else None
    spread = missing.view(np.uint8)
    for axis, size in enumerate(far or ()):
        reach = min(size, missing.shape[axis])
        if reach:
            spread = maximum_filter1d(spread, 2 * reach + 1, axis=axis, mode="constant")
    result: NDArray[np.bool_] = spread.astype(bool)
    return result


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Collect what the filter warns the user of; all other warnings go on."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield notes
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            notes.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

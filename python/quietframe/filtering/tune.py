"""Choose a filter and its settings without truth: every candidate on one part of the picture, best first.

The candidates of a filter are the products of its ``GRID``. Where the noise grows with brightness, filters that assume
one sigma everywhere are tried with a stabilised variance only.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..filters import filter_names, load_filter
from ..noise_models.poisson_gaussian import NoiseLine
from ..progress import Progress, silent
from .run import filter_pixels, make_filter
from .stabilise import LineStabiliser
from .tune_judges import Judge

USUAL = ("gaussian_blur", "median", "non_local_means", "total_variation", "wavelet", "wiener", "bm3d")
"""Filters that are tried when none are named."""
DEPENDENT = 1.5
"""Variance of the brightest pixels over that of the darkest ones, from which noise counts as signal-dependent."""


@dataclass(frozen=True)
class Candidate:
    """A filter with settings.

    Parameters
    ----------
    name
        As `quietframe.filters.filter_names` lists it.
    settings
        Options that differ from the usual ones.
    stabilised
        Whether the noise is given one standard deviation first.
    """

    name: str
    settings: dict[str, Any]
    stabilised: bool = False

    @property
    def text(self) -> str:
        """Name and options as they are typed."""
        options = "".join(f" --{key.replace('_', '-')} {value}" for key, value in self.settings.items())
        return self.name.replace("_", "-") + options


@dataclass(frozen=True)
class Tried:
    """What became of a candidate: the mean squared error without truth, seconds for the part, and the result."""

    candidate: Candidate
    error: float
    seconds: float
    result: NDArray[Any]


def planes_filters() -> tuple[str, ...]:
    """Return the filters that work on planes and have a grid, or are among the usual ones."""
    kept = []
    for name in filter_names():
        module = load_filter(name)
        if module.AXES == "YX" and (module.GRID or name in USUAL):
            kept.append(name)
    return tuple(kept)


def candidates(methods: Sequence[str], *, stabilised: bool) -> list[Candidate]:
    """Return the candidates of some filters.

    Parameters
    ----------
    methods
        Names of filters; ``all`` for all of `planes_filters`; none for the usual ones.
    stabilised
        Whether filters that assume noise of one sigma get a stabilised variance.

    Raises
    ------
    OptionError
        For an unknown filter, and one that does not work on planes.
    """
    names = [name for name in USUAL if name in filter_names()] if not methods else list(methods)
    if names == ["all"]:
        names = list(planes_filters())
    found = []
    modules = {module.__name__.rpartition(".")[2]: module for module in map(load_filter, names)}
    for short, module in modules.items():
        if module.AXES != "YX":
            raise OptionError(f"{short} works on {module.AXES}; only filters of planes are tuned")
        for values in itertools.product(*module.GRID.values()):
            settings = dict(zip(module.GRID, values, strict=True))
            found.append(Candidate(short, settings, stabilised and module.NOISE == "gaussian"))
    return found


def depends_on_signal(line: NoiseLine, plane: NDArray[Any]) -> bool:
    """Say whether the noise of a picture grows with its brightness."""
    dark, bright = line.variance(np.percentile(plane, (1.0, 99.5)))
    return bool(bright > DEPENDENT * dark)


def liveliest(plane: NDArray[Any], side: int) -> tuple[slice, slice]:
    """Return the part of a plane with most structure, `side` px a side where the plane is that large.

    Parameters
    ----------
    plane
        (Y, X), finite.
    side
        [px]; at least 32.
    """
    from scipy.ndimage import gaussian_filter

    if side < 32:
        raise OptionError(f"the part that filters are tuned on needs 32 px a side or more; got {side}")
    smooth = gaussian_filter(np.asarray(plane, np.float64), 2.0)
    height, width = (min(side, size) for size in plane.shape)
    step = max(1, side // 4)
    starts = [
        sorted({*range(0, size - part + 1, step), size - part})
        for size, part in zip(plane.shape, (height, width), strict=True)
    ]
    top, left = max(
        itertools.product(*starts), key=lambda at: float(smooth[at[0] : at[0] + height, at[1] : at[1] + width].std())
    )
    return slice(top, top + height), slice(left, left + width)


def tune(
    plane: NDArray[Any],
    given: Sequence[Candidate],
    judge: Judge,
    *,
    stabiliser: LineStabiliser | None = None,
    progress: Progress = silent,
) -> list[Tried]:
    """Judge every candidate.

    Parameters
    ----------
    plane
        Noisy plane (Y, X), finite: what the judge was made of.
    given
        Candidates, as `candidates` returns them.
    judge
        Tells the error.
    stabiliser
        For the candidates that ask for one.
    progress
        Told about every candidate.

    Returns
    -------
    list of Tried
        Best first.

    Raises
    ------
    InputError
        When there are no candidates.
    """
    if not given:
        raise InputError("none of the filters has candidates to try; see GRID in `quietframe filter list`")
    tried = []
    noisy = np.asarray(plane, np.float32)
    for done, candidate in enumerate(given):
        progress(f"tuning: {candidate.text}", done, len(given))
        with_stabiliser = stabiliser if candidate.stabilised else None
        make_filter(candidate.name, candidate.settings, with_stabiliser)

        def denoise(
            pixels: NDArray[np.float32],
            candidate: Candidate = candidate,
            with_stabiliser: LineStabiliser | None = with_stabiliser,
        ) -> NDArray[Any]:
            return filter_pixels(pixels, candidate.name, candidate.settings, stabiliser=with_stabiliser).pixels

        start = time.perf_counter()
        result = denoise(noisy)
        seconds = time.perf_counter() - start
        tried.append(Tried(candidate, judge.error(denoise), seconds, result))
    progress("tuning", len(given), len(given))
    return sorted(tried, key=lambda one: one.error)

"""Run a network over one plane or one volume, tile by tile, with all of its channels and outputs.

Axes are C(Z)YX here. What is read and what comes out may lie in files (`quietframe.inference.scratch`); in memory are
one tile and its activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from .processing import apply_steps
from .runner import Runner
from .scratch import Scratch, is_large, release
from .tiles import Span, TileSize, plan_tiles, tile_sides

Array = NDArray[np.float32]
Report = Callable[[int, int], None]


def denoise_array(
    array: NDArray[Any],
    runner: Runner,
    *,
    tile: TileSize = "auto",
    name: str = "the picture",
    report: Report = lambda done, total: None,
    scratch: Scratch | None = None,
) -> list[Array]:
    """Denoise one plane or volume with all of its channels.

    Parameters
    ----------
    array
        Axes CYX, or CZYX for a network of volumes; raw counts, any real type; computed as float32.
    runner
        The network.
    tile
        As `quietframe.inference.tiles.plan_tiles`.
    name
        What to call the picture in an error.
    report
        Called with the number of tiles done, and of all.
    scratch
        Makes the arrays of the results; in memory where None.

    Returns
    -------
    list of ndarray
        One per output of the network, axes like `array`, float32.

    Raises
    ------
    InputError
        When a pixel is NaN or infinite, the picture does not have the network's channels or is smaller than its
        minimum, or the network fails.
    OptionError
        When `tile` is too small, or the network does not say what context its tiles need.
    """
    package = runner.package
    check_channels(runner, array.shape[0])
    require_finite(array, name)
    plan = plan_tiles(array.shape[1:], allowed_tile(tile, runner), package.halo, package.step, package.minimum)
    source = array
    if package.preprocessing:
        source = apply_steps(package.preprocessing, array.astype(np.float32)[np.newaxis])[0]
    results = _run_tiles(source, runner, plan, Job(name, report, scratch or Scratch(None)))
    if package.postprocessing:
        results[0][...] = apply_steps(package.postprocessing, results[0][np.newaxis])[0]
    return results


@dataclass(frozen=True)
class Job:
    """What to call a picture, whom to tell about its tiles, and what makes the arrays of its results."""

    name: str
    report: Report
    scratch: Scratch


def allowed_tile(tile: TileSize, runner: Runner) -> TileSize:
    """Return the tile to use: others' networks that declare no context are run in one shot.

    Raises
    ------
    OptionError
        When tiles were asked for by a number and the network does not declare the context they need.
    """
    package = runner.package
    if any(package.halo) or package.kind == "quietframe":
        return tile
    if tile in ("auto", None, 0):
        return 0
    raise OptionError(
        f"tile {tile}: {package.path} does not declare the context (halo) its tiles need, so tiles would leave "
        "seams; use --tile 0 (the whole picture at once)"
    )


def sides_for(shape: Sequence[int], tile: TileSize, runner: Runner) -> int | list[int]:
    """Return the sides of the tiles of a picture, as `brief` gives them; 0 for one shot."""
    package = runner.package
    sides = tile_sides(shape, allowed_tile(tile, runner), package.halo, package.step, package.minimum)
    return brief(sides) if any(sides) else 0


def brief(sizes: Sequence[int]) -> int | list[int]:
    """Return the sizes of a square plane as one number, all others as a list."""
    return sizes[0] if len(sizes) == 2 and sizes[0] == sizes[1] else list(sizes)


def check_channels(runner: Runner, channels: int) -> None:
    """Refuse a picture with another number of channels than the network takes.

    Raises
    ------
    InputError
        With both numbers.
    """
    wanted = runner.channels
    if wanted not in (None, channels):
        raise InputError(
            f"{runner.package.path} takes {wanted} channels at once; this picture has {channels}; give one with "
            f"{wanted} channels (axis C), or a model that takes one channel"
        )


def require_finite(array: NDArray[Any], name: str) -> None:
    """Refuse pixels that no network can take.

    Raises
    ------
    InputError
        With their number.
    """
    if array.dtype.kind != "f":
        return
    wrong = 0
    for plane in array.reshape(-1, *array.shape[-2:]):
        for rows in np.array_split(plane, max(1, plane.size // 2**22)):
            with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which is counted
                wrong += rows.size - int(np.count_nonzero(np.isfinite(rows.astype(np.float32))))
        release(array)
    if wrong:
        raise InputError(
            f"{name}: {wrong} of {array.size} pixels are NaN, infinite or beyond float32; a network would spread them"
            "; replace them first, e.g. by the median of their neighbours"
        )


def _run_tiles(source: NDArray[Any], runner: Runner, plan: Sequence[Sequence[Span]], job: Job) -> list[Array]:
    results: list[Array] = []
    large = is_large(source.shape, np.float32)
    for number, spans in enumerate(plan):
        read = (slice(None), *(slice(span.in_start, span.in_stop) for span in spans))
        region = source[read].astype(np.float32)[np.newaxis]
        # A picture in a file: before its planes pass through memory, the activations leave it.
        outputs = runner.run(region, last=large and number + 1 == len(plan))
        if not results:
            results = [job.scratch.array((array.shape[1], *source.shape[1:]), np.float32) for array in outputs]
        kept = (slice(None), *(slice(s.out_start - s.in_start, s.out_stop - s.in_start) for s in spans))
        filled = (slice(None), *(slice(span.out_start, span.out_stop) for span in spans))
        for array, result in zip(outputs, results, strict=True):
            part = array[0][kept]
            if not np.isfinite(part).all():
                raise InputError(
                    f"{runner.package.path} returns NaN or infinite values for {job.name}; its weights are damaged"
                )
            result[filled] = part
            release(result)
        release(source)
        job.report(number + 1, len(plan))
    return results

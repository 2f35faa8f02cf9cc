"""Denoise pictures of any size, plane by plane and tile by tile: peak memory is a plane and a tile's activations.

Every YX plane of a stack or hyperstack is denoised by itself. Outputs are float32 and keep axes, calibration, slice
labels and Info; settings are added to Info.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..images import Image, ImageMeta, ImageReader, open_image, require_gray, write_planes
from ..outputs import check_output
from ..progress import Progress, silent
from .processing import apply_steps
from .runner import Runner
from .tiles import plan_tiles, tile_side

TileSize = int | Literal["auto"] | None
Plane = NDArray[np.float32]

_SAMPLED_PLANES = 5
_FILE_ORDER = "TZC"
"""Order of the leading axes in ImageJ and OME files."""


@dataclass(frozen=True)
class Denoised:
    """What came of denoising a file.

    Parameters
    ----------
    path
        The file that was written.
    meta
        Shape, axes, calibration, Info and labels of it.
    tile
        Side of the tiles in pixels, 0 for one shot.
    warnings
        Sentences about pictures that are far from the training data, and what reading took for granted.
    """

    path: Path
    meta: ImageMeta
    tile: int
    warnings: tuple[str, ...]


def denoise_plane(
    plane: NDArray[Any],
    runner: Runner,
    *,
    tile: TileSize = "auto",
    name: str = "the picture",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Plane:
    """Denoise one YX picture.

    Parameters
    ----------
    plane
        Axes YX, raw counts, any real type; computed as float32.
    runner
        The network.
    tile
        As `quietframe.inference.tiles.plan_tiles`.
    name
        What to call the picture in an error.
    report
        Called with the number of tiles done, and of all.

    Returns
    -------
    ndarray
        Axes YX, float32.

    Raises
    ------
    InputError
        When a pixel is NaN or infinite, the picture is smaller than the network's minimum, or the network fails.
    OptionError
        When `tile` is too small, or the network does not say what context its tiles need.
    """
    counts = _finite(plane, name)[np.newaxis, np.newaxis]
    package = runner.package
    _check_channels(runner)
    height, width = plane.shape
    side = _side(plane.shape, tile, runner)
    tiles = plan_tiles(height, width, side, package.halo, package.step, package.minimum)
    prepared = apply_steps(package.preprocessing, counts)
    result = np.empty((1, 1, height, width), np.float32)
    for number, part in enumerate(tiles):
        region = prepared[:, :, part.in_y0 : part.in_y1, part.in_x0 : part.in_x1]
        output = runner.run(region)[0]
        if output.shape[:2] != (1, 1):
            raise InputError(f"{package.path} returns {output.shape[1]} channels; models that return one are run")
        rows = slice(part.out_y0 - part.in_y0, part.out_y1 - part.in_y0)
        columns = slice(part.out_x0 - part.in_x0, part.out_x1 - part.in_x0)
        result[:, :, part.out_y0 : part.out_y1, part.out_x0 : part.out_x1] = output[:, :, rows, columns]
        report(number + 1, len(tiles))
    denoised: Plane = apply_steps(package.postprocessing, result)[0, 0]
    if not np.isfinite(denoised).all():
        raise InputError(f"{package.path} returns NaN or infinite values for {name}; its weights are damaged")
    return denoised


def denoise_image(
    image: Image, runner: Runner, *, tile: TileSize = "auto", command: str = "denoise", progress: Progress = silent
) -> Image:
    """Denoise every plane of an image in memory.

    Parameters
    ----------
    image
        Any axes but S (colour samples).
    runner
        The network.
    tile
        Largest side of a tile, pixels; ``"auto"``; None or 0 = one shot.
    command
        Written into Info.
    progress
        Told about every tile.

    Returns
    -------
    Image
        The same shape and axes, float32, Info with the settings.

    Raises
    ------
    InputError, OptionError
        As `denoise_plane`; and for colour pictures.
    """
    require_gray(image)
    planes = image.array.reshape(-1, *image.array.shape[-2:])
    sampled = list(planes[_sampled(len(planes))])
    warnings = (*mismatch(runner, sampled), *coarse(sampled))
    info = _info(runner, _side(planes.shape, tile, runner), command, warnings)
    results = _each(lambda index: planes[index], range(len(planes)), runner, tile, progress)
    array = np.stack(list(results)).reshape(image.array.shape)
    return replace(image, array=array, info={**image.info, **info}, remarks=(*image.remarks, *warnings))


def denoise_file(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    runner: Runner,
    *,
    axes: str | None = None,
    tile: TileSize = "auto",
    command: str = "denoise",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Denoised:
    """Denoise a file into another, plane by plane.

    Parameters
    ----------
    source, out
        Files as `quietframe.images.open_image` and `write_planes` take them.
    runner
        The network.
    axes
        Axes of `source` when its own are wrong.
    tile, command, progress
        As `denoise_image`.
    overwrite
        Whether an existing `out` may be replaced.

    Raises
    ------
    InputError, OptionError, OutputError
        As `denoise_plane`, `open_image` and `write_planes`.
    """
    out = check_output(out, overwrite=overwrite)
    with open_image(source, axes=axes) as reader:
        require_gray(reader, source)
        side = _side(reader.shape, tile, runner)
        sampled = [reader.plane(index) for index in _sampled(reader.n_planes)]
        warnings = (*mismatch(runner, sampled), *coarse(sampled))
        meta, order = _file_order(reader, out)
        meta = replace(meta, info={**meta.info, **_info(runner, side, command, warnings)})
        planes = _each(reader.plane, order, runner, tile, progress)
        write_planes(out, planes, meta, overwrite=overwrite)
        return Denoised(out, meta, side, (*reader.remarks, *warnings))


def mismatch(runner: Runner, planes: Sequence[NDArray[Any]]) -> tuple[str, ...]:
    """Compare pictures with the training data of a model.

    A picture is far from it when its median is outside the training data's 1st to 99.9th percentile by more than a
    quarter of that width, or its standard deviation is more than 5 times larger or smaller. Both happen with another
    camera, gain, offset or unit, for which a fixed normalisation is wrong.

    Returns
    -------
    tuple of str
        One sentence per deviation; empty when there is none, or the package has no statistics.
    """
    known = runner.package.statistics
    if not {"p01", "p999", "std"} <= set(known):
        return ()
    values = np.concatenate([_thinned(plane) for plane in planes])
    median, std = float(np.median(values)), float(values.std())
    low, high = known["p01"], known["p999"]
    margin = 0.25 * (high - low)
    said = []
    if not low - margin <= median <= high + margin:
        said.append(
            f"the median of this picture is {median:.4g}, but the model was trained on counts from {low:.4g} to "
            f"{high:.4g}: check unit, gain and offset, or train on pictures like this"
        )
    if known["std"] > 0 and not known["std"] / 5 <= std <= known["std"] * 5:
        said.append(
            f"the standard deviation of this picture is {std:.4g}, but the model was trained on {known['std']:.4g}: "
            "check unit and gain, or train on pictures like this"
        )
    return tuple(said)


def coarse(planes: Sequence[NDArray[Any]]) -> tuple[str, ...]:
    """Name pictures on so large an offset that float32, in which networks compute, rounds their noise away.

    Returns
    -------
    tuple of str
        One sentence when rounding errs by more than 1 % of the standard deviation (rms); else empty.
    """
    values = np.concatenate([_thinned(plane) for plane in planes])
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 are refused with their plane
        error = float(np.sqrt(np.mean((values - values.astype(np.float32)) ** 2)))
        std = float(values.std())
    if not (np.isfinite(error) and error > 0.01 * std):
        return ()
    return (
        f"float32, in which networks compute, rounds pixels near {values.mean():.4g} by {error:.2g} (rms), but their "
        f"standard deviation is only {std:.2g}: subtract a constant offset first, and train on pictures without it",
    )


def _each(
    load: Callable[[int], NDArray[Any]], order: Sequence[int], runner: Runner, tile: TileSize, progress: Progress
) -> Iterator[Plane]:
    """Denoise planes one after the other; progress counts tiles of all of them."""
    for number, index in enumerate(order):

        def report(done: int, total: int, number: int = number) -> None:
            progress("denoising", number * total + done, len(order) * total)

        name = "the picture" if len(order) == 1 else f"plane {index + 1} of {len(order)}"
        yield denoise_plane(load(index), runner, tile=tile, name=name, report=report)


def _side(shape: Sequence[int], tile: TileSize, runner: Runner) -> int:
    """Return the side of the tiles, 0 for one shot; others' networks that declare no context are run in one shot."""
    package = runner.package
    if package.halo == 0 and package.kind != "quietframe":
        if tile in ("auto", None, 0):
            return 0
        raise OptionError(
            f"tile {tile}: {package.path} does not declare the context (halo) its tiles need, so tiles would leave "
            "seams; use --tile 0 (the whole picture at once)"
        )
    return tile_side(shape[-2], shape[-1], tile)


def _check_channels(runner: Runner) -> None:
    if runner.channels not in (None, 1):
        raise InputError(
            f"{runner.package.path} takes {runner.channels} channels at once; models that take one are run"
        )


def _finite(plane: NDArray[Any], name: str) -> Plane:
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which is counted below
        counts = plane.astype(np.float32)
    wrong = counts.size - int(np.count_nonzero(np.isfinite(counts)))
    if wrong:
        raise InputError(
            f"{name}: {wrong} of {counts.size} pixels are NaN, infinite or beyond float32; a network would spread them"
            "; replace them first, e.g. by the median of their neighbours"
        )
    return counts


def _thinned(plane: NDArray[Any], most: int = 65_536) -> NDArray[np.float64]:
    values = plane.reshape(-1)[:: max(1, plane.size // most)].astype(np.float64)
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.zeros(1)


def _sampled(count: int) -> list[int]:
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, _SAMPLED_PLANES))})


def _file_order(reader: ImageReader, out: Path) -> tuple[ImageMeta, list[int]]:
    """Return the meta with leading axes in the order of the file to come, and the planes' numbers in that order."""
    meta = reader.meta
    if out.suffix.lower() == ".npy":
        return meta, list(range(reader.n_planes))
    leading = meta.axes[:-2]
    order = sorted(range(len(leading)), key=lambda position: _FILE_ORDER.find(leading[position]))
    numbers = np.arange(reader.n_planes).reshape(meta.shape[:-2]).transpose(order).reshape(-1).tolist()
    shape = (*(meta.shape[position] for position in order), *meta.shape[-2:])
    axes = "".join(leading[position] for position in order) + "YX"
    labels = tuple(meta.labels[number] for number in numbers) if len(meta.labels) == reader.n_planes else meta.labels
    return replace(meta, shape=shape, axes=axes, labels=labels), numbers


def _info(runner: Runner, side: int, command: str, warnings: Sequence[str]) -> dict[str, str]:
    package = runner.package
    info = {
        "quietframe.version": version("quietframe"),
        "quietframe.command": command,
        "quietframe.model": package.name,
        "quietframe.model_sha256": package.sha256,
        "quietframe.provider": runner.provider,
        "quietframe.provider_note": runner.provider_note,
        "quietframe.tile": str(side) if side else "one shot",
        "quietframe.halo": str(package.halo),
    }
    for key in ("method", "unit"):
        if package.own(key):
            info[f"quietframe.{key}"] = package.own(key)
    if warnings:
        info["quietframe.mismatch"] = "; ".join(warnings)
    return info

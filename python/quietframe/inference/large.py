"""Denoise pictures of any size, tile by tile: in memory are a tile's activations and what is small.

A network of planes denoises every YX plane by itself, a network of volumes every ZYX volume; one of several channels
takes all channels at once. Planes and volumes that are too large for memory lie in a file beside the output while they
are worked on. Outputs are float32 and keep axes, calibration, slice labels and Info; settings are added to Info.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..images import Image, ImageMeta, ImageReader, check_image, file_order, open_image, require_gray, write_planes
from ..progress import Progress, silent
from .blocks import brief, denoise_array, sides_for
from .mismatch import coarse, mismatch, thinned
from .runner import Runner
from .scratch import Scratch, is_large, release
from .tiles import TileSize

Plane = NDArray[np.float32]
Load = Callable[[int], NDArray[Any]]

_SAMPLED_PLANES = 5


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
        Side of the tiles in pixels, one per axis where they differ; 0 for one shot.
    warnings
        Sentences about pictures that are far from the training data, and what reading took for granted.
    others
        Further outputs: name -> the file that was written.
    """

    path: Path
    meta: ImageMeta
    tile: int | list[int]
    warnings: tuple[str, ...]
    others: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Which planes a network takes together, and where its results go.

    Parameters
    ----------
    shape, axes
        Of the result; axes end in YX.
    groups
        Numbers of the planes that are denoised together, axes (group, C, Z).
    sources
        For each plane of the result its group, channel and slice in it.
    channels
        Channels of a group's result.
    """

    shape: tuple[int, ...]
    axes: str
    groups: NDArray[np.int64]
    sources: tuple[tuple[int, int, int], ...]
    channels: int


def denoise_plane(
    plane: NDArray[Any],
    runner: Runner,
    *,
    tile: TileSize = "auto",
    name: str = "the picture",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Plane:
    """Denoise one YX picture with a network of planes.

    Parameters
    ----------
    plane
        Axes YX, raw counts, any real type; computed as float32.
    runner, tile, name, report
        As `quietframe.inference.blocks.denoise_array`.

    Returns
    -------
    ndarray
        Axes YX, float32.

    Raises
    ------
    InputError, OptionError
        As `denoise_array`, and when the network takes volumes.
    """
    _check_axes(runner, "YX", plane.shape)
    result: Plane = denoise_array(plane[np.newaxis], runner, tile=tile, name=name, report=report)[0][0]
    return result


def denoise_image(
    image: Image, runner: Runner, *, tile: TileSize = "auto", command: str = "denoise", progress: Progress = silent
) -> Image:
    """Denoise an image in memory; the first of `denoise_outputs`."""
    return next(iter(denoise_outputs(image, runner, tile=tile, command=command, progress=progress).values()))


def denoise_outputs(
    image: Image, runner: Runner, *, tile: TileSize = "auto", command: str = "denoise", progress: Progress = silent
) -> dict[str, Image]:
    """Denoise an image in memory and give every output of the network.

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
    dict
        Name of the output -> image of the same shape and axes, float32, Info with the settings. The channel axis is as
        long as the network says.

    Raises
    ------
    InputError, OptionError
        As `quietframe.inference.blocks.denoise_array`; for colour pictures; when the axes do not fit the network.
    """
    require_gray(image)
    planes = image.array.reshape(-1, *image.array.shape[-2:])
    numbers = np.arange(len(planes)).reshape(image.array.shape[:-2])
    plan = plan_planes(image.meta, numbers, runner)
    warnings = _warnings(runner, image.meta, lambda index: planes[index])
    info = _info(runner, _sides(plan, tile, runner), command, warnings)
    work = Work(plan, lambda index: planes[index], planes.dtype, runner, tile, Scratch(None), progress)
    results = [np.empty(plan.shape, np.float32) for _ in runner.outputs]
    flat = [array.reshape(-1, *plan.shape[-2:]) for array in results]
    for number, outputs in enumerate(work.planes()):
        for array, output in zip(flat, outputs, strict=True):
            array[number] = output
    labels = image.labels if len(flat[0]) == len(planes) else ()
    return {
        name: replace(
            image, array=array, axes=plan.axes, labels=labels, info={**image.info, **info, **_named(runner, name)},
            remarks=(*image.remarks, *warnings),
        )
        for name, array in zip(runner.outputs, results, strict=True)
    }  # fmt: skip


def denoise_file(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    runner: Runner,
    *,
    axes: str | None = None,
    tile: TileSize = "auto",
    command: str = "denoise",
    overwrite: bool = False,
    progress: Progress = silent,
) -> Denoised:
    """Denoise a file into another.

    Parameters
    ----------
    source, out
        Files as `quietframe.images.open_image` and `write_planes` take them. For further outputs of the network `out`
        is a mapping, name of the output -> file, with its first output among them.
    runner
        The network.
    axes
        Axes of `source` when its own are wrong.
    tile, command, progress
        As `denoise_outputs`.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    InputError, OptionError, OutputError
        As `denoise_outputs`, `open_image` and `write_planes`.
    """
    wanted = out if isinstance(out, Mapping) else {runner.outputs[0]: out}
    others = {name: check_image(path, overwrite=overwrite) for name, path in wanted.items()}
    _check_outputs(runner, others)
    out = others.pop(runner.outputs[0])
    with open_image(source, axes=axes) as reader:
        require_gray(reader, source)
        scratch = Scratch(out.parent)
        ordered, numbers = file_order(reader.meta, out)
        plan = plan_planes(ordered, numbers, runner)
        sides = _sides(plan, tile, runner)
        warnings = _warnings(runner, reader.meta, reader.plane)
        info = {**reader.meta.info, **_info(runner, sides, command, warnings)}
        meta = replace(_result_meta(reader, ordered, plan), info=info)
        work = Work(plan, reader.plane, reader.dtype, runner, tile, scratch, progress)
        kept = {name: scratch.array((meta.n_planes, *meta.shape[-2:]), np.float32) for name in others}
        write_planes(out, _first(work.planes(), runner, kept), meta, overwrite=overwrite)
        for name, path in others.items():
            described = replace(meta, info={**meta.info, **_named(runner, name)})
            write_planes(path, kept[name], described, overwrite=overwrite)
        return Denoised(out, meta, sides, (*reader.remarks, *warnings), others)


def plan_planes(meta: ImageMeta, numbers: NDArray[np.int64], runner: Runner) -> Plan:
    """Say which planes the network takes together.

    Parameters
    ----------
    meta
        Shape and axes of the picture, in the order of the result.
    numbers
        Number of each plane where it is read; the shape is that of the picture without YX.
    runner
        The network.

    Raises
    ------
    InputError
        When the axes do not fit the network.
    """
    _check_axes(runner, meta.axes, meta.shape)
    lead, shape = meta.axes[:-2], meta.shape[:-2]
    joint = (runner.channels or 1) > 1
    inner = [letter for letter in ("C" if joint else "", "Z" if "Z" in runner.package.space else "") if letter]
    outer = [letter for letter in lead if letter not in inner]
    turned = numbers.transpose([lead.index(letter) for letter in (*outer, *inner)])
    sizes = {letter: shape[lead.index(letter)] for letter in lead}
    groups = turned.reshape(-1, sizes["C"] if joint else 1, sizes["Z"] if "Z" in inner else 1)
    channels = runner.output_channels or 1
    if joint:
        sizes["C"] = channels
    elif channels != 1:
        raise InputError(f"{runner.package.path} returns {channels} channels; models that return one are run")
    kept = [letter for letter in lead if not (letter == "C" and joint and channels == 1)]
    place = np.arange(len(groups)).reshape([sizes[letter] for letter in outer])
    sources = []
    for position in np.ndindex(*(sizes[letter] for letter in kept)):
        at = dict(zip(kept, position, strict=True))
        group = int(place[tuple(at[letter] for letter in outer)])
        sources.append((group, at["C"] if joint and channels > 1 else 0, at["Z"] if "Z" in inner else 0))
    result = (*(sizes[letter] for letter in kept), *meta.shape[-2:])
    return Plan(result, "".join(kept) + "YX", groups, tuple(sources), channels)


@dataclass(frozen=True)
class Work:
    """A picture being denoised: what to do, on what, with what."""

    plan: Plan
    load: Load
    dtype: Any
    runner: Runner
    tile: TileSize
    scratch: Scratch
    progress: Progress

    def planes(self) -> Iterator[list[Plane]]:
        """Give the planes of the result in order, each with one array per output."""
        plan = self.plan
        left = [plan.channels * plan.groups.shape[2]] * len(plan.groups)
        done: dict[int, list[NDArray[np.float32]]] = {}
        for group, channel, depth in plan.sources:
            if group not in done:
                done[group] = self._denoise(group)
            yield [array[channel, depth] for array in done[group]]
            for array in done[group]:
                release(array)
            left[group] -= 1
            if not left[group]:
                del done[group]

    def _denoise(self, group: int) -> list[NDArray[np.float32]]:
        """Denoise planes that belong together; axes CZYX, whatever the network takes."""
        numbers, count = self.plan.groups[group], len(self.plan.groups)
        name = _name(self.plan, group, self.runner)

        def report(done: int, total: int) -> None:
            self.progress("denoising", group * total + done, count * total)

        volumes = "Z" in self.runner.package.space
        if numbers.size == 1 and not is_large(self.plan.shape[-2:], self.dtype):
            source = self.load(int(numbers[0, 0]))[np.newaxis, np.newaxis]
        else:
            source = self.scratch.array((*numbers.shape, *self.plan.shape[-2:]), self.dtype)
            for channel, depth in np.ndindex(*numbers.shape):
                source[channel, depth] = self.load(int(numbers[channel, depth]))
                release(source)
        results = denoise_array(
            source if volumes else source[:, 0], self.runner, tile=self.tile, name=name, report=report,
            scratch=self.scratch,
        )  # fmt: skip
        return results if volumes else [array[:, np.newaxis] for array in results]


def _name(plan: Plan, group: int, runner: Runner) -> str:
    if len(plan.groups) == 1:
        return "the picture"
    if plan.groups[group].size == 1:
        return f"plane {plan.groups[group, 0, 0] + 1} of {plan.groups.size}"
    return f"{'volume' if 'Z' in runner.package.space else 'picture'} {group + 1} of {len(plan.groups)}"


def _first(planes: Iterator[list[Plane]], runner: Runner, kept: Mapping[str, NDArray[np.float32]]) -> Iterator[Plane]:
    """Give the planes of the first output; put those of the others aside."""
    for number, outputs in enumerate(planes):
        for name, array in kept.items():
            array[number] = outputs[runner.outputs.index(name)]
            release(array)
        yield outputs[0]


def _check_axes(runner: Runner, axes: str, shape: Sequence[int]) -> None:
    """Refuse a picture whose axes do not fit the network, with the sentence that helps."""
    package, channels = runner.package, runner.channels or 1
    if "Z" in package.space and "Z" not in axes:
        raise InputError(
            f"{package.path} takes volumes (z, y, x); this picture has axes {axes}, shape {tuple(shape)}: if its "
            f"planes are slices in z, say so (--axes {axes[:-3] + 'ZYX' if len(axes) > 2 else 'ZYX'}); else take a "
            "model that was trained on planes"
        )
    size = shape[axes.index("C")] if "C" in axes else 1
    if channels > 1 and size != channels:
        raise InputError(
            f"{package.path} takes {channels} channels at once; this picture has {size} (axes {axes}, shape "
            f"{tuple(shape)}): give one with {channels} channels (axis C), or a model that takes one channel"
        )


def _check_outputs(runner: Runner, wanted: Mapping[str, Path]) -> None:
    """Refuse outputs that the network does not have; the first must be among them."""
    if runner.outputs[0] not in wanted:
        raise InputError(f"no file is given for {runner.outputs[0]}, the first output of {runner.package.path}")
    for name in wanted:
        if name not in runner.outputs:
            raise InputError(f"{runner.package.path} has no output {name}; it has {', '.join(runner.outputs)}")


def _warnings(runner: Runner, meta: ImageMeta, load: Load) -> tuple[str, ...]:
    """Look at some planes: whether the model was trained on such, and float32 can hold them."""
    sampled = [thinned(load(index)) for index in _sampled(meta.n_planes)]
    if (runner.channels or 1) == 1:
        return (*mismatch(runner, sampled), *coarse(sampled))
    at = meta.axes[:-2].index("C")
    said: list[str] = []
    numbers = np.moveaxis(np.arange(meta.n_planes).reshape(meta.shape[:-2]), at, 0).reshape(meta.shape[at], -1)
    for channel, planes in enumerate(numbers):
        said += mismatch(runner, [thinned(load(int(planes[index]))) for index in _sampled(len(planes))], channel)
    return (*said, *coarse(sampled))


def _sides(plan: Plan, tile: TileSize, runner: Runner) -> int | list[int]:
    depth = (plan.groups.shape[2],) if "Z" in runner.package.space else ()
    return sides_for((*depth, *plan.shape[-2:]), tile, runner)


def _sampled(count: int) -> list[int]:
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, _SAMPLED_PLANES))})


def _result_meta(reader: ImageReader, meta: ImageMeta, plan: Plan) -> ImageMeta:
    """Describe the result: the picture's own description where it has as many planes."""
    labels = meta.labels if len(plan.sources) == reader.n_planes else ()
    return replace(meta, shape=plan.shape, axes=plan.axes, labels=labels)


def _named(runner: Runner, name: str) -> dict[str, str]:
    return {"quietframe.output": name} if len(runner.outputs) > 1 else {}


def _text(sizes: int | list[int]) -> str:
    return ",".join(map(str, sizes)) if isinstance(sizes, list) else str(sizes)


def _info(runner: Runner, sides: int | list[int], command: str, warnings: Sequence[str]) -> dict[str, str]:
    package = runner.package
    info = {
        "quietframe.version": version("quietframe"),
        "quietframe.command": command,
        "quietframe.model": package.name,
        "quietframe.model_sha256": package.sha256,
        "quietframe.provider": runner.provider,
        "quietframe.provider_note": runner.provider_note,
        "quietframe.tile": _text(sides) if sides else "one shot",
        "quietframe.halo": _text(brief(package.halo)),
    }
    for key in ("method", "unit"):
        if package.own(key):
            info[f"quietframe.{key}"] = package.own(key)
    if warnings:
        info["quietframe.mismatch"] = "; ".join(warnings)
    return info

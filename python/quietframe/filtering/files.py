"""Filter images and files of any axes and size: plane by plane, or volumes and time series where the filter takes them.

Time and z are never mixed: a filter of volumes takes the axis Z, one of time series the axis T, and another axis only
when that is said. In memory are one plane or volume, or its blocks; axes, calibration, labels and Info are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..camera import PREFIX, Camera
from ..images import (
    Image,
    ImageMeta,
    ImageReader,
    check_image,
    file_order,
    open_image,
    require_gray,
    write_planes,
)
from ..images.zarr_writing import zarr_output
from ..inference.scratch import Scratch, release
from ..progress import Progress, silent
from .blocks import BlockSize, Chunks, filter_blocks, plan_blocks, require_dask
from .pictures import Groups, Picture, count_missing, picture_of, plan_groups, sampled, source_of, stacked
from .run import Filter, fill_missing, make_filter, missing_notes, require_gaussian, run_filter, type_notes
from .stabilise import make_stabiliser

_SAMPLED_PLANES = 5


@dataclass(frozen=True)
class Options:
    """How a filter goes over a picture.

    Parameters
    ----------
    along
        Axis (T, Z or C) that a filter of volumes or time series takes in place of its own.
    dtype
        ``float32`` converts the pixels before they are filtered; None keeps them.
    stabilise
        Whether noise is given one standard deviation first, and what its parameters come from.
    camera
        What is known of the camera, for ``camera``; values here win over those of the picture's Info.
    block
        As `quietframe.filtering.blocks.plan_blocks`.
    """

    along: str | None = None
    dtype: Literal["float32"] | None = None
    stabilise: Literal["no", "image", "camera"] = "no"
    camera: Camera = field(default_factory=Camera)
    block: BlockSize = "auto"


@dataclass(frozen=True)
class FilteredFile:
    """What came of filtering a file.

    Parameters
    ----------
    path
        What was written.
    meta
        Its shape, axes and description.
    dtype
        Its type.
    non_finite
        Pixels of the input that are NaN or infinite.
    blocks
        Blocks that each plane or volume was cut into; 1 for the whole.
    notes
        Sentences for the user.
    """

    path: Path
    meta: ImageMeta
    dtype: str
    non_finite: int
    blocks: int
    notes: tuple[str, ...]


def filter_image(
    image: Image, name: str, settings: Any = None, *, options: Options | None = None, progress: Progress = silent
) -> Image:
    """Filter an image in memory.

    Parameters
    ----------
    image
        Any axes but S (colour samples).
    name, settings
        As `quietframe.filtering.run.make_filter`.
    options
        How; None for the usual way.
    progress
        Told about every plane, volume or block.

    Returns
    -------
    Image
        The same shape and axes; type as `quietframe.filtering.run.Filter.result_type`. Info has the settings, remarks
        have what is to be known of the result.

    Raises
    ------
    InputError
        For colour pictures, and when no pixel is finite.
    OptionError
        For unknown filters and settings that cannot be, and when the axes do not fit the filter.
    """
    require_gray(image)
    chosen = options or Options()
    numbers = np.arange(image.meta.n_planes).reshape(image.array.shape[:-2])
    work = _prepare(image, image.meta, numbers, make_filter(name, settings), chosen, progress)
    result = np.empty(image.array.shape, work.result_type)
    for group in range(len(work.groups.numbers)):
        work.filter_into(group, result[work.groups.where(group)])
    return replace(image, array=result, info=work.info(image.info), remarks=(*image.remarks, *work.notes))


def filter_file(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    name: str,
    settings: Any = None,
    *,
    options: Options | None = None,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> FilteredFile:
    """Filter a file into another.

    Parameters
    ----------
    source, out
        Files as `quietframe.images.open_image` and `write_planes` take them.
    name, settings, options, progress
        As `filter_image`.
    axes
        Axes of `source` when its own are wrong.
    overwrite
        Whether an existing result may be replaced.

    Raises
    ------
    InputError, OptionError, OutputError
        As `filter_image`, `open_image` and `write_planes`.
    MissingExtraError
        When a picture too large for memory is to be filtered and dask is not installed.
    """
    out = check_image(out, overwrite=overwrite)
    job, chosen = make_filter(name, settings), options or Options()
    with open_image(source, axes=axes) as reader:
        require_gray(reader, source)
        meta, numbers = file_order(reader.meta, out)
        work = _prepare(reader, meta, numbers, job, chosen, progress, Scratch(out.parent))
        described = replace(meta, info=work.info(meta.info))
        dtype = work.result_type.name
        if work.chunks is not None and out.name.lower().endswith(".zarr"):
            _write_blocks(work, out, described, overwrite=overwrite)
        else:
            write_planes(out, work.planes(), described, dtype=dtype, overwrite=overwrite)
        blocks = int(np.prod([len(sizes) for sizes in work.chunks or ()], dtype=np.int64))
        notes = (*reader.remarks, *work.notes)
        return FilteredFile(out, described, dtype, work.non_finite, blocks, notes)


@dataclass
class Work:
    """A picture being filtered."""

    picture: Picture
    job: Filter
    options: Options
    groups: Groups
    chunks: Chunks | None
    non_finite: int
    notes: list[str]
    scratch: Scratch
    progress: Progress

    @property
    def result_type(self) -> np.dtype[Any]:
        """Type of the result."""
        return self.job.result_type(self.picture.dtype)

    def filter_into(self, group: int, target: Any) -> None:
        """Filter a group into whatever takes its pixels; axes as the filter's."""
        numbers, planar = self.groups.numbers[group], len(self.job.axes) == 2
        count = len(self.groups.numbers)
        if self.chunks is None:
            filtered = run_filter(stacked(self.picture, numbers, planar), self.job)
            target[...] = filtered.pixels
            notes = filtered.notes
            self.progress("filtering", group + 1, count)
        else:
            job = _with_noise(self.job, self.picture, numbers)
            source = source_of(self.picture, numbers, planar, self.scratch)
            notes = filter_blocks(
                source, target, job, self.chunks,
                lambda done, total: self.progress("filtering", group * total + done, count * total),
            )  # fmt: skip
        self.notes += [note for note in notes if note not in self.notes]

    def planes(self) -> Iterator[NDArray[Any]]:
        """Give the planes of the result in order."""
        left = [self.groups.numbers.shape[1]] * len(self.groups.numbers)
        done: dict[int, NDArray[Any]] = {}
        for group, place in self.groups.places:
            if group not in done:
                shape = (self.groups.numbers.shape[1], *self.picture.meta.shape[-2:])
                array = np.empty(shape, self.result_type)
                if self.chunks is not None:
                    array = self.scratch.array(shape, self.result_type)
                self.filter_into(group, array[0] if len(self.job.axes) == 2 else array)
                done[group] = array
            yield done[group][place]
            release(done[group])
            left[group] -= 1
            if not left[group]:
                del done[group]

    def info(self, before: Mapping[str, str]) -> dict[str, str]:
        """Return the result's Info: what was there, what was done, and in one line what had been done before."""
        settings = " ".join(f"{key}={_text(value)}" for key, value in asdict(self.job.settings).items())
        info = {
            "quietframe.version": version("quietframe"),
            "quietframe.command": f"filter {self.job.name.replace('_', '-')}",
            "quietframe.settings": settings,
            "quietframe.notes": "; ".join(self.notes),
            "quietframe.previous": _history(before),
            "quietframe.along": self.groups.along,
            "quietframe.stabilise": self.job.stabiliser.note if self.job.stabiliser else "",
        }
        kept = {key: value for key, value in before.items() if key not in info}
        return {**kept, **{key: value for key, value in info.items() if value}}


def _history(before: Mapping[str, str]) -> str:
    """Say what was done before, oldest first."""
    command = before.get("quietframe.command", "")
    last = " ".join(part for part in (command, before.get("quietframe.settings", "")) if part)
    return "; ".join(part for part in (before.get("quietframe.previous", ""), last) if part)


def _text(value: object) -> str:
    return "estimated" if value is None else str(value)


def _prepare(
    owner: Image | ImageReader,
    meta: ImageMeta,
    numbers: NDArray[np.int64],
    job: Filter,
    options: Options,
    progress: Progress,
    scratch: Scratch | None = None,
) -> Work:
    """Check everything that can be checked before the first pixel is filtered."""
    picture = picture_of(owner, meta, numbers, options.dtype)
    groups = plan_groups(picture, job, options.along)
    shape = (*(() if len(job.axes) == 2 else (groups.numbers.shape[1],)), *meta.shape[-2:])
    job = _stabilised(job, picture, options)
    chunks = plan_blocks(shape, job, options.block)
    if chunks is not None:
        require_dask()
    non_finite = count_missing(picture)
    notes = [*(type_notes(picture.stored) if options.dtype is None else ())]
    notes += missing_notes(non_finite, int(np.prod(meta.shape, dtype=np.int64)), job)
    if job.stabiliser is not None:
        notes.append(job.stabiliser.note)
    return Work(picture, job, options, groups, chunks, non_finite, notes, scratch or Scratch(None), progress)


def _stabilised(job: Filter, picture: Picture, options: Options) -> Filter:
    """Add what stabilises the noise, where that is wanted."""
    if options.stabilise == "no":
        return job
    require_gaussian(job)
    camera = Camera.from_mapping(picture.meta.info, source="Info", prefix=PREFIX).updated(options.camera)
    planes: list[NDArray[Any]] = []
    if options.stabilise == "image":
        every = picture.numbers.ravel()
        chosen = np.unique(np.linspace(0, len(every) - 1, _SAMPLED_PLANES).round().astype(int))
        planes = [fill_missing(plane) for index in chosen for plane in sampled(picture, every[index : index + 1])]
    return make_filter(job.name, job.settings, make_stabiliser(options.stabilise, camera, planes))


def _with_noise(job: Filter, picture: Picture, numbers: NDArray[np.int64]) -> Filter:
    """Estimate the noise of a group once, for all of its blocks."""
    if getattr(job.settings, "noise_sigma", 0.0) is not None:
        return job
    from ..kernels.noise_sigma import estimate_noise_sigma

    # A filter that measures its noise in a way of its own says so by a function of that name.
    measure = getattr(job.module, "noise_sigma", lambda plane, _: estimate_noise_sigma(plane))
    sigmas = [measure(fill_missing(plane), job.settings) for plane in sampled(picture, numbers)]
    return replace(job, settings=replace(job.settings, noise_sigma=float(np.median(sigmas))))


class _Part:
    """A group's place in an array of all axes: what is put here goes there."""

    def __init__(self, array: Any, where: tuple[int | slice, ...]) -> None:
        self._array, self._where = array, where

    def __setitem__(self, place: tuple[slice, ...], block: NDArray[Any]) -> None:
        inner = iter(place)
        self._array[(*(next(inner) if isinstance(at, slice) else at for at in self._where), *inner)] = block


def _write_blocks(work: Work, out: Path, meta: ImageMeta, *, overwrite: bool) -> None:
    """Write an OME-Zarr block by block: its chunks are the blocks, or whole parts of them."""
    assert work.chunks is not None
    sides = [sizes[0] for sizes in work.chunks]
    inner = iter(sides[:-2])
    lead = [next(inner) if letter == work.groups.along else 1 for letter, _ in work.groups.lead]
    with zarr_output(out, meta, dtype=work.result_type.name, chunks=(*lead, *sides[-2:]), overwrite=overwrite) as array:
        for group in range(len(work.groups.numbers)):
            work.filter_into(group, _Part(array, work.groups.where(group)))

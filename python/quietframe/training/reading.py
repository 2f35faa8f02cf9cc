"""Training files: opened, held in memory where they are small and read patch by patch where they are not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..images import ImageReader, require_gray
from ..ndr.subtract import Window
from ..progress import Progress, silent
from .exposures import ExposureRequest, Made, make_training, refuse_shared_reads
from .pictures import Pictures, collect
from .stacks import Files, FileStack, Members, Stack
from .statistics import NoiseLevel

IN_MEMORY_BYTES = 192 * 2**20
"""Files are read into memory until they are this large together [bytes]; what comes then is read patch by patch."""


@dataclass(frozen=True)
class ReadRequest:
    """How files are to become training data.

    Parameters
    ----------
    data
        What the method learns from: ``single``, ``pairs`` or ``repeats``.
    method
        Its name, for messages.
    volumes
        Whether patches have a z axis; if not, z is taken as samples.
    joint_channels
        Whether the net sees all channels at once; if not, they are taken as samples.
    exposure
        How exposures become pictures; None where the files are pictures.
    """

    data: str = "single"
    method: str = "this method"
    volumes: bool = False
    joint_channels: bool = False
    exposure: ExposureRequest | None = None


@dataclass
class _Reading:
    """What is known of the files while they are read."""

    request: ReadRequest
    files: Files = field(default_factory=Files)
    held: int = 0
    anisotropy: list[float] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    listed: list[dict[str, str]] = field(default_factory=list)

    def list_file(self, path: Path, role: str) -> None:
        """Put a file and its checksum on the list that goes into the run folder."""
        self.listed.append({"name": path.name, "role": role, "sha256": checksum(path)})

    def hold(self, path: Path, planes: NDArray[np.intp]) -> Stack:
        """Return planes of a file as a stack, read now where there is room, else when they are asked for."""
        stack = FileStack(self.files, path, planes)
        size = int(np.prod(stack.shape)) * stack.dtype.itemsize
        if self.held + size > IN_MEMORY_BYTES:
            return stack
        self.held += size
        return stack[:]


@dataclass(frozen=True)
class _Read:
    """The stacks of one file: one, or of repeats one per scene."""

    path: Path
    stacks: list[Stack]
    info: Mapping[str, str]


def read_training(
    sources: Sequence[Path],
    targets: Sequence[Path] | None,
    request: ReadRequest,
    *,
    progress: Progress = silent,
) -> tuple[Pictures, dict[str, Any]]:
    """Open training files and check what is in them.

    Parameters
    ----------
    sources, targets
        Files, of pairs one target per source in the same order.
    request
        How they are to be taken.
    progress
        Told what is done.

    Returns
    -------
    pictures : Pictures
        Training data; files that are not in memory stay open with it.
    facts : dict
        ``files`` (name, role and sha256 of each), ``notes`` (sentences for the user beside those of the pictures),
        ``unit`` of the denoised picture, and for exposures ``exposure`` (what was made of them).

    Raises
    ------
    InputError, OptionError
        When a file cannot be read or trained on, or files and options do not go together.
    """
    if request.data == "pairs" and not targets and request.exposure is None:
        raise OptionError(f"{request.method} learns from pairs: give --target, one file per picture, in the same order")
    if targets is not None and len(targets) != len(sources):
        raise InputError(f"{len(sources)} pictures but {len(targets)} targets; give one --target per picture, in order")
    reading = _Reading(request)
    if request.exposure is not None:
        return _from_exposures(reading, sources, targets, progress)
    paired = targets is not None
    read = [_read(reading, path, "input", paired, progress) for path in sources]
    answers = None if targets is None else [_read(reading, path, "target", paired, progress) for path in targets]
    pictures = _together(reading, read, answers)
    unit = reading.units[-1]
    if len(set(reading.units)) > 1:
        reading.notes.append(
            f"the files name different units ({', '.join(sorted(set(reading.units)))}); {unit} is kept"
        )
    return pictures, {"files": reading.listed, "notes": reading.notes, "unit": unit}


def _read(reading: _Reading, path: Path, role: str, paired: bool, progress: Progress) -> _Read:
    """Open one file and take its planes as the request asks."""
    progress(f"reading {path.name}", 0, 1)
    reader = reading.files.reader(path)
    require_gray(reader, path, axes_option=False)
    # Planes are samples whatever their axis is called, so train has no --axes.
    reading.notes += [f"{path}: {remark.removesuffix('; --axes says otherwise')}" for remark in reader.remarks]
    if not reading.request.joint_channels and "C" in reader.axes and reader.shape[reader.axes.index("C")] > 1:
        reading.notes.append(
            f"{path}: its channels are taken as samples of one model; split them for one model each, or "
            "--joint-channels shows the net all of them at once"
        )
    size = reader.pixel_size_um
    reading.anisotropy.append(size["Z"] / size["X"] if {"X", "Z"} <= set(size) else 1.0)
    reading.units.append(reader.info.get("ndr.unit", "counts"))
    repeats = reading.request.data == "repeats" and not paired
    stacks = [reading.hold(path, planes) for planes in _planes(reader, reading.request, repeats=repeats)]
    info = dict(reader.info)
    reading.list_file(path, role)
    return _Read(path, stacks, info)


def _planes(reader: ImageReader, request: ReadRequest, *, repeats: bool) -> list[NDArray[np.intp]]:
    """Return the numbers of the planes of a file as (N, C) or (N, C, Z), one array per scene of repeats, else one."""
    lead = reader.axes[:-2]
    numbers = np.arange(reader.n_planes).reshape(reader.shape[:-2])
    inner = ("C" if request.joint_channels else "") + ("Z" if request.volumes else "")
    if request.volumes and ("Z" not in lead or reader.shape[lead.index("Z")] < 2):
        raise InputError(
            f"{reader.path} (axes {reader.axes}, shape {tuple(reader.shape)}) has no z axis; --patch-z needs volumes: "
            "leave it out, or save the planes along Z"
        )
    scenes = "".join(letter for letter in lead if repeats and letter not in inner and letter != "T")
    samples = "".join(letter for letter in lead if letter not in inner + scenes)
    present = [letter for letter in "CZ" if letter in inner and letter in lead]
    order = [lead.index(letter) for letter in (*scenes, *samples, *present)]
    shape = dict(zip(lead, reader.shape, strict=False))
    depth = [shape["Z"]] if request.volumes else []
    channels = shape.get("C", 1) if request.joint_channels else 1
    members = int(np.prod([shape[letter] for letter in samples], dtype=int))
    return list(numbers.transpose(order).reshape(-1, members, channels, *depth))


def _together(reading: _Reading, read: Sequence[_Read], answers: Sequence[_Read] | None) -> Pictures:
    """Make pictures of what was read."""
    request = reading.request
    dims = 3 if request.volumes else 2
    anisotropy = float(np.median(reading.anisotropy))
    names = [str(one.path) for one in read for _ in one.stacks]
    stacks = [stack for one in read for stack in one.stacks]
    _check_reads(read, answers, reading)
    if answers is not None:
        targets = [stack for one in answers for stack in one.stacks]
        target_names = [str(one.path) for one in answers for _ in one.stacks]
        return collect(stacks, names, targets, target_names, dims=dims, anisotropy=anisotropy)
    if request.data != "repeats":
        return collect(stacks, names, dims=dims, anisotropy=anisotropy)
    if len(stacks) > 1 and all(stack.shape[0] == 1 for stack in stacks):
        if len({stack.shape for stack in stacks}) > 1:
            raise InputError(f"{names[0]} and the other pictures differ in shape; repeats of one scene have the same")
        reading.notes.append(f"the {len(stacks)} pictures are taken as repeats of one scene")
        stacks, names = [Members([(stack, 0) for stack in stacks])], [f"{names[0]} ... {Path(names[-1]).name}"]
    return collect(stacks, names, dims=dims, anisotropy=anisotropy, partners=True)


def _check_reads(read: Sequence[_Read], answers: Sequence[_Read] | None, reading: _Reading) -> None:
    """Refuse repeats made of the same reads of an exposure, where the files tell; of other pairs pass warnings on."""
    if reading.request.data == "repeats":
        for number, one in enumerate(read):
            windows = _windows_of(one.info)
            if answers is None:
                refuse_shared_reads(windows, str(one.path))
                continue
            name = f"{one.path} and {answers[number].path}"
            for window, other in zip(windows, _windows_of(answers[number].info), strict=False):
                refuse_shared_reads([window, other], name)
    for one in (*read, *(answers or ())):
        if "ndr.warning" in one.info and reading.request.data != "single":
            reading.notes.append(f"{one.path}: {one.info['ndr.warning']}")


def _windows_of(info: Mapping[str, str]) -> list[Window]:
    """Return the windows of reads a file says its pictures are made of (key ``ndr.reads_used``), from 0."""
    found = re.findall(r"(\d+)-(\d+)", info.get("ndr.reads_used", ""))
    return [(int(a) - 1, int(b) - 1) for a, b in found]


def _from_exposures(
    reading: _Reading, sources: Sequence[Path], targets: Sequence[Path] | None, progress: Progress
) -> tuple[Pictures, dict[str, Any]]:
    """Make pictures of exposures: all windows of one length of one exposure are one stack."""
    request = reading.request
    assert request.exposure is not None
    if targets is not None:
        raise OptionError("--target goes with pictures; an exposure brings its own (leave --difference and --fit out)")
    if request.volumes or request.joint_channels:
        raise OptionError("exposures make planes of one channel; leave --patch-z and --joint-channels out")
    made = []
    for path in sources:
        made.append(make_training(path, request.exposure, request.data, reading.hold, progress=progress))
        reading.list_file(path, "exposure")
    if len({one.unit for one in made}) > 1:
        raise InputError("the gain of some of the exposures is known and of some not; give --gain-e-per-adu for all")
    answers = [stack for one in made for stack in one.targets or ()]
    pictures = collect(
        [stack for one in made for stack in one.stacks],
        [name for one in made for name in one.names],
        answers if request.data == "pairs" else None,
        partners=request.data == "repeats",
        noise=_common_noise(made, reading.notes),
    )
    facts = {
        "files": reading.listed,
        "notes": list(dict.fromkeys([*(note for one in made for note in one.notes), *reading.notes])),
        "unit": made[0].unit,
        "exposure": {
            "difference": list(request.exposure.difference),
            "fit": request.exposure.fit,
            "guard": request.exposure.guard,
            "windows": [len(windows) for one in made for windows in one.windows],
        },
    }
    return pictures, facts


def _common_noise(made: Sequence[Made], notes: list[str]) -> NoiseLevel | None:
    """Return the mean noise of several exposures, with a note where they differ."""
    levels = [one.noise for one in made if one.noise is not None]
    if not levels:
        return None
    slopes, intercepts = [level.slope for level in levels], [level.intercept for level in levels]
    if max(intercepts) > 1.2 * min(intercepts):
        notes.append(
            f"the exposures' read noise differs (variance {min(intercepts):.3g} to {max(intercepts):.3g}); the mean is "
            "taken"
        )
    return NoiseLevel(float(np.mean(slopes)), float(np.mean(intercepts)))


def checksum(path: Path) -> str:
    """Return the sha256 of a file, or of the names and contents of all files of a folder (OME-Zarr)."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_file():
            continue
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()

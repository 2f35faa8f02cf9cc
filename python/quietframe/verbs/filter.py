"""`quietframe filter`: classical filters over files, and the list of them."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import OptionError, unknown
from ..filters import filter_names, filter_summary, load_filter
from ..progress import Progress, silent
from .ndr import CameraOptions
from .settings_reading import settings_module

_HELP = """{summary}

{use}

Axes, calibration, slice labels and Info are kept; the settings are added to Info. Planes of stacks are filtered one by
one unless the filter takes volumes or time series. Pixels that are NaN stay NaN and are counted.

Parameters
----------
source
    TIFF, OME-TIFF, OME-Zarr, PNG or NPY.
out
    File to write: .tif (ImageJ hyperstack), .ome.tif, .npy, or .ome.zarr.
settings
    Options of the filter.
run
    How the filter goes over the file.
camera
    What is known of the camera, for --stabilise camera.
overwrite
    Replace an existing output.
"""


@dataclass(frozen=True)
class RunOptions:
    """How a filter goes over a file.

    Parameters
    ----------
    along
        Axis that a filter of volumes or time series takes in place of its own third one.
    dtype
        float32 converts the pixels before they are filtered, as ImageJ's users do; else ImageJ's filters keep the type.
    axes
        Letters over STCZYX to use instead of the file's.
    stabilise
        Give photon noise one standard deviation first, for filters that assume that; its parameters are estimated from
        the image, or those of the camera.
    block
        Largest side of the blocks in which a plane or volume is filtered [px]; 0 for the whole; auto cuts what has more
        than 67 million pixels.
    """

    along: Literal["T", "Z", "C"] | None = None
    dtype: Literal["float32"] | None = None
    axes: str | None = None
    stabilise: Literal["no", "image", "camera"] = "no"
    block: str = "auto"


_NO_OPTIONS = RunOptions()
_NO_CAMERA = CameraOptions()


def make_command(name: str) -> Callable[..., dict[str, Any]]:
    """Make the command of a filter: its settings are options.

    Parameters
    ----------
    name
        One of `quietframe.filters.filter_names`.

    Raises
    ------
    OptionError
        When there is no such filter, with the nearest names.
    """
    if name not in filter_names():
        raise unknown("filter", name, filter_names())
    usual = (settings_module("filters", name) or load_filter(name)).Settings()

    def command(
        source: Path,
        out: Path,
        /,
        *,
        settings: Any = None,
        run: Annotated[RunOptions, Parameter(name="*")] = _NO_OPTIONS,
        camera: Annotated[CameraOptions, Parameter(name="*")] = _NO_CAMERA,
        overwrite: Annotated[bool, Parameter(negative=())] = False,
        progress: Annotated[Progress, Parameter(parse=False)] = silent,
    ) -> dict[str, Any]:
        return _filter(source, out, name, settings or usual, run, camera, overwrite=overwrite, progress=progress)

    annotation = Annotated[type(usual), Parameter(name="*")]  # type: ignore[valid-type]
    parameters = [
        parameter.replace(annotation=annotation, default=usual) if key == "settings" else parameter
        for key, parameter in inspect.signature(command, eval_str=True).parameters.items()
    ]
    command.__annotations__["settings"] = annotation
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__name__ = name
    from ..filtering.catalogue import filter_facts

    command.__doc__ = _HELP.format(summary=filter_summary(name), use=filter_facts(name).use)
    return command


def __getattr__(name: str) -> Callable[..., dict[str, Any]]:
    """Give the command of a filter as filter.<name>, for `quietframe.cli`."""
    if name.startswith("_") or name not in filter_names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_command(name)


def _filter(
    source: Path,
    out: Path,
    name: str,
    settings: Any,
    run: RunOptions,
    camera: CameraOptions,
    *,
    overwrite: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Filter a file.

    Returns
    -------
    dict
        output, shape, axes, dtype, filter, settings, non_finite, blocks, notes, summary.
    """
    block = _block(run.block)
    known = camera.to_camera()
    if camera != _NO_CAMERA and run.stabilise != "camera":
        raise OptionError("options of the camera are for --stabilise camera; add that, or leave them out")
    from ..filtering.files import Options, filter_file

    options = Options(run.along, run.dtype, run.stabilise, known, block)
    done = filter_file(
        source, out, name, settings, options=options, axes=run.axes, overwrite=overwrite, progress=progress
    )
    shape = " x ".join(map(str, done.meta.shape))
    blocks = f", {done.blocks} blocks per plane or volume" if done.blocks > 1 else ""
    return {
        "output": str(done.path),
        "shape": list(done.meta.shape),
        "axes": done.meta.axes,
        "dtype": done.dtype,
        "filter": name.replace("_", "-"),
        "settings": asdict(settings),
        "non_finite": done.non_finite,
        "blocks": done.blocks,
        "notes": list(done.notes),
        "summary": [
            f"{done.path}: {done.meta.axes} {shape} {done.dtype}, {done.meta.info['quietframe.command']} "
            f"{done.meta.info.get('quietframe.settings', '')}".rstrip()
            + blocks,
            *(f"note: {note}" for note in done.notes),
        ],
    }


def _block(text: str) -> int | Literal["auto"]:
    """Return the option --block as the rooms below take it: a number, or "auto"."""
    if text == "auto":
        return "auto"
    try:
        side = int(text)
    except ValueError:
        side = -1
    if side < 0 or 0 < side < 16:
        raise OptionError(f"--block must be auto, 0 (the whole) or at least 16 px; got {text!r}")
    return side


def listing() -> dict[str, Any]:
    """List all filters: what each does, when to use it, its paper, and the ImageJ command with the same pixels.

    Returns
    -------
    dict
        filters (name, summary, use, papers, axes, noise, imagej), summary.
    """
    from ..filtering.catalogue import all_facts

    facts = all_facts()
    lines: list[str] = []
    for fact in facts:
        lines += [f"{fact.name} ({fact.axes})", *_indented(fact.summary), *_indented(fact.use)]
        if fact.imagej:
            lines += _indented(f"ImageJ: {fact.imagej}")
        for paper in fact.papers:
            lines += _indented(f"Paper: {paper}")
        lines.append("")
    lines.append(f"{len(facts)} filters; the options of one: quietframe filter NAME --help")
    return {"filters": [asdict(fact) for fact in facts], "summary": lines}


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="    ", subsequent_indent="    ") if text else []

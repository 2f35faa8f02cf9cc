"""What the files made from an exposure say of themselves: Info keys, labels, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..camera import Camera
from ..errors import OptionError, unknown
from ..images import ImageMeta
from .calibrate import complete_camera
from .exposure import Exposure
from .subtract import UNITS, unit_scale


def made_by(command: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the Info keys that say which command made a file, with which options.

    Parameters
    ----------
    command
        E.g. ``"ndr fit"``.
    options
        Option names and values; None is left out.
    """
    keys = {"quietframe.version": version("quietframe"), "quietframe.command": command}
    keys |= {f"quietframe.{name}": str(value) for name, value in options.items() if value is not None}
    return keys


def reads_text(windows: Sequence[tuple[int, int]]) -> str:
    """Return windows (from 0) as they are written in files, counted from 1: ``"2-22,23-43"``."""
    return ",".join(f"{a + 1}-{b + 1}" for a, b in windows)


def meta_of(
    exposure: Exposure,
    axes: str,
    labels: Sequence[str],
    keys: Mapping[str, str],
    *,
    frame_interval_s: float | None = None,
) -> ImageMeta:
    """Describe an image made from `exposure`: its pixel size and Info are kept, `keys` are added.

    Parameters
    ----------
    exposure
        Where it comes from.
    axes
        ``YX``, or ``TYX``/``CYX`` with one label per plane.
    labels
        One label per plane.
    keys
        Info keys, which win.
    frame_interval_s
        Seconds from plane to plane along T.
    """
    size = exposure.reads.shape[1:]
    shape = size if axes == "YX" else (len(labels), *size)
    info = {**exposure.info, "ndr.exposure": exposure.exposure, "ndr.count_from": "1", **keys}
    pixel_size = {letter: value for letter, value in exposure.pixel_size_um.items() if letter in "YX"}
    return ImageMeta(shape, axes, pixel_size, frame_interval_s, info, tuple(labels))


def rate_unit(unit: str | None, camera: Camera, *, gain_known: bool) -> tuple[str, float, str]:
    """Choose the unit of a fitted rate.

    Parameters
    ----------
    unit
        ``rate`` (e-/px/s), ``electrons`` (e-/px/sub-frame), ``adu`` (ADU/px/sub-frame), or None: the first of them that
        is possible.
    camera
        With its gain.
    gain_known
        False when the gain is only taken as 1: electrons would be a guess.

    Returns
    -------
    unit : str
        The unit chosen.
    factor : float
        From e-/px/sub-frame to this unit.
    text : str
        The unit in words.

    Raises
    ------
    OptionError
        When the unit needs a gain or a time that is unknown.
    """
    gain, seconds = camera.gain_e_per_adu or 1.0, camera.t_subframe_s
    if unit is None:
        unit = "adu" if not gain_known else "electrons" if seconds is None else "rate"
    if unit not in UNITS:
        raise unknown("unit", unit, UNITS)
    if unit != "adu" and not gain_known:
        raise OptionError(f"unit {unit} needs the gain, and this ramp does not tell it; give --gain-e-per-adu")
    if unit == "adu":
        return unit, 1.0 / gain, "ADU/px/sub-frame"
    if unit == "electrons":
        return unit, 1.0, "e-/px/sub-frame"
    if seconds is None:
        raise OptionError(
            "unit rate is e-/px/s and needs the time per sub-frame, which is unknown here; give --t-subframe-s, or "
            "take --unit electrons"
        )
    return unit, 1.0 / seconds, "e-/px/s"


@dataclass(frozen=True)
class Scaling:
    """From ADU to the unit of difference images.

    Parameters
    ----------
    factor
        On the difference in ADU.
    text
        The unit in words.
    camera
        With its gain, where it was measured for this.
    notes
        How a missing gain was found.
    """

    factor: float
    text: str
    camera: Camera
    notes: tuple[str, ...]


def difference_scaling(exposure: Exposure, unit: str, difference: int) -> Scaling:
    """Choose the factor for difference images; a missing gain is measured from the ramp when the unit needs it.

    Raises
    ------
    OptionError
        When the unit is unknown, or needs a gain or time that nothing tells.
    """
    camera = exposure.camera
    notes: tuple[str, ...] = ()
    if unit in {"electrons", "rate"} and camera.gain_e_per_adu is None:
        known = complete_camera(exposure.reads, camera, first=exposure.first_valid)
        if known.gain_known:
            camera, notes = known.camera, known.notes
    factor, text = unit_scale(unit, difference, camera)
    return Scaling(factor, text, camera, notes)


def describe_differences(
    exposure: Exposure, windows: Sequence[tuple[int, int]], options: Mapping[str, Any], scaling: Scaling
) -> ImageMeta:
    """Describe a stack of difference images: labels ``reads 1-21``, Info keys, the time from image to image."""
    keys = {
        **scaling.camera.to_info(),
        **made_by("ndr subtract", options),
        "ndr.unit": str(options["unit"]),
        "ndr.unit_text": scaling.text,
        "ndr.difference": str(options["difference"]),
        "ndr.spacing": str(options["spacing"]),
        "ndr.first": str(options["first"]),
        "ndr.reads_used": reads_text(windows),
    }
    interval = None
    if exposure.interval_s and len(windows) > 1:
        interval = (windows[1][0] - windows[0][0]) * exposure.interval_s
    labels = [f"reads {a + 1}-{b + 1}" for a, b in windows]
    return meta_of(exposure, "TYX", labels, keys, frame_interval_s=interval)


def report_differences(
    out: Path, meta: ImageMeta, windows: Sequence[tuple[int, int]], notes: Sequence[str]
) -> dict[str, Any]:
    """Return what ``ndr subtract`` answers."""
    info = meta.info
    images = f"{len(windows)} difference image{'s' if len(windows) != 1 else ''}"
    sub_frames = f"{info['ndr.difference']} sub-frame{'s' if info['ndr.difference'] != '1' else ''}"
    return {
        "out": str(out),
        "frames": len(windows),
        "windows": [[a + 1, b + 1] for a, b in windows],
        "difference": int(info["ndr.difference"]),
        "spacing": info["ndr.spacing"],
        "first": int(info["ndr.first"]),
        "unit": info["ndr.unit"],
        "unit_text": info["ndr.unit_text"],
        "notes": list(notes),
        "summary": [
            f"{out}: {images} of {sub_frames}, {info['ndr.spacing']}, in {info['ndr.unit_text']}",
            f"reads used (from 1): {info['ndr.reads_used']}",
            *notes,
        ],
    }

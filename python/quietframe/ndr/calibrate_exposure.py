"""Calibrate an exposure file: what ``ndr calibrate`` answers, and its read-noise map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..images import Image, write_image
from ..progress import Progress, silent
from .exposure import Exposure
from .photon_transfer import Examination, NoiseMap, Value, examine, read_noise_map
from .quality import Masked, Quality
from .reads import check_range
from .results import made_by, meta_of


@dataclass(frozen=True)
class CalibratedExposure:
    """A calibration with the map that was asked for.

    Parameters
    ----------
    examined
        Gain, read noise and checks.
    gain_e_per_adu
        The gain: given, else measured, else None.
    first, last
        Reads used, from 1, both included.
    noise_map
        Read noise of each pixel, or None.
    """

    examined: Examination
    gain_e_per_adu: float | None
    first: int
    last: int
    noise_map: NoiseMap | None


def calibrate_exposure(
    exposure: Exposure,
    first: int | None,
    last: int | None,
    *,
    with_map: bool = False,
    quality: Quality | None = None,
    progress: Progress = silent,
) -> CalibratedExposure:
    """Calibrate an exposure; reads count from 1, both ends included; pixels with a masked read are left out.

    Raises
    ------
    InputError
        When the ramp tells no noise, see `calibrate.calibrate`.
    """
    start = exposure.first_valid if first is None else first - 1
    start, stop = check_range(len(exposure.reads), start, last)
    given = exposure.camera.gain_e_per_adu
    reads = exposure.reads if quality is None else Masked(exposure.reads, quality).as_reads()
    examined = examine(reads, first=start, last=stop, gain_e_per_adu=given)
    gain = given or examined.calibration.gain_e_per_adu
    noise_map = None
    if with_map:
        noise_map = read_noise_map(reads, examined, gain, first=start, last=stop, progress=progress)
    return CalibratedExposure(examined, gain, start + 1, stop, noise_map)


def write_map(exposure: Exposure, calibrated: CalibratedExposure, path: Path, *, overwrite: bool = False) -> None:
    """Write the read-noise map, electrons rms; ADU rms where the gain is unknown."""
    if calibrated.noise_map is None:
        return
    gain = calibrated.gain_e_per_adu
    options = {"first": calibrated.first, "last": calibrated.last}
    keys = {
        **made_by("ndr calibrate", options),
        "ndr.unit": "adu" if gain is None else "electrons",
        "ndr.unit_text": "ADU rms per read" if gain is None else "e- rms per read",
        "ndr.reads_used": f"{calibrated.first}-{calibrated.last}",
        "ndr.map": "read noise",
    }
    if gain is not None:
        keys["ndr.gain_e_per_adu"] = repr(float(gain))
    meta = meta_of(exposure, "YX", [f"read noise, reads {calibrated.first}-{calibrated.last}"], keys)
    array = calibrated.noise_map.noise_adu * np.float32(gain or 1.0)
    image = Image(array, meta.axes, meta.pixel_size_um, None, meta.info, meta.labels)
    write_image(path, image, dtype="float32", overwrite=overwrite)


def report(exposure: Exposure, calibrated: CalibratedExposure, map_path: Path | None) -> dict[str, Any]:
    """Return what ``ndr calibrate`` answers."""
    found, examined = calibrated.examined.calibration, calibrated.examined
    gain = calibrated.gain_e_per_adu
    noise_e = None if gain is None else found.read_noise_adu * gain
    noise_error = None if gain is None else found.read_noise_error * gain
    notes = [*exposure.notes, *examined.warnings]
    if found.saturation_adu is not None:
        notes.append(f"ramps stop rising at about {found.saturation_adu:.0f} ADU")
    filled = calibrated.noise_map.filled if calibrated.noise_map is not None else 0
    if filled:
        notes.append(
            f"{filled} pixels of the map have no whole ramp (saturated, masked or missing reads): mean read noise there"
        )
    return {
        "reads_used": [calibrated.first, calibrated.last],
        "gain_e_per_adu": found.gain_e_per_adu,
        "gain_error": found.gain_error,
        "gain_given": exposure.camera.gain_e_per_adu,
        "read_noise_e": noise_e,
        "read_noise_error_e": noise_error,
        "read_noise_adu": found.read_noise_adu,
        "read_noise_error_adu": found.read_noise_error,
        "saturation_adu": found.saturation_adu,
        "mean_variance_gain": _value(examined.classic_gain),
        "curvature": _value(examined.curvature),
        "neighbour_coupling": _value(examined.coupling),
        "pixels_used": int(examined.seen.mean.size),
        "read_noise_map": None if map_path is None else str(map_path),
        "warnings": list(examined.warnings),
        "notes": notes,
        "summary": [*_lines(calibrated, noise_e, noise_error), *notes],
    }


def _value(value: Value | None) -> list[float] | None:
    return None if value is None else [float(value.value), float(value.error)]


def _lines(calibrated: CalibratedExposure, noise_e: float | None, noise_error: float | None) -> list[str]:
    """Return gain and read noise in words."""
    found, classic = calibrated.examined.calibration, calibrated.examined.classic_gain
    lines = []
    if found.gain_e_per_adu is None or found.gain_error is None:
        lines.append(f"gain unknown: {found.reason}")
    else:
        lines.append(f"gain {found.gain_e_per_adu:.4g} +- {found.gain_error:.2g} e-/ADU")
    if classic is not None:
        lines.append(f"gain by the mean-variance line, as a check: {classic.value:.4g} +- {classic.error:.2g} e-/ADU")
    if noise_e is None or noise_error is None:
        lines.append(f"read noise {found.read_noise_adu:.4g} +- {found.read_noise_error:.2g} ADU rms per read")
    else:
        lines.append(f"read noise {noise_e:.4g} +- {noise_error:.2g} e- rms per read")
    return lines

"""What a fit may take besides the camera: corrections, a read-noise map, dark current, times of the reads."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import InputError, OptionError
from ..images import read_image
from ..progress import Progress
from .calibrate import KnownCamera
from .corrections import Border, Corrected, Linearity, Reference
from .correlated_noise import structure_function, worst_inflation
from .dose import dose_pattern
from .exposure import Exposure, open_exposure
from .fit import MASKED, NOT_FINITE, FitTuning, RampFit, fit_ramp, saturation_level
from .fit_uneven import fit_uneven
from .quality import BORDER_KEY, Masked, Quality, border_of, read_quality
from .reads import Reads
from .uneven import ReadPattern

if TYPE_CHECKING:
    from .fit_exposure import FitRequest


@dataclass(frozen=True)
class FitExtras:
    """Options of ``ndr fit`` that most exposures do not need.

    Parameters
    ----------
    read_noise_map
        File with the read noise of every pixel, as ``ndr calibrate`` writes it.
    dark_e_per_s
        Dark current to take off, e-/px/s.
    dark
        File with the rate of a dark exposure, as ``ndr fit`` writes it; taken off instead.
    dark_ramp
        Dark exposure that tells the correlation of the read noise.
    reference
        ``x,y,w,h`` of pixels without light.
    linearity
        ``a2`` or ``a2,a3``.
    times
        File with the time of each read [s].
    dose_time
        Whether to fit in dose time.
    quality, quality_bits
        File of the data-quality mask, and the bits of it that count.
    reference_border
        Width of the border of reference pixels; None: the file's key says.
    """

    read_noise_map: Path | None = None
    dark_e_per_s: float | None = None
    dark: Path | None = None
    dark_ramp: Path | None = None
    reference: str | None = None
    linearity: str | None = None
    times: Path | None = None
    dose_time: bool = False
    quality: Path | None = None
    quality_bits: int | None = None
    reference_border: int | None = None

    def used(self) -> dict[str, Any]:
        """Return the options that were given; files by their name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.name if isinstance(value, Path) else value
            for name, value in values.items()
            if value is not None and value is not False
        }


@dataclass(frozen=True)
class Prepared:
    """Everything a fit needs, read and checked.

    Parameters
    ----------
    camera
        With the time of a sub-frame.
    extras
        The options.
    pattern
        Read times in sub-frames, None where they are equally spaced.
    noise_map
        e- rms, or None.
    structure
        Structure function of the read noise, or None.
    dark
        Dark current, e-/px/sub-frame, or None.
    quality
        Reads that are left out, or None.
    border
        Width of the reference border, pixels.
    notes
        Sentences for the user.
    """

    camera: Camera
    extras: FitExtras
    pattern: ReadPattern | None
    noise_map: NDArray[Any] | None
    structure: NDArray[Any] | None
    dark: NDArray[Any] | None
    quality: Quality | None
    border: int
    notes: tuple[str, ...]

    def fit(
        self,
        exposure: Exposure,
        request: FitRequest,
        tuning: FitTuning,
        used: tuple[int, int],
        progress: Progress,
    ) -> RampFit:
        """Correct the reads, fit them, take the dark current off."""
        extras = self.extras
        reads, camera, tuning, level = self._corrected(exposure.reads, request.full_well_fraction, tuning)
        pattern = self.pattern
        if extras.dose_time:
            pattern = dose_pattern(reads, first=used[0], last=used[1], saturation_adu=min(level, 1e20))
        partly = self.quality is not None and self.quality.uneven(*used)
        if (pattern is not None or partly) and request.method != "optimal":
            what = "ramps with masked reads" if partly else "reads that are not equally spaced"
            raise OptionError(f"{what} are fitted by method optimal only; got {request.method}")
        if pattern is None and partly:
            if self.structure is not None:
                raise OptionError("a dark ramp (--dark-ramp) cannot be used where single reads are masked")
            pattern = ReadPattern.of_times(np.arange(len(reads), dtype=np.float64))
        if pattern is None:
            fit = fit_ramp(
                reads, camera, method=request.method, first=used[0], last=used[1],
                full_well_fraction=request.full_well_fraction, tuning=tuning, progress=progress,
            )  # fmt: skip
        else:
            fit = fit_uneven(
                reads, camera, pattern, first=used[0], last=used[1],
                full_well_fraction=request.full_well_fraction, tuning=tuning, progress=progress,
            )  # fmt: skip
        self._flag_masked(exposure, fit, used)
        return fit if self.dark is None else replace(fit, rate=(fit.rate - self.dark).astype(np.float32))

    def _corrected(
        self, reads: Reads, full_well_fraction: float, tuning: FitTuning
    ) -> tuple[Reads, Camera, FitTuning, float]:
        """Return the reads as they are fitted, with the camera and tuning that go with them, and the stored level."""
        extras, camera = self.extras, self.camera
        level = saturation_level(camera, full_well_fraction, reads.stored)
        level = min(level, np.inf if tuning.saturation_adu is None else tuning.saturation_adu)
        if extras.reference or extras.linearity or self.border:
            reference: Reference | Border | None = Border(self.border) if self.border else None
            if extras.reference is not None:
                reference = _reference(extras.reference)
            curve = None
            if extras.linearity is not None:
                curve = Linearity.of(_numbers(extras.linearity, "linearity"), camera)
            reads = Corrected(reads, level, reference, curve).as_reads()
            # Corrected reads may lie a little above the stored level; saturated ones are far above everything.
            camera, tuning = replace(camera, full_well_e=None), replace(tuning, saturation_adu=1e20)
        if self.quality is not None:  # last: reference pixels are masked, too
            reads = Masked(reads, self.quality).as_reads()
        return reads, camera, tuning, level

    def _flag_masked(self, exposure: Exposure, fit: RampFit, used: tuple[int, int]) -> None:
        """Flag the pixels with masked reads; these are no missing numbers of the camera."""
        if self.quality is None:
            return
        masked = self.quality.some(*used)
        missing = np.zeros(masked.shape, bool)
        if exposure.reads.dtype.kind == "f":
            for plane in exposure.reads.planes(*used):
                missing |= ~np.isfinite(plane)
        fit.flags[masked & ~missing] &= ~np.uint8(NOT_FINITE)
        fit.flags[masked] |= MASKED


def quality_of(exposure: Exposure, extras: FitExtras) -> tuple[Quality | None, int]:
    """Return the reads that are left out, or None, and the width of the reference border, see `read_quality`."""
    border = border_of(exposure.info.get(BORDER_KEY), extras.reference_border, str(exposure.path))
    return read_quality(extras.quality, extras.quality_bits, border, exposure.reads.shape), border


def prepare_extras(exposure: Exposure, known: KnownCamera, extras: FitExtras, used: tuple[int, int]) -> Prepared:
    """Read and check what was asked for.

    Raises
    ------
    InputError, OptionError
        For files of another size, times that do not fit, values that something else must be known for.
    """
    camera, size = known.camera, exposure.reads.shape[1:]
    pattern, notes = None, []
    times = _times(extras.times) if extras.times is not None else exposure.times_s
    if times is not None:
        if extras.dose_time:
            raise OptionError("dose time needs equally spaced reads; these have times of their own")
        groups = [[time] if isinstance(time, float) else list(time) for time in times]
        pattern = ReadPattern.of_groups(groups)
        if len(groups) != len(exposure.reads):
            raise InputError(f"{len(groups)} read times for {len(exposure.reads)} reads; one for each is needed")
        unit = camera.t_subframe_s or float(np.median(np.diff(pattern.times)))
        camera, pattern = replace(camera, t_subframe_s=unit), pattern.scaled(unit)
        notes.append(f"reads are not equally spaced: rates per sub-frame are per {unit:.4g} s")
    noise_map = None
    if extras.read_noise_map is not None:
        noise_map = _plane(extras.read_noise_map, size, "read-noise map")
        if read_image(extras.read_noise_map).info.get("ndr.unit") == "adu":
            noise_map = noise_map * (camera.gain_e_per_adu or 1.0)
    structure = None
    if extras.dark_ramp is not None:
        with open_exposure(extras.dark_ramp) as dark:
            structure = structure_function(dark.reads, camera.gain_e_per_adu or 1.0, used[1] - used[0])
        more = worst_inflation(structure, camera.read_noise_e or 0.0)
        notes.append(
            f"correlated read noise from {extras.dark_ramp.name}: the read-noise error of a least-squares slope is "
            f"{more:.2f} times that of white noise; variances contain it"
        )
        if pattern is not None or extras.dose_time:
            raise OptionError("a dark ramp (--dark-ramp) can be used with equally spaced reads only")
    quality, border = quality_of(exposure, extras)
    dark_rate = _dark(extras, camera, size)
    return Prepared(camera, extras, pattern, noise_map, structure, dark_rate, quality, border, tuple(notes))


def _dark(extras: FitExtras, camera: Camera, size: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the dark current to take off, e-/px/sub-frame."""
    if extras.dark is not None:
        rate = _plane(extras.dark, size, "dark rate")
        unit = read_image(extras.dark).info.get("ndr.unit", "rate")
        if unit == "rate":
            return rate * _seconds(camera)
        return rate * ((camera.gain_e_per_adu or 1.0) if unit == "adu" else 1.0)
    if extras.dark_e_per_s is not None:
        return np.full(size, extras.dark_e_per_s * _seconds(camera))
    return None


def _seconds(camera: Camera) -> float:
    if camera.t_subframe_s is None:
        raise OptionError("a dark current per second needs the time of a sub-frame; give --t-subframe-s")
    return camera.t_subframe_s


def _plane(path: Path, size: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """Read a plane of the size of the exposure."""
    array = np.squeeze(read_image(path).array)
    if array.shape != size:
        raise InputError(f"{path}: the {what} has the shape {array.shape}, the reads {size}; they must be the same")
    return np.asarray(array, np.float64)


def _times(path: Path) -> list[float | list[float]]:
    """Read times [s]: JSON (a list of numbers, or of lists for averaged reads) or text with one read in each line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as text: {error}; give a file with one time [s] in each line"
        ) from None
    try:
        if text.lstrip().startswith("["):
            values = json.loads(text)
            return [[float(v) for v in value] if isinstance(value, list) else float(value) for value in values]
        lines = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
        return [[float(word) for word in line] for line in lines]
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: times must be numbers, one read in each line ({error})") from None


def _numbers(text: str, what: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise OptionError(f"{what} takes numbers with commas between them; got {text!r}") from None


def _reference(text: str) -> Reference:
    numbers = _numbers(text, "reference")
    if len(numbers) != 4 or any(number != int(number) for number in numbers):
        raise OptionError(f"reference takes x,y,width,height in whole pixels; got {text!r}")
    return Reference(*(int(number) for number in numbers))

"""Difference images made of ALL reads of their window: the optimal fit of k + 1 reads, times k.

It is the same light and the same time as read[i + k] - read[i], with less noise: nothing is gained where photons rule,
up to sqrt(k/6) where read noise rules. Windows that share no read stay independent, since each takes its weights from
its own reads. Reads above saturation are left out; a pixel with fewer than two is NaN.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import OptionError
from ..images import ImageMeta, write_planes
from ..progress import Progress, silent
from . import weights
from .calibrate import KnownCamera, complete_camera
from .exposure import Exposure
from .fit import FitTuning, fit_ramp
from .reads import Reads, as_reads
from .results import Scaling, describe_differences, report_differences
from .subtract import Window, unit_scale

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class FittedWindow:
    """One difference image out of a fit.

    Parameters
    ----------
    difference
        Electrons collected in k sub-frames, shape (Y, X), float32; NaN where fewer than two reads are usable.
    variance
        Of `difference`, e-^2, float32.
    """

    difference: Plane
    variance: Plane


def fit_windows(
    reads: Reads | NDArray[Any],
    windows: Sequence[Window],
    camera: Camera,
    *,
    saturation_adu: float | None = None,
    progress: Progress = silent,
) -> Iterator[FittedWindow]:
    """Fit the reads of each window.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    windows
        Pairs ``(a, b)`` from `difference_windows`; reads a ... b are used.
    camera
        With its gain and read noise.
    saturation_adu
        Reads above this are left out; None: from the camera's full well.
    progress
        Told after each image.

    Yields
    ------
    FittedWindow
    """
    stack = as_reads(reads)
    tuning = FitTuning(jump_sigma=None, saturation_adu=saturation_adu)
    for done, (a, b) in enumerate(windows, 1):
        fit = fit_ramp(stack, camera, first=a, last=b + 1, tuning=tuning)
        yield FittedWindow(fit.rate * np.float32(b - a), fit.variance * np.float32((b - a) ** 2))
        progress("fitting windows", done, len(windows))


def snr_gain(difference: int, flux_e: float, read_noise_e: float) -> float:
    """Return how much larger the signal-to-noise ratio of a fitted window is than that of the difference of two reads.

    Parameters
    ----------
    difference
        k, sub-frames.
    flux_e, read_noise_e
        e-/px/sub-frame and e- rms, one of them above 0.

    Examples
    --------
    >>> round(snr_gain(20, 0.2, 5.0), 2)
    1.75
    """
    two_reads = flux_e / difference + 2.0 * read_noise_e**2 / difference**2
    return float(np.sqrt(two_reads * weights.information(difference + 1, flux_e, read_noise_e)))


@dataclass
class WindowWriter:
    """Writes fitted windows, and their variances where wanted, in one pass; memory: a few planes.

    Parameters
    ----------
    exposure
        The exposure.
    windows
        Its windows, all of one length.
    known
        The camera they are fitted with.
    scaling
        From ADU to the unit of the output.
    """

    exposure: Exposure
    windows: Sequence[Window]
    known: KnownCamera
    scaling: Scaling
    _medians: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def make(cls, exposure: Exposure, windows: Sequence[Window], unit: str) -> WindowWriter:
        """Complete the camera, which a fit needs whatever the unit.

        Raises
        ------
        OptionError
            When the unit needs a gain or a time that nothing tells.
        """
        known = complete_camera(exposure.reads, exposure.camera, first=exposure.first_valid)
        if unit in {"electrons", "rate"} and not known.gain_known:
            raise OptionError(f"unit {unit} needs the gain, and this ramp does not tell it; give --gain-e-per-adu")
        a, b = windows[0]
        factor, text = unit_scale(unit, b - a, known.camera)
        # A gain that is only taken as 1 is not written down as if it were known.
        camera = known.camera if known.gain_known else exposure.camera
        return cls(exposure, windows, known, Scaling(factor, text, camera, known.notes))

    def run(
        self,
        out: Path,
        variance: Path | None,
        options: Mapping[str, Any],
        *,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> dict[str, Any]:
        """Write everything and return what ``ndr subtract`` answers."""
        meta = describe_differences(self.exposure, self.windows, {**options, "fit_window": "true"}, self.scaling)
        self.write(out, variance, meta, overwrite=overwrite, progress=progress)
        noise = self.report(variance)
        notes = (*self.exposure.notes, *noise["notes"])
        return noise | report_differences(out, meta, self.windows, notes)

    def write(
        self, out: Path, variance: Path | None, meta: ImageMeta, *, overwrite: bool = False, progress: Progress = silent
    ) -> None:
        """Write the images, and then the variances, which wait in a temporary file meanwhile."""
        with tempfile.TemporaryFile() as spool, ExitStack() as undo:
            planes = self._planes(spool if variance is not None else None, progress)
            write_planes(out, planes, meta, overwrite=overwrite)
            if variance is not None:
                undo.callback(out.unlink, missing_ok=True)
                info = {**meta.info, "ndr.unit_text": f"({meta.info['ndr.unit_text']})^2"}
                labels = tuple(f"variance of {label}" for label in meta.labels)
                spool.seek(0)
                described = replace(meta, info=info, labels=labels)
                write_planes(variance, self._spooled(spool, meta), described, overwrite=overwrite)
                undo.pop_all()

    def _planes(self, spool: IO[bytes] | None, progress: Progress) -> Iterator[Plane]:
        factor = np.float32(self.scaling.factor / (self.known.camera.gain_e_per_adu or 1.0))
        fits = fit_windows(
            self.exposure.reads,
            self.windows,
            self.known.camera,
            saturation_adu=self.known.saturation_adu,
            progress=progress,
        )
        for fit in fits:
            if spool is not None:
                spool.write((fit.variance * factor**2).astype("<f4").tobytes())
            with np.errstate(invalid="ignore"):
                self._medians.append((float(np.nanmedian(fit.difference)), float(np.nanmedian(fit.variance))))
            yield fit.difference * factor

    @staticmethod
    def _spooled(spool: IO[bytes], meta: ImageMeta) -> Iterator[Plane]:
        shape = meta.shape[-2:]
        for _ in range(meta.n_planes):
            yield np.frombuffer(spool.read(4 * shape[0] * shape[1]), "<f4").reshape(shape)

    def report(self, variance: Path | None) -> dict[str, Any]:
        """Return what the answer says of the noise; to be called after `write`."""
        a, b = self.windows[0]
        noise = self.known.camera.read_noise_e or 0.0
        collected, spread = (float(np.nanmedian([pair[i] for pair in self._medians])) for i in (0, 1))
        flux = max(collected, 0.0) / (b - a)
        factor = self.scaling.factor / (self.known.camera.gain_e_per_adu or 1.0)
        two_reads = factor * float(np.sqrt(flux * (b - a) + 2.0 * noise**2))
        sigma = factor * float(np.sqrt(spread))
        line = (
            f"each image is the fit of its {b - a + 1} reads: median noise {sigma:.3g} {self.scaling.text}, "
            f"{two_reads:.3g} from its first and last read alone (SNR x {two_reads / sigma if sigma else 1.0:.2f})"
        )
        return {
            "fit_window": True,
            "variance": None if variance is None else str(variance),
            "median_sigma": sigma,
            "median_sigma_two_reads": two_reads,
            "notes": [line, *self.known.notes],
        }

"""`quietframe ndr`: simulate an exposure, make difference images, fit its rate, calibrate the camera, measure SNR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..camera import Camera
from ..errors import OptionError
from ..ndr.simulated_camera import SimulatedCamera
from ..progress import Progress, silent

__all__ = ["CameraOptions", "FitOptions", "SimulatedCamera", "calibrate", "fit", "measure", "simulate", "subtract"]


@dataclass(frozen=True)
class CameraOptions:
    """What is known of the camera; it wins over the keys in the file, and single values win over the camera file.

    Parameters
    ----------
    camera
        A camera file (JSON) with these names as keys.
    gain_e_per_adu
        Gain, electrons per digital number; by default measured from the ramp.
    read_noise_e
        Read noise of one read, electrons rms; by default measured from the ramp.
    t_subframe_s
        Time from one read to the next, seconds.
    full_well_e
        Full well, electrons.
    black_adu
        Digital number of an empty well.
    dark_e_per_s
        Dark current, electrons per pixel and second. A fit takes it off when it is given here; what an exposure's own
        keys say of it is only noted.
    """

    camera: Path | None = None
    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    t_subframe_s: float | None = None
    full_well_e: float | None = None
    black_adu: float | None = None
    dark_e_per_s: float | None = None

    def to_camera(self) -> Camera:
        """Return the camera of these options."""
        stored = Camera() if self.camera is None else Camera.from_json(self.camera)
        return stored.updated(
            Camera(
                self.gain_e_per_adu,
                self.read_noise_e,
                self.t_subframe_s,
                self.full_well_e,
                self.black_adu,
                self.dark_e_per_s,
            )
        )


@dataclass(frozen=True)
class FitOptions:
    """Corrections before the fit, and planes that are written beside the rate.

    Parameters
    ----------
    chi2
        File for chi2 of each ramp against a straight line (n_used - 2 degrees of freedom).
    n_used
        File for the number of reads used.
    read_noise_map
        Read noise of every pixel, as ndr calibrate writes it.
    dark
        Rate of a dark exposure, as ndr fit writes it; taken off after the fit.
    dark_ramp
        Dark exposure (reads): its read noise is searched for correlation, and variances are made to contain it.
    reference
        x,y,width,height of pixels without light; what they show is taken off each read, row by row where the rectangle
        spans all rows.
    linearity
        a2 or a2,a3 of v = q (1 - a2 u - a3 u^2), u = q / full well: inverted exactly, on signed data.
    times
        File with the time of each read in seconds, one read in each line; several in a line: their mean was stored.
    dose_time
        Fit against the light collected in the whole image instead of the clock: no bias where the light fades.
    quality
        Data-quality mask, one plane or one for each read: reads where it is not 0 are left out.
    quality_bits
        Sum of the bits of the mask that make a read bad; by default any.
    reference_border
        Width in pixels of a border of reference pixels, which see no light: their median is taken off each read, and
        they are flagged; by default what the file's ndr.reference_border says.
    """

    chi2: Path | None = None
    n_used: Path | None = None
    read_noise_map: Path | None = None
    dark: Path | None = None
    dark_ramp: Path | None = None
    reference: str | None = None
    linearity: str | None = None
    times: Path | None = None
    dose_time: bool = False
    quality: Path | None = None
    quality_bits: int | None = None
    reference_border: int | None = None


_NO_OPTIONS = CameraOptions()
_PLAIN_FIT = FitOptions()
_USUAL_CAMERA = SimulatedCamera()


def simulate(
    out: Path,
    /,
    *,
    image: Path | None = None,
    scene: str | None = None,
    size: int | None = None,
    flux: float = 1.0,
    background: float = 0.0,
    seed: int = 0,
    settings: Annotated[SimulatedCamera, Parameter(name="*")] = _USUAL_CAMERA,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Simulate an exposure of a non-destructive-readout camera that looks at an image or a drawn scene.

    Beside OUT (NAME.tif) its exact truth is written: NAME_TRUTH.tif, the mean rate in electrons per pixel and
    sub-frame with dark current, and NAME_TRUTH_PARTS.tif with the scene, the dark current, the read noise, and the
    first read after a cosmic ray and in saturation (0: none).

    Parameters
    ----------
    out
        Exposure to write, e.g. neuron_E0001_NDR.tif.
    image
        The scene: one gray plane; not together with a drawn scene.
    scene
        Draw the scene instead: filaments (smooth random walks, blurred) or blobs (Gaussian spots).
    size
        Edge of a drawn scene in pixels; by default 512.
    flux
        Light of its bright structures (99.9 percentile), electrons per pixel and sub-frame.
    background
        Light everywhere, electrons per pixel and sub-frame; the scene's 0.1 percentile becomes this.
    seed
        Seed of all randomness.
    settings
        The camera.
    overwrite
        Replace files that exist.
    """
    import numpy as np

    from ..ndr.simulate import Simulation
    from ..ndr.simulated_files import check_outputs, report, scene_for, write_simulation

    paths = check_outputs(out, overwrite=overwrite)
    light, scaling, pixel_size, source = scene_for(image, scene, size, (flux, background), seed)
    simulation = Simulation(light, settings, np.random.default_rng(seed))
    options = {**source, "flux": flux, "background": background, "seed": seed}
    truth = write_simulation(paths, simulation, pixel_size, options, overwrite=overwrite, progress=progress)
    return report(paths, settings, truth, scaling)


def subtract(
    source: Path,
    out: Path,
    /,
    *,
    difference: int,
    first: int | None = None,
    spacing: str = "guarded",
    fit_window: bool = False,
    variance: Path | None = None,
    unit: str = "adu",
    exposure_number: int = 1,
    axes: str | None = None,
    camera: Annotated[CameraOptions, Parameter(name="*")] = _NO_OPTIONS,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Make difference images: read[i + K] - read[i], float32, signed, never clipped.

    Parameters
    ----------
    source
        Exposure: a stack whose T axis counts the reads.
    out
        Stack of difference images to write, e.g. neuron_E0001_D020.tif.
    difference
        K, sub-frames in one difference image.
    first
        First read used, from 1; by default the file's ndr.first_valid, else 1.
    spacing
        guarded (windows K+1 apart: independent noise), abutting (K apart, one read shared), rolling (1 apart), single.
    fit_window
        Fit all K+1 reads of each difference instead of using two: the same light and time with less noise (SNR up to
        x 1.9 at K = 20, where read noise rules). Pixels without two reads below saturation are NaN.
    variance
        With --fit-window: file for the variance of each image.
    unit
        adu, electrons, or rate (electrons per pixel and second).
    exposure_number
        Which exposure, from 1, of a file that holds several.
    axes
        Letters to use instead of the file's, e.g. TYX for a ramp that was saved as a z-stack.
    camera
        What is known of the camera.
    overwrite
        Replace OUT if it exists.
    """
    from ..images import write_planes
    from ..ndr.exposure import open_exposure
    from ..ndr.fit_window import WindowWriter
    from ..ndr.results import describe_differences, difference_scaling, report_differences
    from ..ndr.subtract import difference_windows, differences
    from ..outputs import check_output

    for path in filter(None, (out, variance)):
        check_output(path, overwrite=overwrite)
    if variance and not fit_window:
        raise OptionError("--variance goes with --fit-window; without it the variance is rate x K + 2 s^2")
    with open_exposure(source, camera=camera.to_camera(), axes=axes, number=exposure_number - 1) as exposure:
        start = exposure.first_valid if first is None else first - 1
        windows = difference_windows(len(exposure.reads), difference, start, spacing)
        options = {"difference": difference, "first": start + 1, "spacing": spacing, "unit": unit}
        if fit_window:
            fitted = WindowWriter.make(exposure, windows, unit)
            return fitted.run(out, variance, options, overwrite=overwrite, progress=progress)
        scaled = difference_scaling(exposure, unit, difference)
        meta = describe_differences(exposure, windows, options, scaled)
        planes = differences(exposure.reads, windows, scale=scaled.factor, progress=progress)
        write_planes(out, planes, meta, overwrite=overwrite)
        return report_differences(out, meta, windows, (*exposure.notes, *scaled.notes))


def fit(
    source: Path,
    out_rate: Path,
    /,
    *,
    variance: Path | None = None,
    flags: Path | None = None,
    method: str = "optimal",
    first: int | None = None,
    last: int | None = None,
    jump_sigma: float = 5.0,
    full_well_fraction: float = 0.85,
    unit: str | None = None,
    exposure_number: int = 1,
    axes: str | None = None,
    camera: Annotated[CameraOptions, Parameter(name="*")] = _NO_OPTIONS,
    options: Annotated[FitOptions, Parameter(name="*")] = _PLAIN_FIT,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Fit the rate of every pixel from all reads of an exposure.

    Gain and read noise that are not given are measured from the ramp itself, and the output says so. Pixels that cannot
    be fitted are NaN and flagged.

    Parameters
    ----------
    source
        Exposure: a stack whose T axis counts the reads.
    out_rate
        Rate to write, e.g. neuron_E0001_RATE.tif.
    variance
        File for the variance of the rate: three planes, total, Poisson part, read-noise part.
    flags
        File for the flags (sum of 1 saturated, 2 jump, 4 not finite, 8 unusable, 16 falling, 32 masked).
    method
        optimal, last-first, fowler or lsq.
    first
        First read used, from 1; by default the file's ndr.first_valid, else 1.
    last
        Last read used, from 1, included; by default the last of the exposure.
    jump_sigma
        Steps in a ramp above this significance are cosmic rays and cut out; that of a ramp of 100 reads: longer or
        darker ramps need larger steps, so that none has more false alarms. 0: ramps are not tested.
    full_well_fraction
        Part of the full well up to which reads are trusted.
    unit
        rate (e-/px/s), electrons (e-/px/sub-frame) or adu (ADU/px/sub-frame); by default the first that is known.
    exposure_number
        Which exposure, from 1, of a file that holds several.
    axes
        Letters to use instead of the file's, e.g. TYX for a ramp that was saved as a z-stack.
    camera
        What is known of the camera.
    options
        Corrections and further outputs.
    overwrite
        Replace outputs that exist.
    """
    from ..ndr.exposure import open_exposure
    from ..ndr.fit_exposure import FitFiles, FitRequest, fit_exposure, report, write_fit
    from ..ndr.fit_extras import FitExtras
    from ..outputs import check_output

    files = FitFiles(out_rate, variance, flags, options.chi2, options.n_used)
    for path in files.given():
        check_output(path, overwrite=overwrite)
    given = camera.to_camera()
    extras = FitExtras(
        options.read_noise_map, given.dark_e_per_s, options.dark, options.dark_ramp, options.reference,
        options.linearity, options.times, options.dose_time, options.quality, options.quality_bits,
        options.reference_border,
    )  # fmt: skip
    request = FitRequest(method, first, last, jump_sigma, full_well_fraction, unit, extras)
    with open_exposure(source, camera=given, axes=axes, number=exposure_number - 1) as exposure:
        fitted = fit_exposure(exposure, request, progress=progress)
        written = write_fit(exposure, fitted, files, overwrite=overwrite)
        return report(exposure, fitted, written)


def calibrate(
    source: Path,
    /,
    *,
    read_noise_map: Path | None = None,
    first: int | None = None,
    last: int | None = None,
    quality: Path | None = None,
    quality_bits: int | None = None,
    reference_border: int | None = None,
    exposure_number: int = 1,
    axes: str | None = None,
    camera: Annotated[CameraOptions, Parameter(name="*")] = _NO_OPTIONS,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Measure gain and read noise of the camera from one exposure, with no flats and no darks.

    Along a ramp shot noise is white and read noise is not, which tells one from the other. The classic mean-variance
    line is given beside it, and a warning where a non-linear camera or coupled pixels make the gain unsafe.

    Parameters
    ----------
    source
        Exposure: a stack whose T axis counts the reads.
    read_noise_map
        File for the read noise of every pixel, electrons rms per read.
    first
        First read used, from 1; by default the file's ndr.first_valid, else 1.
    last
        Last read used, from 1, included; by default the last of the exposure.
    quality
        Data-quality mask, one plane or one for each read: pixels with a read where it is not 0 are left out.
    quality_bits
        Sum of the bits of the mask that make a read bad; by default any.
    reference_border
        Width in pixels of a border of reference pixels, left out; by default what the file's ndr.reference_border says.
    exposure_number
        Which exposure, from 1, of a file that holds several.
    axes
        Letters to use instead of the file's, e.g. TYX for a ramp that was saved as a z-stack.
    camera
        What is known of the camera; with its gain the read noise is more certain.
    overwrite
        Replace the map if it exists.
    """
    from ..ndr.calibrate_exposure import calibrate_exposure, report, write_map
    from ..ndr.exposure import open_exposure
    from ..ndr.fit_extras import FitExtras, quality_of
    from ..outputs import check_output

    if read_noise_map is not None:
        check_output(read_noise_map, overwrite=overwrite)
    with open_exposure(source, camera=camera.to_camera(), axes=axes, number=exposure_number - 1) as exposure:
        mask, _ = quality_of(
            exposure, FitExtras(quality=quality, quality_bits=quality_bits, reference_border=reference_border)
        )
        wanted = read_noise_map is not None
        done = calibrate_exposure(exposure, first, last, with_map=wanted, quality=mask, progress=progress)
        if read_noise_map is not None:
            write_map(exposure, done, read_noise_map, overwrite=overwrite)
        return report(exposure, done, read_noise_map)


def measure(
    files: list[Path],
    /,
    *,
    restored: Annotated[list[Path] | None, Parameter(consume_multiple=True)] = None,
    bright: str | None = None,
    dark: str | None = None,
    csv: Path | None = None,
    plot: Path | None = None,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Measure the report's SNR = mean(bright) / std(dark) and PSNR' = max / std(dark), frame by frame.

    Both follow the report they come from, for comparison, raw and with the background subtracted. PSNR' also grows when
    an image is merely blurred or clipped, so a gain in it is no evidence of restoration. Files that know their
    difference (ndr.difference) give a curve: SNR ~ A k^p, PSNR' ~ A k^p + C with the floor C that the maximum of pure
    noise makes. Regions that are not given are the brightest and darkest 17 x 17 square of the longest difference, and
    the output says so. With restored files, or just two files, the percent gain is given.

    Parameters
    ----------
    files
        Noisy images or stacks of one size, e.g. one stack per difference.
    restored
        Their restored versions, in the same order.
    bright
        Bright region: an ImageJ .roi file, a RoiSet.zip with one ROI, or x,y,w,h; by default found automatically.
    dark
        Dark region, given in the same way.
    csv
        File for one line per frame.
    plot
        File for a plot against the difference, or the frame (.png, .pdf, .svg).
    overwrite
        Replace outputs that exist.
    """
    from ..ndr import measure as room
    from ..ndr import measure_series
    from ..ndr.figures import check_format
    from ..outputs import atomic_output

    room.check_outputs(csv, plot, overwrite=overwrite)
    if plot is not None:
        check_format(plot)
    listed = room.list_files(files, restored or [])
    with room.open_gray(room.region_source(listed).path) as reader:
        regions = room.choose_regions(reader, bright, dark)
    rows: list[dict[str, Any]] = []
    for done, file in enumerate(listed, 1):
        with room.open_gray(file.path) as reader:
            rows += room.measure_frames(reader, regions, file)
        progress("measuring", done, len(listed))
    if csv is not None:
        with atomic_output(csv, overwrite=overwrite) as partial:
            room.write_csv(partial, rows)
    if plot is not None:
        with atomic_output(plot, overwrite=overwrite) as partial:
            measure_series.plot(partial, rows, regions.bright.size)
    return measure_series.summarize(rows, regions)

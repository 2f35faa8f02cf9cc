"""The steps of the demo: simulate or open, divide, train, denoise in Python and in ImageJ, measure."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import Image, read_image, write_image
from ..metrics.single import Block
from ..ndr.split import Split
from ..progress import Progress

READS, FLUX_E, READ_NOISE_E = 150, 2.0, 3.0
"""The simulated exposure: sub-frames, electrons per sub-frame in the brightest structures, read noise.

Without hot pixels: their dark current is real charge, which a blind-spot network cannot know of and which no report
should count as its error. On real data a dark is subtracted, or they are masked, before anything is learned.
"""

IMAGEJ_TIMEOUT_S = 240
"""What ImageJ may take, its jars from Maven Central included, before the demo goes on without it."""

METHODS = {"n2v": "N2V", "care": "CARE"}

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Stage:
    """Where files go, whether they are replaced, who is told."""

    out: Path
    overwrite: bool
    progress: Progress

    def file(self, name: str) -> Path:
        """Return a path in the output folder."""
        return self.out / name


@dataclass(frozen=True)
class Ramp:
    """One exposure, divided; planes are in `unit`, scaled to one difference image."""

    source: Path
    split: Split
    noisy: Plane
    held_out: Plane
    fit: Plane
    truth: Plane | None
    unit: str
    notes: tuple[str, ...]
    bright: Block
    dark: Block
    pixel_size_um: float | None
    n_reads: int


@dataclass(frozen=True)
class Row:
    """One picture and its numbers; errors are rms in the pictures' unit, None where they cannot be known."""

    name: str
    snr: float
    psnr_prime: float
    error_from_reads: float | None
    error_from_truth: float | None
    snr_imagej: float | None = None
    contradicted_px: int | None = None

    def numbers(self) -> dict[str, Any]:
        """Return the numbers as a plain dict."""
        return asdict(self)

    def line(self, ramp: Ramp) -> str:
        """Return the line a person reads."""
        parts = [f"{self.name}: SNR {self.snr:.1f}"]
        if self.error_from_reads is not None:
            parts.append(f"rms error {self.error_from_reads:.2f} {ramp.unit} by reads no training saw")
        if self.error_from_truth is not None:
            parts.append(f"{self.error_from_truth:.2f} against the exact truth")
        return ", ".join(parts)


@dataclass(frozen=True)
class InImageJ:
    """What ImageJ made of the same models; `why_not` says why it could not run."""

    why_not: str | None = None
    version: str = ""
    provider: str = ""
    max_difference: float | None = None
    snr: dict[str, float] | None = None

    def numbers(self) -> dict[str, Any]:
        """Return the numbers as a plain dict."""
        return asdict(self)

    def line(self) -> str:
        """Return the line a person reads."""
        if self.why_not is not None:
            return f"ImageJ: not run ({self.why_not})"
        pixels = f"largest difference {self.max_difference:.1e} of the range" if self.max_difference else "identical"
        return (
            f"ImageJ {self.version}: the same models give the same pixels as in Python ({pixels}, on {self.provider})"
        )


def simulate(stage: Stage, seed: int) -> tuple[Path, Plane]:
    """Put a real micrograph behind the simulated camera; return the exposure's file and the exact rate.

    The scene is the DAB stain density of the immunohistochemistry micrograph that scikit-image's wheel carries: cell
    membranes of colon glands, which look like a membrane stain in fluorescence.
    """
    from skimage.color import rgb2hed
    from skimage.data import immunohistochemistry

    from . import ndr

    density = rgb2hed(immunohistochemistry())[..., 2].astype(np.float32)
    scene = stage.file("scene.tif")
    write_image(scene, Image(density, "YX", {"Y": 0.5, "X": 0.5}, None, {}), overwrite=stage.overwrite)
    exposure = stage.file("glands_E0001_NDR.tif")
    made = ndr.simulate(
        exposure,
        image=scene,
        flux=FLUX_E,
        seed=seed,
        settings=ndr.SimulatedCamera(reads=READS, read_noise_e=READ_NOISE_E, hot_fraction=0.0),
        overwrite=stage.overwrite,
        progress=stage.progress,
    )
    return exposure, np.asarray(read_image(made["truth"]).array, np.float32)


def prepare(stage: Stage, source: Path, truth: Plane | None) -> Ramp:
    """Make the difference images and fits that training and judgement use, and write them; none shares a read."""
    from ..metrics.single import brightest_block, darkest_block
    from ..ndr.calibrate import complete_camera
    from ..ndr.exposure import open_exposure
    from ..ndr.fit import FitTuning, fit_ramp
    from ..ndr.split import split_exposure
    from ..ndr.subtract import differences

    with open_exposure(source) as exposure:
        reads, first = exposure.reads, exposure.first_valid
        split = split_exposure(len(reads), first)
        known = complete_camera(reads, exposure.camera, first=first)
        k, gain = split.difference, known.camera.gain_e_per_adu or 1.0
        windows = [*split.inputs, split.held_out]
        planes = list(differences(reads, windows, scale=gain, progress=stage.progress))
        tuning = FitTuning(saturation_adu=known.saturation_adu)

        def fitted(begin: int, end: int) -> Plane:
            fit = fit_ramp(reads, known.camera, first=begin, last=end, tuning=tuning, progress=stage.progress)
            return np.asarray(np.nan_to_num(fit.rate) * k, np.float32)

        sides = {span: fitted(*span) for span in dict.fromkeys(split.targets)}
        rate = fitted(first, split.held_out[0])
    unit = "e-" if known.gain_known else "ADU"
    targets = np.stack([sides[span] for span in split.targets])
    size = dict(exposure.pixel_size_um)
    info = {
        "quietframe.command": "demo",
        "ndr.unit": "electrons" if known.gain_known else "adu",
        "ndr.difference": str(k),
    }
    _write_parts(stage, {f"noisy_D{k:03d}.tif": np.stack(planes[:-1]), "care_targets.tif": targets}, size, info)
    _write_parts(stage, {f"held_out_D{k:03d}.tif": planes[-1], "fit_RATE.tif": rate}, size, info)
    return Ramp(
        source, split, planes[0], planes[-1], rate, None if truth is None else np.asarray(truth * k, np.float32), unit,
        (*exposure.notes, *known.notes), brightest_block(rate), darkest_block(rate), size.get("X"), len(reads),
    )  # fmt: skip


def _write_parts(stage: Stage, arrays: dict[str, Plane], size: dict[str, float], info: dict[str, str]) -> None:
    for name, array in arrays.items():
        image = Image(array, "TYX"[-array.ndim :], size, None, info)
        write_image(stage.file(name), image, overwrite=stage.overwrite)


def _noisy_file(stage: Stage) -> Path:
    return next(iter(sorted(stage.out.glob("noisy_D*.tif"))))


def train_both(stage: Stage, steps: int, seed: int) -> dict[str, Path]:
    """Train N2V and CARE on the same noisy stack; return their packages by method."""
    from . import train
    from .train_options import method_options

    noisy = _noisy_file(stage)
    models = {}
    for method in METHODS:
        target = [stage.file("care_targets.tif")] if method == "care" else None
        schedule = replace(method_options(method).schedule, steps=steps, seed=seed)

        def named(message: str, done: int, total: int, method: str = method) -> None:
            stage.progress(f"{METHODS[method]} {message}", done, total)

        done = train.make_command(method)(
            [noisy],
            out=stage.file(f"run_{method}"),
            target=target,
            schedule=schedule,
            overwrite=stage.overwrite,
            progress=named,
        )
        models[method] = Path(done["model"])
    return models


def denoise_both(stage: Stage, models: dict[str, Path]) -> dict[str, Path]:
    """Denoise the noisy stack with each package in Python; return the results by method."""
    from . import denoise

    results = {}
    for method, model in models.items():
        results[method] = stage.file(f"denoised_{method}.tif")
        denoise.denoise(
            _noisy_file(stage),
            results[method],
            model=model,
            provider="cpu",
            overwrite=stage.overwrite,
            progress=stage.progress,
        )
    return results


def measure(ramp: Ramp, denoised: dict[str, Path], imagej: InImageJ) -> list[Row]:
    """Measure the first difference image, the fit and both results in the same two regions."""
    pictures = {f"Difference {ramp.split.difference}": ramp.noisy, "Optimal fit": ramp.fit}
    pictures |= {METHODS[method]: read_image(path).array[0] for method, path in denoised.items()}
    rows = [_row(name, picture, ramp) for name, picture in pictures.items()]
    found = imagej.snr or {}
    return [replace(row, snr_imagej=found.get(row.name)) for row in rows]


def _row(name: str, picture: Plane, ramp: Ramp) -> Row:
    from ..judge.honesty import judge_plane
    from ..metrics.single import psnr_prime, report_snr

    bright, dark = ramp.bright.mask(picture.shape), ramp.dark.mask(picture.shape)
    judged = judge_plane(ramp.noisy, picture, ramp.held_out)
    truth = None if ramp.truth is None else float(np.sqrt(np.mean((picture.astype(np.float64) - ramp.truth) ** 2)))
    return Row(
        name=name,
        snr=report_snr(picture, bright, dark),
        psnr_prime=psnr_prime(picture, dark),
        error_from_reads=judged.result.rms,
        error_from_truth=truth,
        contradicted_px=judged.n_flagged,
    )


def run_in_imagej(stage: Stage, ramp: Ramp, models: dict[str, Path], denoised: dict[str, Path]) -> InImageJ:
    """Denoise the same stack with the same packages in ImageJ, in a process of its own, and compare the pixels.

    Where ImageJ cannot run (no Java, no jars, no time) the demo goes on and says why.
    """
    noisy = _noisy_file(stage)
    results = {method: stage.file(f"denoised_{method}_imagej.tif") for method in models}
    task = {
        "models": {method: [str(model), str(results[method])] for method, model in models.items()},
        "noisy": str(noisy),
        "bright": str(ramp.bright),
        "dark": str(ramp.dark),
    }
    stage.progress("ImageJ", 0, 1)
    command = [sys.executable, "-m", "quietframe.verbs.demo_imagej", json.dumps(task)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMAGEJ_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return InImageJ(why_not=f"it took more than {IMAGEJ_TIMEOUT_S} s")
    finally:
        stage.progress("ImageJ", 1, 1)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return InImageJ(why_not=said[-1] if said else f"its process ended with code {done.returncode}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    largest = 0.0
    for method, path in results.items():
        ours = read_image(denoised[method]).array
        reach = float(ours.max() - ours.min())
        largest = max(largest, float(np.abs(read_image(path).array - ours).max()) / reach)
    snr = {METHODS[method]: value for method, value in answer["snr"].items()}
    return InImageJ(None, answer["version"], answer["provider"], largest, snr)

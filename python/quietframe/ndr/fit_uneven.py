"""Fit an exposure whose reads are not equally spaced, or averaged, or missing in some pixels; see `uneven`.

The steps are those of `fit`. Here a missing (NaN) read is left out of its ramp and the reads after it still count.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import InputError, OptionError
from ..progress import Progress, silent
from .false_alarms import thresholds
from .fit import FALLING, JUMP, NOT_FINITE, SATURATED, UNUSABLE, FitTuning, Plane, RampFit, saturation_level
from .guess import HALO, guess_flux
from .jumps import NOISIEST
from .reads import Reads, as_reads, check_range
from .uneven import ReadPattern, Solution, solve

CHUNK_SAMPLES = 2**19
"""Reads x pixels solved at a time."""

MOST_JUMPS = 8
"""Jumps looked for in one ramp."""


@dataclass(frozen=True)
class _Job:
    """What all blocks share."""

    reads: Reads
    first: int
    last: int
    pattern: ReadPattern
    gain: float
    noise: Plane
    level: float
    jump_sigma: float | None
    given: NDArray[Any] | None


def fit_uneven(
    reads: Reads | NDArray[Any],
    camera: Camera,
    pattern: ReadPattern,
    *,
    first: int = 0,
    last: int | None = None,
    full_well_fraction: float = 0.85,
    tuning: FitTuning | None = None,
    progress: Progress = silent,
) -> RampFit:
    """Fit the rate of every pixel by generalised least squares, whatever the times of the reads.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    camera
        `gain_e_per_adu` and `read_noise_e` must be known.
    pattern
        Times of all N reads, sub-frames.
    first, last
        Reads used, ``reads[first:last]``, from 0.
    full_well_fraction
        Part of the full well up to which reads are trusted.
    tuning
        Jump test, flux guess, saturation level, read-noise map, threads.
    progress
        Told after each block of rows.

    Returns
    -------
    RampFit
        Rates in e-/px/sub-frame.

    Raises
    ------
    InputError
        When there are not as many times as reads.
    OptionError
        For a camera without gain or read noise.
    """
    stack = as_reads(reads)
    first, last = check_range(len(stack), first, last)
    if len(pattern.times) != len(stack):
        raise InputError(f"{len(pattern.times)} read times were given for {len(stack)} reads; one for each is needed")
    if camera.gain_e_per_adu is None or camera.read_noise_e is None:
        raise OptionError("a fit needs the gain (gain_e_per_adu) and the read noise (read_noise_e)")
    tuning = tuning or FitTuning()
    level = saturation_level(camera, full_well_fraction, stack.stored)
    level = min(level, np.inf if tuning.saturation_adu is None else tuning.saturation_adu)
    size = stack.shape[1:]
    noise = np.asarray(np.broadcast_to(tuning.noise_in(camera.read_noise_e, size), size), np.float32)
    given = None if tuning.flux_guess is None else np.broadcast_to(np.asarray(tuning.flux_guess, np.float64), size)
    job = _Job(
        stack, first, last, pattern.part(first, last), camera.gain_e_per_adu, noise, level, tuning.jump_sigma, given
    )
    return _fit_blocks(job, tuning.threads or min(8, os.cpu_count() or 1), progress)


def _fit_blocks(job: _Job, threads: int, progress: Progress) -> RampFit:
    _, height, width = job.reads.shape
    out = RampFit.empty(height, width)
    blocks = job.reads.row_blocks(job.last - job.first)
    with ThreadPoolExecutor(threads) as pool:
        for done, (start, stop) in enumerate(blocks, 1):
            low, high = max(0, start - HALO), min(height, stop + HALO)
            raw = job.reads.rows(low, high, job.first, job.last)
            kept, flags = _kept_reads(raw, job.level)
            guess = _guess(job, raw, kept, low)
            inside = slice(start - low, stop - low)
            _fit_rows(job, (raw[:, inside], kept[:, inside], flags[inside], guess[inside]), out, (start, stop), pool)
            progress("fitting", done, len(blocks))
    with np.errstate(invalid="ignore"):
        out.flags[out.rate < -5.0 * np.sqrt(out.variance)] |= FALLING
    return out


def _kept_reads(raw: NDArray[Any], level: float) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Find the reads that count: finite, and before the first saturated one."""
    finite = np.isfinite(raw)
    with np.errstate(invalid="ignore"):
        over = (raw > level) & finite
    before = ~np.logical_or.accumulate(over, axis=0)
    kept = finite & before
    flags = np.where(before[-1], 0, SATURATED).astype(np.uint8)
    flags[~finite.all(axis=0)] |= NOT_FINITE
    flags[kept.sum(axis=0) < 2] |= UNUSABLE
    return kept, flags


def _guess(job: _Job, raw: NDArray[Any], kept: NDArray[np.bool_], low: int) -> Plane:
    """Guess the flux from the least-squares slope of the kept reads."""
    rows = slice(low, low + raw.shape[1])
    if job.given is not None:
        return np.asarray(np.maximum(job.given[rows], 0.0), np.float32)
    n = kept.sum(axis=0)
    times = job.pattern.times[:, None, None]
    values = np.where(kept, raw, 0).astype(np.float64) - np.where(kept[0], raw[0], 0)
    values[~kept] = 0.0
    count = np.maximum(n, 1)
    middle = (times * kept).sum(axis=0) / count
    away = np.where(kept, times - middle, 0.0)
    spread = np.einsum("iyx,iyx->yx", away, away)
    slope = np.einsum("iyx,iyx->yx", away, values) * job.gain / np.maximum(spread, 1e-12)
    slope[n < 2] = 0.0
    duration = float(job.pattern.times[-1] - job.pattern.times[0])
    # As many equally spaced reads as cover the same time: close enough for a guess.
    noise = float(np.median(job.noise)) / np.sqrt(float(job.pattern.counts.mean()) * _density(job, duration))
    guess, _ = guess_flux(slope.astype(np.float32), noise, max(2, round(duration) + 1))
    return guess


def _density(job: _Job, duration: float) -> float:
    """Return reads per sub-frame."""
    return max((len(job.pattern.times) - 1) / max(duration, 1e-12), 1e-6)


def _fit_rows(
    job: _Job,
    block: tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8], Plane],
    out: RampFit,
    rows: tuple[int, int],
    pool: ThreadPoolExecutor,
) -> None:
    """Fit rows of an exposure, some pixels at a time."""
    raw, kept, flags, guess = block
    n = len(raw)
    ramps, keep = raw.reshape(n, -1), kept.reshape(n, -1)
    noise, flux = job.noise[rows[0] : rows[1]].ravel().astype(np.float64), guess.ravel().astype(np.float64)
    flag = flags.ravel().copy()
    planes = [getattr(out, name)[rows[0] : rows[1]].reshape(-1) for name in out.__dataclass_fields__]
    size = max(256, CHUNK_SAMPLES // n)

    def work(start: int) -> None:
        part = slice(start, start + size)
        values = np.where(keep[:, part], ramps[:, part], 0).astype(np.float64) * job.gain
        values -= values[0]
        found, jumped = solve_with_jumps(values, job.pattern, (flux[part], noise[part]), keep[:, part], job.jump_sigma)
        flag[part] |= np.where(jumped, JUMP, 0).astype(np.uint8)
        flag[part] |= np.where(np.isnan(found.rate), UNUSABLE, 0).astype(np.uint8)
        results = (found.rate, found.shot, found.read, found.chi2, found.used, flag[part], flux[part])
        for plane, values_ in zip(planes, results, strict=True):
            plane[part] = values_

    list(pool.map(work, range(0, ramps.shape[1], size)))


def solve_with_jumps(
    ramps: NDArray[np.float64],
    pattern: ReadPattern,
    flux_and_noise: tuple[NDArray[np.float64], NDArray[np.float64]],
    kept: NDArray[np.bool_],
    jump_sigma: float | None,
) -> tuple[Solution, NDArray[np.bool_]]:
    """Fit ramps; where one jumps the difference with the strongest jump is left out, until none is left.

    Parameters
    ----------
    ramps
        Electrons, shape (N, P).
    pattern
        Times of the reads.
    flux_and_noise
        Flux and read noise per pixel, shape (P,) each.
    kept
        Reads that count, shape (N, P).
    jump_sigma
        Significance of a jump; None: no test.

    Returns
    -------
    Solution
        The fit.
    jumped : ndarray of shape (P,), bool
        Ramps with a jump.
    """
    flux, noise = flux_and_noise
    found = solve(ramps, pattern, flux, noise, kept=kept, test_jumps=jump_sigma is not None)
    jumped = np.zeros(ramps.shape[1], bool)
    if jump_sigma is None:
        return found, jumped
    level = _jump_level(pattern, flux, noise, jump_sigma)
    without = np.zeros((len(ramps) - 1, ramps.shape[1]), bool)
    looking = np.arange(ramps.shape[1])
    current = found
    for _ in range(MOST_JUMPS):
        place, hit = _jump_place(current, level[looking])
        if not hit.any():
            break
        looking, place = looking[hit], place[hit]
        jumped[looking] = True
        without[place, looking] = True
        current = solve(
            ramps[:, looking], pattern, flux[looking], noise[looking],
            kept=kept[:, looking], without=without[:, looking], test_jumps=True,
        )  # fmt: skip
        for name in ("rate", "shot", "read", "chi2", "used"):
            getattr(found, name)[looking] = getattr(current, name)
    return found, jumped


def _jump_level(
    pattern: ReadPattern, flux: NDArray[np.float64], noise: NDArray[np.float64], jump_sigma: float
) -> NDArray[np.float64]:
    """Return how many sigma make a jump in each ramp (`false_alarms`), with the usual time between two reads."""
    gap, count = float(np.median(np.diff(pattern.times))), float(np.median(pattern.counts))
    usual = max(float(np.median(noise)), 1e-2)
    # The threshold depends on flux / noise^2 first: a noisier pixel is like a darker one.
    light = np.maximum(flux, 1e-9) * gap * np.square(usual / np.maximum(noise, 1e-2))
    return thresholds(light, usual / np.sqrt(count), len(pattern.times), jump_sigma)


def _jump_place(found: Solution, level: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where each ramp jumps most, and whether that is a jump, judged by the pixel's own residuals."""
    score = np.nan_to_num(np.abs(found.significance), nan=0.0)
    place = score.argmax(axis=0)
    highest = score[place, np.arange(len(place))]
    freedom = np.maximum(np.isfinite(found.significance).sum(axis=0) - 2, 1)
    with np.errstate(invalid="ignore"):
        own = np.sqrt(np.clip((found.chi2 - highest**2) / freedom, 1.0, NOISIEST**2))
        return place, (highest > level * own) & (found.used >= 4)

"""Fit the rate of every pixel from all reads of an exposure, with the variance of that rate.

The steps, in this order: cut each ramp at its first saturated (or not finite) read; guess the flux; fit with the
weights for that flux; test for jumps, cut the ramps that jump and fit their pieces. The default, ``optimal``, is
generalised least squares: never worse than last minus first, and up to sqrt(N/6) better where read noise rules.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import InputError, OptionError, unknown
from ..progress import Progress, silent
from . import jumps, products
from . import weights as rules
from .bank import ENTRIES, Bank, Solver, flux_grid
from .guess import HALO, guess_flux
from .reads import Reads, as_reads, check_range

SATURATED = 1
"""Flag: the ramp was cut at its first read above the saturation level."""
JUMP = 2
"""Flag: the ramp jumps; it was cut there and its pieces were combined."""
NOT_FINITE = 4
"""Flag: a read is NaN or infinite; the ramp was cut there."""
UNUSABLE = 8
"""Flag: fewer than two reads are left; the rate is NaN."""
FALLING = 16
"""Flag: the rate is below 0 by more than five sigma."""

MASKED = 32
"""Flag: the data-quality mask or the reference border takes at least one read out; the others are used."""

FLAG_NAMES = {
    SATURATED: "saturated", JUMP: "jump", NOT_FINITE: "not finite", UNUSABLE: "unusable", FALLING: "falling",
    MASKED: "masked",
}  # fmt: skip

CHUNK_BYTES = 2**19
"""Ramps worked on at a time [bytes], so that they stay in a core's cache."""

MANY_JUMPS, MANY_JUMPS_PART = 500, 0.02
"""More jumping ramps in a block than this (count, part of the pixels) are no cosmic rays but light that changes: they
are flagged, and their rate stays the one of the whole ramp."""

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class FitTuning:
    """What rarely changes.

    Parameters
    ----------
    jump_sigma
        Significance, of a ramp of 100 reads (`false_alarms`), above which a step is a jump; None: ramps are not
        tested, and chi2 is NaN.
    flux_guess
        Flux per pixel for the weights, shape (Y, X) or one number, e-/px/sub-frame; None: guessed from the ramp.
    saturation_adu
        Digital number above which a read counts as saturated; None: from the camera's full well.
    threads
        Threads; None: as many as there are cores, at most 8.
    noise_map
        Read noise of every pixel, shape (Y, X), e- rms; None: the camera's everywhere.
    structure
        Structure function of correlated read noise, ``<(r_{i+L} - r_i)^2> / 2`` at the lags L = 0 ... , shape (>= N,),
        e-^2; None: the read noise is white.
    """

    jump_sigma: float | None = 5.0
    flux_guess: float | NDArray[Any] | None = None
    saturation_adu: float | None = None
    threads: int | None = None
    noise_map: NDArray[Any] | None = None
    structure: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.jump_sigma is not None and not 1.0 <= self.jump_sigma <= 8.0:
            raise OptionError(
                f"jump_sigma must lie between 1 and 8 (5 is usual), or be left out; got {self.jump_sigma}"
            )

    def noise_in(self, read_noise_e: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the read noise of every pixel, e- rms; one number where there is no map.

        Raises
        ------
        InputError
            When the map has another size, or values that are no noise.
        """
        if self.noise_map is None:
            return np.asarray(read_noise_e, np.float32)
        noise = np.asarray(self.noise_map, np.float32)
        if noise.shape != shape:
            raise InputError(
                f"the read-noise map has the shape {noise.shape}, the reads {shape}; they must be the same"
            )
        if not np.isfinite(noise).all() or noise.min() <= 0.0:
            raise InputError("the read-noise map must hold finite numbers above 0 (electrons rms)")
        return noise


@dataclass(frozen=True)
class RampFit:
    """The fitted rate and all that is known of its error; every plane has the shape (Y, X).

    Parameters
    ----------
    rate
        e-/px/sub-frame, float32, signed; NaN where flagged `UNUSABLE`.
    variance_poisson, variance_read
        The parts of the variance from photons and from read noise, (e-/px/sub-frame)^2, float32.
    chi2
        Residual of the ramp against a straight line, float32; n_used - 2 degrees of freedom. NaN where not computed.
    n_used
        Reads used, int32.
    flags
        Sum of the flags of this module, uint8.
    weight_flux
        Flux the weights were made for, e-/px/sub-frame, float32.
    """

    rate: Plane
    variance_poisson: Plane
    variance_read: Plane
    chi2: Plane
    n_used: NDArray[np.int32]
    flags: NDArray[np.uint8]
    weight_flux: Plane

    @classmethod
    def empty(cls, height: int, width: int) -> RampFit:
        """Return planes to be filled."""
        planes = [np.full((height, width), np.nan, np.float32) for _ in range(5)]
        used, flags = np.zeros((height, width), np.int32), np.zeros((height, width), np.uint8)
        return cls(planes[0], planes[1], planes[2], planes[3], used, flags, planes[4])

    @property
    def variance(self) -> Plane:
        """Both parts of the variance, (e-/px/sub-frame)^2."""
        return self.variance_poisson + self.variance_read

    def flag_counts(self) -> dict[str, int]:
        """Count the pixels of each flag, those that occur."""
        counts = {name: int(np.count_nonzero(self.flags & flag)) for flag, name in FLAG_NAMES.items()}
        return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True)
class _Job:
    """One fit: what all its row blocks share."""

    reads: Reads
    first: int
    last: int
    method: str
    gain: float
    noise: float
    saturation_adu: float
    tuning: FitTuning
    dtype: Any
    relative: Plane

    @property
    def n(self) -> int:
        return self.last - self.first


def saturation_level(camera: Camera, full_well_fraction: float, dtype: Any) -> float:
    """Return the digital number above which a read is saturated: part of the full well, or the end of the number range.

    Parameters
    ----------
    camera
        With `full_well_e`, `gain_e_per_adu` and `black_adu` (0 when unknown: the cut then comes earlier, never later).
    full_well_fraction
        Part of the full well that is still trusted, in (0, 1].
    dtype
        Type of the stored reads.
    """
    if not 0.0 < full_well_fraction <= 1.0:
        raise OptionError(f"full_well_fraction must be above 0 and at most 1; got {full_well_fraction}")
    end = np.inf
    if np.dtype(dtype).kind in "ui":
        end = float(np.iinfo(dtype).max) - 0.5  # a read that sits at the end of the range is cut off there
    if camera.full_well_e is None or camera.gain_e_per_adu is None:
        return end
    well = full_well_fraction * camera.full_well_e / camera.gain_e_per_adu
    return min(end, (camera.black_adu or 0.0) + well)


def fit_ramp(
    reads: Reads | NDArray[Any],
    camera: Camera,
    *,
    method: str = "optimal",
    first: int = 0,
    last: int | None = None,
    full_well_fraction: float = 0.85,
    tuning: FitTuning | None = None,
    progress: Progress = silent,
) -> RampFit:
    """Fit the rate of every pixel from equally spaced reads.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU. Worked on in float32; in float64 when they are float64.
    camera
        `gain_e_per_adu` and `read_noise_e` must be known (`calibrate.complete_camera` finds them in the ramp).
    method
        ``optimal``, ``last-first``, ``fowler`` or ``lsq``.
    first, last
        Reads used, ``reads[first:last]``, from 0.
    full_well_fraction
        Part of the full well up to which reads are trusted.
    tuning
        Jump test, flux guess, saturation level, threads.
    progress
        Told after each block of rows.

    Returns
    -------
    RampFit
        Rates in e-/px/sub-frame.

    Raises
    ------
    InputError, OptionError
        For a range without two reads, an unknown method, a camera without gain or read noise.
    """
    stack = as_reads(reads)
    first, last = check_range(len(stack), first, last)
    tuning = tuning or FitTuning()
    if method not in rules.METHODS:
        raise unknown("method", method, rules.METHODS)
    if camera.gain_e_per_adu is None or camera.read_noise_e is None:
        raise OptionError(
            "a fit needs the gain (gain_e_per_adu) and the read noise (read_noise_e); calibrate them first"
        )
    level = saturation_level(camera, full_well_fraction, stack.stored)
    level = min(level, np.inf if tuning.saturation_adu is None else tuning.saturation_adu)
    wide = stack.dtype.itemsize == 8 or (stack.dtype.kind in "ui" and stack.dtype.itemsize > 2)
    dtype = np.float64 if wide else np.float32  # float32 holds 16-bit reads exactly, not 32-bit ones
    noise_map = tuning.noise_in(camera.read_noise_e, stack.shape[1:])
    noise = camera.read_noise_e if noise_map.ndim == 0 else float(np.median(noise_map))
    relative = np.asarray(noise_map / noise if noise_map.ndim else 1.0, np.float32)
    job = _Job(stack, first, last, method, camera.gain_e_per_adu, noise, level, tuning, dtype, relative)
    return _fit_blocks(job, progress)


def _fit_blocks(job: _Job, progress: Progress) -> RampFit:
    """Fit block by block of rows; the next block is read while this one is worked on by threads."""
    _, height, width = job.reads.shape
    result = RampFit.empty(height, width)
    blocks = job.reads.row_blocks(job.n)
    threads = job.tuning.threads or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    with ThreadPoolExecutor(threads) as pool:
        for done, (start, stop) in enumerate(blocks):
            low, high = max(0, start - HALO), min(height, stop + HALO)
            raw = job.reads.rows(low, high, job.first, job.last)
            usable, flags = _usable_reads(raw, job.saturation_adu)
            guess, around = _guess(job, raw, usable, low, pool)
            inside = slice(start - low, stop - low)
            noisier = np.broadcast_to(job.relative, (height, width))[start:stop]
            part = _Block(raw[:, inside], usable[inside], flags[inside], guess[inside], around[inside], noisier)
            _fit_block(job, part, _rows_of(result, start, stop), pool)
            progress("fitting", done + 1, len(blocks))
    sigma = np.sqrt(result.variance)
    with np.errstate(invalid="ignore"):
        result.flags[result.rate < -5.0 * sigma] |= FALLING
    return result


@dataclass(frozen=True)
class _Block:
    """Rows of an exposure with what is known before the fit."""

    raw: NDArray[Any]
    usable: NDArray[np.int32]
    flags: NDArray[np.uint8]
    guess: Plane
    around: Plane
    noisier: Plane


def _rows_of(fit: RampFit, start: int, stop: int) -> RampFit:
    """Return views of some rows, to be written into."""
    return RampFit(**{name: getattr(fit, name)[start:stop] for name in fit.__dataclass_fields__})


def _usable_reads(raw: NDArray[Any], level: float) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Count the reads before the first one that is saturated or not finite, and flag the pixels that have one."""
    n_reads = len(raw)
    usable = np.full(raw.shape[1:], n_reads, np.int32)
    flags = np.zeros(raw.shape[1:], np.uint8)
    highest = raw.max(axis=0)
    with np.errstate(invalid="ignore"):
        spoilt = ~(highest <= level)  # NaN is not below anything
    if raw.dtype.kind == "f":
        spoilt |= ~np.isfinite(highest) | ~np.isfinite(raw.min(axis=0))
    if spoilt.any():
        ramps = raw[:, spoilt]
        broken = ~np.isfinite(ramps)
        with np.errstate(invalid="ignore"):
            over = (ramps > level) & ~broken
        bad = over | broken
        count = bad.argmax(axis=0)
        usable[spoilt] = count
        at_cut = np.take_along_axis(broken, count[None], axis=0)[0]
        flags[spoilt] = np.where(at_cut, NOT_FINITE, SATURATED)
    flags[usable < 2] |= UNUSABLE
    return usable, flags


def _electrons(job: _Job, raw: NDArray[Any]) -> NDArray[Any]:
    """Return ramps (N, P) in electrons, counted from their first read, which leaves float32 digits for the signal."""
    ramps = raw.astype(job.dtype)
    ramps -= ramps[0].copy()
    ramps *= job.dtype(job.gain)
    return ramps


def _chunks(n_reads: int, pixels: int) -> list[slice]:
    size = max(2048, CHUNK_BYTES // (4 * n_reads))  # shorter rows cost more in calls than they save in cache
    return [slice(start, min(start + size, pixels)) for start in range(0, pixels, size)]


def _guess(
    job: _Job, raw: NDArray[Any], usable: NDArray[np.int32], low: int, pool: ThreadPoolExecutor
) -> tuple[Plane, Plane]:
    """Guess the flux of a block with its halo; pixels with a cut ramp get the mean of their usable differences."""
    shape = raw.shape[1:]
    given = job.tuning.flux_guess
    if given is not None:
        whole = np.broadcast_to(np.asarray(given, np.float32), job.reads.shape[1:])
        rows = np.maximum(whole[low : low + shape[0]], 0.0)
        return rows, rows
    flat = raw.reshape(job.n, -1)
    slope = np.zeros(flat.shape[1], job.dtype)
    weights = products.fold_weights(rules.of_reads(rules.least_squares(job.n)[None]) * job.gain).astype(job.dtype)

    def work(part: slice) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            slope[part] = products.multiply(weights, products.fold(flat[:, part], job.dtype))[0]

    list(pool.map(work, _chunks(job.n, flat.shape[1])))
    cut = np.flatnonzero(usable.ravel() < job.n)
    if cut.size:
        used = usable.ravel()[cut]
        last = np.maximum(used - 1, 1)
        with np.errstate(invalid="ignore"):
            slope[cut] = (flat[last, cut].astype(job.dtype) - flat[0, cut]) * job.gain / last
        slope[cut[used < 2]] = 0.0
    slope[~np.isfinite(slope)] = 0.0
    return guess_flux(slope.reshape(shape).astype(np.float32), job.noise, job.n)


@dataclass(frozen=True)
class _Ramps:
    """The results of some ramps, each of shape (P,)."""

    rate: Plane
    shot: Plane
    read: Plane
    chi2: Plane
    flux: Plane
    significance: Plane

    @classmethod
    def empty(cls, count: int) -> _Ramps:
        return cls(*(np.full(count, np.nan, np.float32) for _ in range(6)))

    def put(self, where: slice | NDArray[np.intp], other: _Ramps) -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name)[where] = getattr(other, name)


def _tables(job: _Job, n_reads: int, guess: Plane) -> tuple[Bank, Bank, Solver | None]:
    """Return the weights for ramps of `n_reads`, the optimal ones for the jump test, and its tables."""
    given = np.unique(guess) if job.tuning.flux_guess is not None else None
    if given is not None and len(given) <= ENTRIES:
        fluxes = given.astype(np.float64)  # exactly the fluxes that were asked for
    else:
        fluxes = flux_grid(n_reads, job.noise, float(guess.max()))
    bank = Bank.make(job.method, n_reads, job.noise, fluxes, structure=job.tuning.structure)
    if job.tuning.jump_sigma is None:
        return bank, bank, None
    noise = max(job.noise, 1e-2)
    positive = np.maximum(fluxes, 1e-9 * noise**2)
    best = bank if job.method == "optimal" else Bank.make("optimal", n_reads, job.noise, fluxes)
    return bank, best, Solver.make(n_reads, job.noise, positive, job.tuning.jump_sigma)


def _fit_ramps(
    job: _Job, raw: NDArray[Any], known: tuple[Plane, Plane], tables: tuple[Bank, Bank, Solver | None]
) -> _Ramps:
    """Fit whole ramps, raw ADU of shape (N, P), with their flux guess and their noise relative to the tables'.

    Weights depend on flux / noise^2 alone: a pixel twice as noisy takes the weights of a fourth of its flux.
    """
    guess, noisier = known
    bank, best, solver = tables
    alike = guess if job.relative.ndim == 0 else guess / np.square(noisier)
    entry = bank.entry_of(alike)
    chi2 = significance = np.full(len(guess), np.nan, np.float32)
    if solver is None:
        rate = products.choose(products.fold_weights(bank.of_reads), entry, products.fold(raw, job.dtype)) * job.gain
    else:
        ramps, among = _electrons(job, raw), best.entry_of(alike)
        rate = products.choose(bank.of_reads, entry, ramps)
        reference = rate if best is bank else products.choose(best.of_reads, among, ramps)
        chi2, significance = jumps.residual_test(ramps, reference, among, solver, noisier)
    shot = (guess * bank.shot[entry]).astype(np.float32)
    read = (np.square(job.noise * noisier) * bank.read[entry]).astype(np.float32)
    flux = guess
    if rules.depends_on_flux(job.method):
        flux = (bank.fluxes[entry] * np.square(noisier)).astype(np.float32)
    return _Ramps(rate.astype(np.float32), shot, read, chi2, flux, significance)


def _fit_block(job: _Job, block: _Block, out: RampFit, pool: ThreadPoolExecutor) -> None:
    """Fit rows: first all ramps as if whole, chunk by chunk; then those that were cut; then those that jump."""
    raw = block.raw.reshape(job.n, -1)
    guess, flags, used = block.guess.ravel(), block.flags.ravel().copy(), block.usable.ravel().copy()
    noisier = block.noisier.ravel()
    done = _Ramps.empty(guess.size)
    tables = _tables(job, job.n, (guess / np.square(noisier)).astype(np.float32))

    def work(part: slice) -> None:
        # NaN and Inf run through as they are: such ramps are cut, and fitted again, below.
        with np.errstate(invalid="ignore", over="ignore"):
            done.put(part, _fit_ramps(job, raw[:, part], (guess[part], noisier[part]), tables))

    list(pool.map(work, _chunks(job.n, guess.size)))
    _fit_cut_ramps(job, raw, (guess, noisier, used), done)
    if job.tuning.jump_sigma is not None:
        with np.errstate(invalid="ignore"):
            jumping = np.flatnonzero((done.significance > job.tuning.jump_sigma) & (used >= 4))
        flags[jumping] |= JUMP
        if jumping.size <= max(MANY_JUMPS, MANY_JUMPS_PART * guess.size):
            _fit_jumping_ramps(job, raw, jumping, (guess, block.around.ravel(), noisier, used), done)
    flags[~np.isfinite(done.rate)] |= UNUSABLE
    shape = out.rate.shape
    for plane, values in (
        (out.rate, done.rate),
        (out.variance_poisson, done.shot),
        (out.variance_read, done.read),
        (out.chi2, done.chi2),
        (out.weight_flux, done.flux),
    ):
        plane[...] = values.reshape(shape)
    out.n_used[...] = used.reshape(shape)
    out.flags[...] = flags.reshape(shape)


def _fit_cut_ramps(job: _Job, raw: NDArray[Any], known: tuple[Plane, Plane, NDArray[np.int32]], done: _Ramps) -> None:
    """Fit the ramps that end early, all of one length at a time."""
    guess, noisier, used = known
    for length in np.unique(used[used < job.n]):
        where = np.flatnonzero(used == length)
        if length < 2:
            done.put(where, _Ramps.empty(where.size))
        else:
            tables = _tables(job, int(length), (guess[where] / np.square(noisier[where])).astype(np.float32))
            done.put(where, _fit_ramps(job, raw[:length, where], (guess[where], noisier[where]), tables))


def _fit_jumping_ramps(
    job: _Job,
    raw: NDArray[Any],
    jumping: NDArray[np.intp],
    known: tuple[Plane, Plane, Plane, NDArray[np.int32]],
    done: _Ramps,
) -> None:
    """Cut the ramps that jump and combine their pieces; the flux guess is their neighbours', without the jump."""
    guess, around, noisier, used = known
    for pixel in jumping:
        ramp = _electrons(job, raw[: used[pixel], pixel : pixel + 1])[:, 0].astype(np.float64)
        noise = jumps.RampNoise(float(min(guess[pixel], around[pixel])), job.noise * float(noisier[pixel]))
        pieces = jumps.cut_at_jumps(ramp, noise, float(job.tuning.jump_sigma or np.inf))
        done.rate[pixel], done.shot[pixel], done.read[pixel] = jumps.combine(ramp, pieces, job.method, noise)
        done.flux[pixel] = noise.flux_e
        used[pixel] = sum(stop - start for start, stop in pieces)

"""How far a calibration from one ramp can be trusted, and the read noise of every pixel.

Three checks: the classic mean-variance line; whether bright pixels slow down along the ramp where dim ones do not (a
non-linear camera); whether neighbours share their shot noise (inter-pixel capacitance, which hides part of the variance
and makes the gain come out too high by about eight times the coupling).

References
----------
J. R. Janesick, "Photon Transfer", SPIE Press (2007).
A. C. Moore, Z. Ninkov, W. J. Forrest, "Quantum efficiency overestimation and deterministic cross talk resulting from
interpixel capacitance", Optical Engineering 45, 076402 (2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress, silent
from .calibrate import ROUNDING, Calibration, Prepared, Seen, alike, look, prepare, ratio, smooth_light, solve
from .noise_spectrum import CHUNK, Separation, differences, separate, transform
from .reads import Reads, as_reads, check_range

Floats = NDArray[np.float64]

SIGNIFICANT = 5.0
"""Errors a check must be away from 0 before it warns."""


@dataclass(frozen=True)
class Value:
    """A measured number and its standard error."""

    value: float
    error: float

    def clear(self, least: float) -> bool:
        """Say whether it is larger than `least` and far outside its error."""
        return abs(self.value) > max(least, SIGNIFICANT * self.error)


@dataclass(frozen=True)
class Examination:
    """A calibration with its checks.

    Parameters
    ----------
    calibration
        Gain and read noise.
    classic_gain
        Gain of the mean-variance line, e-/ADU; None without a gain.
    curvature
        Relative change of the rate of the brightest pixels along the ramp that dim pixels do not show.
    coupling
        Part of the charge seen in each neighbour; None without a gain.
    warnings
        Sentences for the user.
    seen
        The pixels it was made from.
    """

    calibration: Calibration
    classic_gain: Value | None
    curvature: Value
    coupling: Value | None
    warnings: tuple[str, ...]
    seen: Seen


def examine(
    reads: Reads | NDArray[Any], *, first: int = 0, last: int | None = None, gain_e_per_adu: float | None = None
) -> Examination:
    """Measure gain and read noise as `calibrate` does, and check what they rest on.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    first, last
        Reads used, ``reads[first:last]``, from 0.
    gain_e_per_adu
        The gain where it is known.

    Raises
    ------
    InputError
        As `calibrate.calibrate`.
    """
    prepared = prepare(reads, first, last)
    seen = look(prepared.sample, prepared.usable)
    found = solve(prepared, seen, gain_e_per_adu)
    curvature = _curvature(prepared, seen)
    gain = found.gain_e_per_adu
    classic = _classic(seen) if gain is not None else None
    coupling = _coupling(prepared, seen, gain) if gain is not None else None
    warnings = _warnings(found, classic, curvature, coupling)
    return Examination(found, classic, curvature, coupling, warnings, seen)


def _warnings(found: Calibration, classic: Value | None, curvature: Value, coupling: Value | None) -> tuple[str, ...]:
    lines = []
    if curvature.clear(0.01):
        lines.append(
            f"the brightest pixels change their rate by {100 * curvature.value:+.1f} % along the ramp and dim ones do "
            f"not: the camera is not linear, and the gain may be wrong by about {abs(75 * curvature.value):.1f} %"
        )
    if coupling is not None and coupling.clear(0.00125):
        lines.append(
            f"neighbouring pixels share their shot noise ({100 * coupling.value:.2f} % of the charge shows in each): "
            f"the gain comes out about {800 * coupling.value:.1f} % too high"
        )
    gain, error = found.gain_e_per_adu, found.gain_error
    if classic is not None and gain is not None and error is not None:
        apart = Value(classic.value / gain - 1.0, float(np.hypot(classic.error, error)) / gain)
        if apart.clear(0.03):
            lines.append(
                f"the mean-variance line says {classic.value:.4g} e-/ADU, the spectrum {gain:.4g}: the noise is not "
                "only photons and white read noise"
            )
    return tuple(lines)


def _classic(seen: Seen) -> Value | None:
    """Return the gain of a straight line through the variance of the differences against their mean."""
    n = len(seen.spectrum) + 1
    _, read = separate(seen.spectrum.mean(axis=1, dtype=np.float64))
    rows = []
    for part in alike(seen.light):
        variance = float(seen.spectrum[:, part].mean(dtype=np.float64))
        scatter = 2.0 * variance**2 / (n - 1) + read**2  # read noise differs from pixel to pixel: 2 s^2 by half of it
        rows.append((float(seen.mean[part].mean()), variance, len(part) / max(scatter, 1e-30)))
    mean, variance, trust = np.array(rows).T
    centre = np.sum(trust * mean) / trust.sum()
    spread = float(np.sum(trust * (mean - centre) ** 2))
    if spread <= 0.0:
        return None
    slope = float(np.sum(trust * (mean - centre) * variance)) / spread
    return Value(1.0 / slope, 1.0 / np.sqrt(spread) / slope**2) if slope > 0.0 else None


def _curvature(prepared: Prepared, seen: Seen) -> Value:
    """Compare the last third of the ramp with the first: what bright pixels do beyond a multiple of the dim ones."""
    sample = prepared.sample
    n = len(sample)
    third = max(1, (n - 1) // 3)
    early = sample[third].astype(np.float64) - sample[0]
    change = ((sample[-1].astype(np.float64) - sample[-1 - third]) - early)[seen.usable] / third
    scale = float(np.percentile(seen.light, 99.0)) or 1.0
    level = seen.light / scale
    basis = np.stack([np.ones_like(level), level, level**2])
    shot, read = separate(seen.spectrum.mean(axis=1, dtype=np.float64))
    noise = 2.0 * shot * seen.light / max(float(seen.light.mean()), 1e-12) / third + 4.0 * read / third**2
    trust = 1.0 / np.maximum(noise, 1e-12)
    inverse = np.linalg.pinv((basis * trust) @ basis.T)
    terms = inverse @ ((basis * trust) @ change)
    left = change - terms @ basis
    excess = max(1.0, float(np.mean(trust * left**2)))
    return Value(float(terms[2]) / scale, float(np.sqrt(max(inverse[2, 2], 0.0) * excess)) / scale)


def _coupling(prepared: Prepared, seen: Seen, gain: float) -> Value | None:
    """Return how much of a pixel's charge its neighbours in the row show, from the shot noise they share."""
    n = len(seen.spectrum) + 1
    shot, read = separate(seen.spectrum.mean(axis=1, dtype=np.float64))
    weights = Separation.of(n, shot, read).shot.astype(np.float32)
    index = np.full(seen.usable.shape, -1)
    index[seen.usable] = np.arange(seen.mean.size)
    shared, light, group = [], [], []
    rows = max(1, 2048 // seen.usable.shape[1])
    for start in range(0, len(index), rows):
        mine = index[start : start + rows]
        inside = mine >= 0
        if not inside.any():
            continue
        ramps = prepared.sample[:, start : start + rows][:, inside]
        waves = transform(differences(ramps), seen.light[mine[inside]], seen.common)
        place = np.cumsum(inside.ravel()).reshape(inside.shape) - 1
        pair = inside[:, :-1] & inside[:, 1:]
        left, right = place[:, :-1][pair], place[:, 1:][pair]
        shared.append(weights @ (waves[:, left] * waves[:, right]))
        light.append(np.sqrt(seen.light[mine[:, :-1][pair]] * seen.light[mine[:, 1:][pair]]))
        group.append(seen.group[mine[:, :-1][pair]])
    if not shared or sum(map(len, shared)) < 1000:
        return None
    products, expected = np.concatenate(shared).astype(np.float64), np.concatenate(light) / gain
    if not expected.sum() > 0.0:
        return None
    together, error = ratio(products, expected, np.concatenate(group))
    return Value(together / (2.0 + 4.0 * abs(together)), error / 2.0)


@dataclass(frozen=True)
class NoiseMap:
    """Read noise of every pixel.

    Parameters
    ----------
    noise_adu
        ADU rms, shape (Y, X), float32, above 0.
    filled
        Pixels whose ramp is not whole; they have the mean read noise.
    """

    noise_adu: NDArray[np.float32]
    filled: int


def read_noise_map(
    reads: Reads | NDArray[Any],
    examined: Examination,
    gain_e_per_adu: float | None,
    *,
    first: int = 0,
    last: int | None = None,
    progress: Progress = silent,
) -> NoiseMap:
    """Measure the read noise of every pixel from its own ramp; uncertain by about 1/sqrt(2 N) where it is dark.

    Parameters
    ----------
    reads
        Shape (N, Y, X), ADU.
    examined
        What `examine` says of the same reads.
    gain_e_per_adu
        The gain; None: shot noise and read noise of a pixel are told apart by its spectrum, which is less certain.
    first, last
        Reads used, ``reads[first:last]``, from 0.
    progress
        Told after each block of rows.
    """
    stack = as_reads(reads)
    first, last = check_range(len(stack), first, last)
    mean_square = examined.calibration.read_noise_adu**2
    rounding = ROUNDING if stack.stored.kind in "ui" else 0.0
    trusted = examined.calibration.trusted_adu
    squared = np.empty(stack.shape[1:])
    filled = 0
    blocks = stack.row_blocks(last - first)
    for done, (start, stop) in enumerate(blocks, 1):
        raw = stack.rows(start, stop, first, last)
        whole = np.isfinite(raw).all(axis=0)
        with np.errstate(invalid="ignore"):
            whole &= raw.max(axis=0) < trusted
        values = np.full(whole.shape, mean_square)
        values[whole] = _squared(raw, whole, examined, gain_e_per_adu) - rounding
        filled += int(np.count_nonzero(~whole))
        squared[start:stop] = values
        progress("mapping the read noise", done, len(blocks))
    least = max(0.01 * mean_square, 1e-6)
    return NoiseMap(np.sqrt(np.maximum(squared, least)).astype(np.float32), filled)


def _squared(raw: NDArray[Any], whole: NDArray[np.bool_], examined: Examination, gain: float | None) -> Floats:
    """Return the squared read noise of the whole ramps of a block, ADU^2."""
    seen = examined.seen
    n = len(raw) - 1
    shot, read = separate(seen.spectrum.mean(axis=1, dtype=np.float64))
    per_light = 1.0 / gain if gain else shot / max(float(seen.mean.mean()), 1e-12)
    place = np.flatnonzero(whole.ravel())
    ramps = raw.reshape(n + 1, -1)
    mean = np.empty(place.size)
    for start in range(0, place.size, CHUNK):
        some = place[start : start + CHUNK]
        mean[start : start + CHUNK] = _calm_steps(ramps[:, some], per_light, read).mean(axis=0)
    slope = np.zeros(whole.shape, np.float32)
    slope[whole] = mean
    light = smooth_light(slope, whole, per_light / n, 2.0 * read / n**2)[whole]
    result = np.empty(mean.size)
    for part in _pieces(light):
        weights = Separation.of(n, per_light * float(light[part].mean()), read)
        spectrum = np.square(transform(_calm_steps(ramps[:, place[part]], per_light, read), light[part], seen.common))
        if gain:
            alone = weights.read_alone
            result[part] = alone.astype(np.float32) @ spectrum - alone.sum() * mean[part] * per_light
        else:
            result[part] = weights.read.astype(np.float32) @ spectrum
    return result


def _pieces(light: Floats) -> list[NDArray[np.intp]]:
    """Cut pixels into parts of about the same signal, each small enough for a transform."""
    return [piece for part in alike(light) for piece in np.array_split(part, max(1, -(-len(part) // CHUNK)))]


def _calm_steps(ramps: NDArray[Any], per_light: float, read: float) -> NDArray[Any]:
    """Return the differences of ramps (N, P) with jumps taken out: a jump is not read noise.

    Only ramps with a step far outside the usual noise are looked at; what is far outside a pixel's own noise, too,
    becomes its median step.
    """
    steps = differences(ramps)
    mean = steps.mean(axis=0)
    limit = 6.0 * np.sqrt(per_light * np.maximum(mean, 0.0) + 2.0 * read)
    wild = np.flatnonzero(np.maximum(steps.max(axis=0) - mean, mean - steps.min(axis=0)) > limit)
    if wild.size:
        some = steps[:, wild]
        middle = np.median(some, axis=0)
        away = np.abs(some - middle)
        usual = np.sqrt(per_light * np.maximum(middle, 0.0) + 2.0 * read)
        own = np.maximum(1.4826 * np.median(away, axis=0), usual)
        steps[:, wild] = np.where(away > 6.0 * own, middle, some)
    return steps

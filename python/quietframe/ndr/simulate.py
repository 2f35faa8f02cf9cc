"""Simulate an exposure of a non-destructive-readout camera, with the exact truth.

Order: reset noise; then for each sub-frame Poisson photons and dark electrons (and cosmic rays) are added to the well,
which is clipped at its full capacity and read through non-linearity, fixed pattern, drift, row noise and read noise,
converted and rounded. Photons are drawn as increments and summed up, never as Poisson numbers of the cumulative mean:
only so are the reads of one ramp correlated as real ones are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError, OptionError
from .simulated_camera import SimulatedCamera

__all__ = ["SimulatedCamera", "Simulation", "Truth", "scene_from_image", "simulate_exposure"]

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """What a perfect measurement of a simulated exposure would give; planes of shape (Y, X).

    Parameters
    ----------
    rate
        Mean rate between the first read and the last, e-/px/sub-frame, float32: the scene times the pixel's response
        and the mean light of these sub-frames, plus dark current. Cosmic rays are not in it.
    scene
        The noise-free light that came in, e-/px/sub-frame, float32.
    dark
        Dark current with hot pixels, e-/px/sub-frame, float32.
    read_noise
        Read noise of each pixel, e- rms, float32.
    jump
        First read (from 1) after a cosmic ray between two reads; 0: none. uint16.
    saturated
        First read (from 1) that is at the full well or the largest digital number; 0: none. uint16.
    profile
        Relative light of each sub-frame, shape (N,), float64.
    """

    rate: Plane
    scene: Plane
    dark: Plane
    read_noise: Plane
    jump: NDArray[np.uint16]
    saturated: NDArray[np.uint16]
    profile: NDArray[np.float64]


class Simulation:
    """One exposure, made read by read, so that memory does not grow with the number of reads.

    Parameters
    ----------
    flux_e
        Scene, shape (Y, X), e-/px/sub-frame, quantum efficiency included, >= 0.
    settings
        The camera.
    rng
        Source of all randomness.
    """

    def __init__(self, flux_e: NDArray[Any], settings: SimulatedCamera, rng: np.random.Generator) -> None:
        scene = np.asarray(flux_e, np.float32)
        if scene.ndim != 2 or scene.size == 0:
            raise InputError(f"the scene must be one plane (Y, X); got shape {scene.shape}")
        if not np.isfinite(scene).all() or scene.min() < 0:
            raise InputError("the scene must hold finite rates of 0 or more electrons per pixel and sub-frame")
        self.settings, self._rng = settings, rng
        shape = scene.shape
        self.response = (1.0 + settings.prnu * _normal(rng, shape)).clip(0.0).astype(np.float32)
        dark = np.full(shape, settings.dark_e, np.float32)
        hot = rng.random(shape) < settings.hot_fraction
        dark[hot] = rng.lognormal(1.0, 1.0, np.count_nonzero(hot))
        self.dark = dark
        self.read_noise = settings.read_noise_e * np.exp(settings.read_noise_spread * _normal(rng, shape))
        self.fixed = settings.ktc_e * _normal(rng, shape) + settings.dsnu_e * _normal(rng, shape)
        decay = -np.log1p(-settings.bleach) / max(settings.reads - 1, 1)
        flicker = 1.0 + settings.flicker * rng.standard_normal(settings.reads)
        self.profile = np.exp(-decay * np.arange(settings.reads)) * flicker.clip(0.0)
        self.scene = scene
        self.jump = np.zeros(shape, np.uint16)
        self.saturated = np.zeros(shape, np.uint16)

    def reads(self) -> Iterator[NDArray[np.uint16]]:
        """Make the reads in order, each (Y, X), uint16; to be gone through once."""
        settings, rng = self.settings, self._rng
        charge = np.zeros(self.scene.shape)
        light = (self.scene * self.response).astype(np.float64)
        drift = 0.0
        for number in range(1, settings.reads + 1):
            charge += rng.poisson(light * self.profile[number - 1] + self.dark)
            self._add_cosmic_rays(charge, number)
            np.minimum(charge, settings.full_well_e, out=charge)
            drift = 0.98 * drift + settings.drift_e * rng.standard_normal()
            values = np.rint(self._voltage(charge, drift) / settings.gain_e_per_adu + settings.offset)
            top = 2**settings.bits - 1
            over = (self.saturated == 0) & ((charge >= settings.full_well_e) | (values >= top))
            self.saturated[over] = number
            yield np.clip(values, 0, top).astype(np.uint16)

    def _add_cosmic_rays(self, charge: NDArray[np.float64], number: int) -> None:
        probability = self.settings.cosmic_probability
        if probability <= 0.0:
            return
        hit = self._rng.random(charge.shape) < probability
        charge[hit] += self._rng.exponential(self.settings.cosmic_e, np.count_nonzero(hit))
        if number > 1:  # before the first read it is part of the unknown start
            self.jump[hit & (self.jump == 0)] = number

    def _voltage(self, charge: NDArray[np.float64], drift: float) -> Plane:
        """Return what the amplifier shows of the charge, in electrons."""
        settings, rng, shape = self.settings, self._rng, charge.shape
        seen = charge.astype(np.float32)
        if settings.ipc > 0.0:
            part = settings.ipc
            kernel = np.array([[0.0, part, 0.0], [part, 1.0 - 4.0 * part, part], [0.0, part, 0.0]], np.float32)
            seen = ndimage.convolve(seen, kernel, mode="reflect")
        fill = seen / np.float32(settings.full_well_e)
        seen = seen * (1.0 - settings.nonlinearity * fill - settings.nonlinearity_cubic * fill * fill)
        rows = settings.row_noise_e * _normal(rng, (shape[0], 1))
        return np.asarray(
            seen + self.fixed + np.float32(drift) + rows + self.read_noise * _normal(rng, shape), np.float32
        )

    def truth(self) -> Truth:
        """Return the truth; its jumps and saturation are those of the reads made so far."""
        rate = self.scene * self.response * np.float32(self.profile[1:].mean()) + self.dark
        planes = (rate.astype(np.float32), self.scene, self.dark, self.read_noise.astype(np.float32))
        return Truth(*planes, self.jump.copy(), self.saturated.copy(), self.profile)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Plane:
    return rng.standard_normal(shape, dtype=np.float32)


def simulate_exposure(
    flux_e: NDArray[Any], settings: SimulatedCamera, rng: np.random.Generator
) -> tuple[NDArray[np.uint16], Truth]:
    """Simulate an exposure in memory; `Simulation` does the same read by read.

    Parameters
    ----------
    flux_e
        Scene, shape (Y, X), e-/px/sub-frame.
    settings
        The camera.
    rng
        Source of all randomness.

    Returns
    -------
    reads : ndarray of shape (N, Y, X), uint16
        ADU.
    truth : Truth
    """
    simulation = Simulation(flux_e, settings, rng)
    reads = np.stack(list(simulation.reads()))
    return reads, simulation.truth()


def scene_from_image(image: NDArray[Any], flux_e: float, *, background_e: float = 0.0) -> tuple[Plane, str]:
    """Scale a real image to a scene: its 0.1 percentile becomes `background_e`, its 99.9 percentile `flux_e` above it.

    Parameters
    ----------
    image
        One plane (Y, X), finite, any unit.
    flux_e
        Light of the bright structures, e-/px/sub-frame, > 0.
    background_e
        Light everywhere, e-/px/sub-frame, >= 0.

    Returns
    -------
    scene : ndarray of shape (Y, X), float32
        e-/px/sub-frame, >= `background_e`.
    description : str
        How it was scaled, in words.
    """
    if not np.isfinite(flux_e) or flux_e <= 0:
        raise OptionError(f"flux must be a number of electrons per pixel and sub-frame above 0; got {flux_e}")
    if not np.isfinite(background_e) or background_e < 0:
        raise OptionError(f"background must be 0 or more electrons per pixel and sub-frame; got {background_e}")
    pixels = np.asarray(image, np.float64)
    if pixels.ndim != 2:
        raise InputError(f"a scene is made from one plane (Y, X); got shape {pixels.shape}")
    if not np.isfinite(pixels).all():
        wrong = int(np.count_nonzero(~np.isfinite(pixels)))
        raise InputError(f"{wrong} pixels of the image are NaN or infinite; a scene needs finite light everywhere")
    low, high = np.percentile(pixels, [0.1, 99.9])
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    if high <= low:
        scene = np.full(pixels.shape, flux_e + background_e, np.float32)
        return scene, f"the image is constant: a flat scene of {flux_e + background_e:g} e-/px/sub-frame"
    scene = background_e + flux_e * np.clip((pixels - low) / (high - low), 0.0, None)
    words = f"image {low:g} -> {background_e:g}, {high:g} -> {flux_e + background_e:g} e-/px/sub-frame (0.1 and 99.9 %)"
    return scene.astype(np.float32), words

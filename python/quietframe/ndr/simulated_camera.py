"""The parameters of the simulated camera. Standard library only: the command line shows them as options."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..camera import Camera
from ..errors import OptionError

_FRACTIONS = {"prnu", "hot_fraction", "bleach", "flicker", "ipc", "cosmic_probability"}
_ABOVE_ZERO = {"gain_e_per_adu", "full_well_e", "t_subframe_s", "cosmic_e"}


@dataclass(frozen=True)
class SimulatedCamera:
    """A non-destructive-readout camera, with every effect that a real one has.

    Parameters
    ----------
    reads
        Sub-frames in the exposure, >= 2.
    t_subframe_s
        Time from one read to the next, seconds.
    gain_e_per_adu
        Electrons per digital number.
    offset_adu
        Digital number of an empty well; by default 100 + 4 kTC / gain, so that no pixel falls below 0.
    read_noise_e
        Median read noise of one read, electrons rms.
    read_noise_spread
        Spread of the read noise from pixel to pixel (sigma of its logarithm).
    ktc_e
        Reset noise: one random offset per pixel and exposure, electrons rms.
    dsnu_e
        Fixed offset pattern, electrons rms.
    prnu
        Pixel response non-uniformity, relative rms.
    dark_e
        Dark current, electrons per pixel and sub-frame.
    hot_fraction
        Part of the pixels with a dark current that is lognormal(1, 1) electrons per sub-frame instead.
    full_well_e
        Electrons at which a pixel saturates.
    nonlinearity
        a2 of v = q (1 - a2 u - a3 u^2) with u = q / full well.
    nonlinearity_cubic
        a3 of the same.
    row_noise_e
        Noise common to one row of one read, electrons rms.
    drift_e
        Step of the drift common to all pixels, electrons per sub-frame (decays by 0.98 per step).
    bleach
        Part of the light lost at the end of the exposure, 0 to below 1 (exponential).
    flicker
        Relative rms of the lamp from sub-frame to sub-frame.
    cosmic_probability
        Probability of a cosmic ray per pixel and sub-frame.
    cosmic_e
        Mean charge of a cosmic ray (exponential), electrons.
    ipc
        Part of the charge that shows in each of the four neighbours (inter-pixel capacitance), below 0.25.
    bits
        Bits of the converter, 8 to 16.
    """

    reads: int = 300
    t_subframe_s: float = 1e-3
    gain_e_per_adu: float = 0.46
    offset_adu: float | None = None
    read_noise_e: float = 3.0
    read_noise_spread: float = 0.25
    ktc_e: float = 25.0
    dsnu_e: float = 2.0
    prnu: float = 0.01
    dark_e: float = 0.01
    hot_fraction: float = 0.001
    full_well_e: float = 30000.0
    nonlinearity: float = 0.03
    nonlinearity_cubic: float = 0.0
    row_noise_e: float = 0.5
    drift_e: float = 0.3
    bleach: float = 0.0
    flicker: float = 0.0
    cosmic_probability: float = 0.0
    cosmic_e: float = 2000.0
    ipc: float = 0.0
    bits: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if not math.isfinite(value):
                raise OptionError(f"{field.name} must be a finite number; got {value}")
            if field.name in _ABOVE_ZERO and value <= 0:
                raise OptionError(f"{field.name} must be above 0; got {value}")
            if value < 0:
                raise OptionError(f"{field.name} must not be negative; got {value}")
            if field.name in _FRACTIONS and value >= 1:
                raise OptionError(f"{field.name} is a part of one and must be below 1; got {value}")
        if self.reads < 2:
            raise OptionError(f"reads must be 2 or more; got {self.reads}")
        if self.ipc >= 0.25:
            raise OptionError(f"ipc goes to each of four neighbours and must be below 0.25; got {self.ipc}")
        if not 8 <= self.bits <= 16:
            raise OptionError(f"bits must be 8 to 16; got {self.bits}")
        if self.offset >= 2**self.bits - 1:
            raise OptionError(f"offset_adu {self.offset:g} lies beyond the largest number of {self.bits} bits")

    @property
    def offset(self) -> float:
        """Digital number of an empty well."""
        return 100.0 + 4.0 * self.ktc_e / self.gain_e_per_adu if self.offset_adu is None else self.offset_adu

    @property
    def camera(self) -> Camera:
        """What the exposure file tells of this camera."""
        return Camera(
            gain_e_per_adu=self.gain_e_per_adu,
            read_noise_e=self.read_noise_e * math.exp(self.read_noise_spread**2),  # rms of the lognormal map
            t_subframe_s=self.t_subframe_s,
            full_well_e=self.full_well_e,
            black_adu=self.offset,
            dark_e_per_s=self.dark_e / self.t_subframe_s,
        )

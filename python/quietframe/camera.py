"""The camera: gain, read noise, full well, black level, dark current, time per sub-frame; and ADU <-> electrons.

A value that nobody gave is None. It is then calibrated from the ramp itself, and the output says so.
Keys are the same in the Info field of a TIFF (``ndr.gain_e_per_adu``), in ``camera.json`` and on the command line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .errors import InputError, OptionError

PREFIX = "ndr."
"""Prefix of the camera's keys in the Info field of an exposure file."""


@dataclass(frozen=True)
class Camera:
    """What is known of a camera; every field may be unknown (None).

    Parameters
    ----------
    gain_e_per_adu
        Electrons per digital number, > 0.
    read_noise_e
        Read noise of ONE read, electrons rms, >= 0. A difference of two reads has sqrt(2) times this.
    t_subframe_s
        Time from one read to the next, seconds, > 0.
    full_well_e
        Electrons at which a pixel saturates, > 0.
    black_adu
        Digital number of an empty well.
    dark_e_per_s
        Dark current, electrons per pixel per second, >= 0.
    """

    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    t_subframe_s: float | None = None
    full_well_e: float | None = None
    black_adu: float | None = None
    dark_e_per_s: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if not math.isfinite(value):
                raise OptionError(f"{field.name} must be a finite number; got {value}")
            if field.name in {"gain_e_per_adu", "t_subframe_s", "full_well_e"} and value <= 0:
                raise OptionError(f"{field.name} must be above 0; got {value}")
            if field.name in {"read_noise_e", "dark_e_per_s"} and value < 0:
                raise OptionError(f"{field.name} must not be negative; got {value}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str, prefix: str = "") -> Camera:
        """Take the camera's keys out of a mapping; other keys are ignored.

        Parameters
        ----------
        values
            Keys and values, e.g. the Info field of a TIFF.
        source
            Where they come from, for the error message.
        prefix
            What stands before each key, e.g. ``"ndr."``.
        """
        known: dict[str, float] = {}
        for field in fields(cls):
            value = values.get(prefix + field.name)
            if value is None or value == "":
                continue
            try:
                known[field.name] = float(value)
            except (TypeError, ValueError):
                raise InputError(f"{source}: {prefix}{field.name} is not a number: {value!r}") from None
        return cls(**known)

    @classmethod
    def from_json(cls, path: str | Path) -> Camera:
        """Read ``camera.json``: one object with the field names of this class as keys.

        Raises
        ------
        InputError
            When the file is missing, is no JSON object, or has a key that no camera has.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; give a camera file (JSON)") from None
        except ValueError as error:
            raise InputError(f"{path} is not JSON: {error}") from None
        allowed = [field.name for field in fields(cls)]
        if not isinstance(values, dict):
            raise InputError(f"{path} must hold one JSON object with keys out of {', '.join(allowed)}")
        extra = sorted(set(values) - set(allowed))
        if extra:
            raise InputError(f"{path}: unknown key {extra[0]!r}; allowed: {', '.join(allowed)}")
        return cls.from_mapping(values, source=str(path))

    def updated(self, other: Camera) -> Camera:
        """Return this camera with every value that `other` knows."""
        return replace(self, **other.known())

    def known(self) -> dict[str, float]:
        """Return the values that are not None."""
        return {
            field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name) is not None
        }

    def to_info(self) -> dict[str, str]:
        """Return the known values as keys and texts of a TIFF's Info field (``ndr.gain_e_per_adu = 0.46``)."""
        return {PREFIX + name: repr(float(value)) for name, value in self.known().items()}

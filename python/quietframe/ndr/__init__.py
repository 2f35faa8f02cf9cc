"""One non-destructive-readout exposure: open, simulate, calibrate, subtract, fit, split, measure.

Arrays in, arrays out; reads count from 0 here. The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Exposure": "exposure",
    "FitTuning": "fit",
    "RampFit": "fit",
    "SimulatedCamera": "simulated_camera",
    "complete_camera": "calibrate",
    "difference_windows": "subtract",
    "differences": "subtract",
    "fit_ramp": "fit",
    "noise_correlation": "pairs",
    "split_halves": "split",
    "make_pairs": "pairs",
    "fit_windows": "fit_window",
    "open_exposure": "exposure",
    "simulate_exposure": "simulate",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: the command line's help must not load NumPy."""
    if name in _HOMES:
        return getattr(import_module(f"quietframe.ndr.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'quietframe.ndr' has no attribute {name!r}")

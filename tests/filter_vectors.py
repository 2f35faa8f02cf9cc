"""Write tests/vectors/filters.json: a small volume, settings, and the pixels that Python and ImageJ must give.

Medians, minima, maxima, means and top hats are scipy's over the neighbourhoods written out here; Gaussians and the
background, whose kernels are ImageJ's own, are those of this package, which `tests/fiji` compares with ImageJ.

    python tests/filter_vectors.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PATH = Path(__file__).with_name("vectors") / "filters.json"
SHAPE = (4, 11, 13)
HALF_WIDTHS = {1.0: (1, 1, 1), 2.0: (1, 2, 2, 2, 1)}
"""How far ImageJ's discs reach to each side in each row: the square of 9 pixels, and 21 pixels."""


def disc(radius: float) -> NDArray[np.bool_]:
    """Return the disc of a radius as rows of half widths."""
    reach = len(HALF_WIDTHS[radius]) // 2
    return np.array([[abs(x) <= half for x in range(-reach, reach + 1)] for half in HALF_WIDTHS[radius]])


def over_discs(volume: NDArray[Any], function: Any, radius: float) -> NDArray[Any]:
    """Apply a function of the disc's pixels everywhere in every plane; beyond the border is the nearest pixel."""
    return np.stack(
        [
            ndimage.generic_filter(plane, function, footprint=disc(radius), mode="nearest", output=np.float64)
            for plane in volume
        ]
    )


def over_ellipsoids(volume: NDArray[Any], function: Any, radius: float) -> NDArray[Any]:
    """Apply a function of the voxels within a radius everywhere; those beyond the border are left out."""
    z, y, x = np.indices(volume.shape)
    result = np.empty(volume.shape)
    for at in np.ndindex(volume.shape):
        near = (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= radius**2
        result[at] = function(volume[near])
    return result


def without_outliers(volume: NDArray[Any], radius: float, threshold: float) -> NDArray[Any]:
    """Replace pixels above the median of their disc by more than a threshold."""
    medians = over_discs(volume, np.median, radius)
    return np.where(volume - medians > threshold, medians, volume)


def cases(volume: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Give settings, expected pixels and the tolerance, which is what single precision leaves of running sums."""
    from quietframe.filters import load_filter

    exact: list[tuple[str, dict[str, Any], NDArray[Any], float]] = [
        ("median", {"radius": 2.0}, over_discs(volume, np.median, 2.0), 0.0),
        ("minimum", {"radius": 2.0}, over_discs(volume, np.min, 2.0), 0.0),
        ("maximum", {"radius": 1.0}, over_discs(volume, np.max, 1.0), 0.0),
        ("mean", {"radius": 2.0}, over_discs(volume, np.mean, 2.0), 1e-4),
        ("variance", {"radius": 2.0}, over_discs(volume, np.var, 2.0), 0.1),
        ("despeckle", {}, over_discs(volume, np.median, 1.0), 0.0),
        ("remove-outliers", {"radius": 2.0, "threshold": 30.0}, without_outliers(volume, 2.0, 30.0), 0.0),
        (
            "top-hat",
            {"radius": 1.0},
            volume - over_discs(over_discs(volume, np.min, 1.0), np.max, 1.0),
            0.0,
        ),
        ("mean-3d", {"x": 1.0, "y": 1.0, "z": 1.0}, over_ellipsoids(volume, np.mean, 1.0), 1e-4),
        ("median-3d", {"x": 1.0, "y": 1.0, "z": 1.0}, over_ellipsoids(volume, np.median, 1.0), 0.0),
    ]
    for name, settings in (
        ("gaussian-blur", {"sigma": 1.5}),
        ("unsharp-mask", {"radius": 1.0, "mask": 0.6}),
        ("subtract-background", {"rolling": 8.0}),
    ):
        filter_ = load_filter(name)
        expected = np.stack([filter_.apply(plane, filter_.Settings(**settings)) for plane in volume])
        exact.append((name, settings, expected, 1e-4))
    blur = load_filter("gaussian-blur-3d")
    exact.append(
        ("gaussian-blur-3d", {"x": 1.0, "y": 1.0, "z": 0.7}, blur.apply(volume, blur.Settings(1, 1, 0.7)), 1e-4)
    )
    return [
        {"method": name, "settings": settings, "tolerance": tolerance, "pixels": np.round(expected, 4).tolist()}
        for name, settings, expected, tolerance in exact
    ]


def vectors() -> dict[str, Any]:
    """Return everything that is written."""
    volume = np.random.default_rng(11).poisson(100, SHAPE).astype(np.float32)
    volume[:, 3, 4], volume[:, :3, :5] = 400, volume[:, :3, :5] + 150
    return {"volume": volume.astype(int).tolist(), "axes": "ZYX", "cases": cases(volume)}


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors()) + "\n", encoding="utf-8")

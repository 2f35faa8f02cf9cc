"""Say when a picture is so far from a model's training data that the result should not be believed.

The normalisation of a network is fixed, so another camera, gain, offset or unit needs another network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .runner import Runner


def mismatch(runner: Runner, planes: Sequence[NDArray[Any]], channel: int | None = None) -> tuple[str, ...]:
    """Compare pictures with the training data of a model.

    A picture is far from it when its median is outside the training data's 1st to 99.9th percentile by more than a
    quarter of that width, or its standard deviation is more than 5 times larger or smaller. Both happen with another
    camera, gain, offset or unit, for which a fixed normalisation is wrong.

    Parameters
    ----------
    runner
        The network.
    planes
        Planes (YX) of the picture, of one channel.
    channel
        Which channel of a network of several, from 0; None where it takes one.

    Returns
    -------
    tuple of str
        One sentence per deviation; empty when there is none, or the package has no statistics.
    """
    known = _statistics(runner, channel)
    if not {"p01", "p999", "std"} <= set(known):
        return ()
    where = "this picture" if channel is None else f"channel {channel + 1}"
    values = np.concatenate([thinned(plane) for plane in planes])
    median, std = float(np.median(values)), float(values.std())
    low, high = known["p01"], known["p999"]
    margin = 0.25 * (high - low)
    said = []
    if not low - margin <= median <= high + margin:
        said.append(
            f"the median of {where} is {median:.4g}, but the model was trained on counts from {low:.4g} to "
            f"{high:.4g}: check unit, gain and offset, or train on pictures like this"
        )
    if known["std"] > 0 and not known["std"] / 5 <= std <= known["std"] * 5:
        said.append(
            f"the standard deviation of {where} is {std:.4g}, but the model was trained on {known['std']:.4g}: "
            "check unit and gain, or train on pictures like this"
        )
    return tuple(said)


def coarse(planes: Sequence[NDArray[Any]]) -> tuple[str, ...]:
    """Name pictures on so large an offset that float32, in which networks compute, rounds their noise away.

    Returns
    -------
    tuple of str
        One sentence when rounding errs by more than 1 % of the standard deviation (rms); else empty.
    """
    values = np.concatenate([thinned(plane) for plane in planes])
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 are refused with their plane
        error = float(np.sqrt(np.mean((values - values.astype(np.float32)) ** 2)))
        std = float(values.std())
    if not (np.isfinite(error) and error > 0.01 * std):
        return ()
    return (
        f"float32, in which networks compute, rounds pixels near {values.mean():.4g} by {error:.2g} (rms), but their "
        f"standard deviation is only {std:.2g}: subtract a constant offset first, and train on pictures without it",
    )


def _statistics(runner: Runner, channel: int | None) -> Mapping[str, float]:
    if channel is None:
        return runner.package.statistics
    kept = runner.package.record.get("statistics")
    channels = kept.get("channels") if isinstance(kept, dict) else None
    if not isinstance(channels, list) or channel >= len(channels) or not isinstance(channels[channel], dict):
        return {}
    return {key: float(value) for key, value in channels[channel].items() if isinstance(value, int | float)}


def thinned(plane: NDArray[Any], most: int = 65_536) -> NDArray[np.float64]:
    """Return at most about `most` finite values of a picture, evenly taken; a zero where none is finite."""
    values = plane.reshape(-1)[:: max(1, plane.size // most)].astype(np.float64)
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.zeros(1)

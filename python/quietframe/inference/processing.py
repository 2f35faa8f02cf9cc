"""The pre- and postprocessing steps of bioimage.io packages, on arrays with axes NCYX or NCZYX.

Packages of Quietframe have none: their normalisation is inside the network. These are for others' packages. Statistics
(``zero_mean_unit_variance``, ``scale_range``) are taken over the whole plane or volume, before tiles are cut.

References
----------
bioimage.io model description, format 0.4 and 0.5, "preprocessing" and "postprocessing".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    """One step.

    Parameters
    ----------
    name
        Its name in bioimage.io, e.g. ``"scale_linear"``.
    options
        Its ``kwargs``.
    """

    name: str
    options: Mapping[str, Any]


def apply_steps(steps: Sequence[Step], array: Array) -> Array:
    """Apply steps in order.

    Parameters
    ----------
    steps
        Steps that `check_steps` has accepted.
    array
        Axes NCYX or NCZYX, float32.

    Returns
    -------
    ndarray
        The same shape, float32.
    """
    for step in steps:
        array = _STEPS[step.name](array, step.options)
    return array


def check_steps(steps: Sequence[Step], where: str, dims: int = 2) -> None:
    """Refuse steps that are not known here, or need what is not known, before anything runs on `dims` axes of space.

    Raises
    ------
    InputError
        Naming the step and what is allowed.
    """
    for step in steps:
        if step.name not in _STEPS:
            raise InputError(
                f"{where}: the step {step.name!r} is not supported; supported: {', '.join(sorted(_STEPS))}"
            )
        if step.options.get("mode") == "per_dataset":
            raise InputError(f"{where}: {step.name} over a whole data set is not supported; per_sample and fixed are")
        if step.options.get("reference_tensor") or step.options.get("tensor_name"):
            raise InputError(f"{where}: {step.name} with the statistics of another tensor is not supported")
        try:
            apply_steps([step], np.ones((1, 1, *[2] * dims), np.float32))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{where}: {step.name} cannot be applied with {dict(step.options)} ({error!r})") from error


def _over(array: Array, options: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the axes that statistics are taken over; all where none are named."""
    axes = "NCYX" if array.ndim == 4 else "NCZYX"
    names = options.get("axes")
    if names is None:
        return tuple(range(len(axes)))
    letters = [_letter(name) for name in names]
    return tuple(axes.index(letter) for letter in letters)


def _letter(name: str) -> str:
    return {"b": "N", "batch": "N", "c": "C", "channel": "C"}.get(name, name.upper())


def _value(options: Mapping[str, Any], key: str, default: float | None = None) -> Array:
    """Return an option as one number; a list holds one per channel, and pictures here have one channel."""
    given = options[key] if default is None else options.get(key, default)
    value = np.asarray(given, dtype=np.float32)
    if value.size != 1:
        raise ValueError(f"{value.size} values of {key} for one channel")
    return value.reshape(())


def _float32(array: NDArray[Any]) -> Array:
    return array.astype(np.float32)


def _scale_linear(array: Array, options: Mapping[str, Any]) -> Array:
    return array * _value(options, "gain", 1.0) + _value(options, "offset", 0.0)


def _fixed(array: Array, options: Mapping[str, Any]) -> Array:
    return (array - _value(options, "mean")) / _value(options, "std")


def _zero_mean_unit_variance(array: Array, options: Mapping[str, Any]) -> Array:
    if options.get("mode") == "fixed":
        return _fixed(array, options)
    over = _over(array, options)
    mean = array.mean(axis=over, keepdims=True, dtype=np.float64)
    std = array.std(axis=over, keepdims=True, dtype=np.float64)
    return _float32((array - mean) / (std + options.get("eps", 1e-6)))


def _scale_range(array: Array, options: Mapping[str, Any]) -> Array:
    over = _over(array, options)
    percentiles = [options.get("min_percentile", 0.0), options.get("max_percentile", 100.0)]
    low, high = np.percentile(array.astype(np.float64), percentiles, axis=over, keepdims=True)
    return _float32((array - low) / (high - low + options.get("eps", 1e-6)))


def _sigmoid(array: Array, options: Mapping[str, Any]) -> Array:
    # 1 / (1 + exp(-x)) overflows for large negative x; tanh does not.
    return _float32(0.5 * (1.0 + np.tanh(0.5 * array)))


def _clip(array: Array, options: Mapping[str, Any]) -> Array:
    return _float32(np.clip(array, options.get("min"), options.get("max")))


def _binarize(array: Array, options: Mapping[str, Any]) -> Array:
    return _float32(array > _value(options, "threshold"))


def _ensure_dtype(array: Array, options: Mapping[str, Any]) -> Array:
    if np.dtype(options["dtype"]).kind != "f":
        raise ValueError(f"conversion to {options['dtype']} would round or wrap")
    return array


_STEPS: dict[str, Callable[[Array, Mapping[str, Any]], Array]] = {
    "binarize": _binarize,
    "clip": _clip,
    "ensure_dtype": _ensure_dtype,
    "fixed_zero_mean_unit_variance": _fixed,
    "scale_linear": _scale_linear,
    "scale_range": _scale_range,
    "sigmoid": _sigmoid,
    "zero_mean_unit_variance": _zero_mean_unit_variance,
}

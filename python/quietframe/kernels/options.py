"""Checks that the settings of filters share: finite numbers in a range, odd widths, names out of a list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

from ..errors import OptionError, unknown


def require_number(name: str, value: object, smallest: float, largest: float, unit: str = "") -> None:
    """Refuse a value that is no finite number between `smallest` and `largest`, both allowed.

    Raises
    ------
    OptionError
        With the option, the value and the range.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)) or not smallest <= float(value) <= largest:  # type: ignore[arg-type]
        raise OptionError(
            f"{name} must be a number from {smallest:g} to {largest:g}{unit and ' ' + unit}; got {value!r}"
        )


def require_whole(name: str, value: object, smallest: int, largest: int, unit: str = "") -> None:
    """Refuse a value that is no whole number between `smallest` and `largest`, both allowed.

    Raises
    ------
    OptionError
        With the option, the value and the range.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not smallest <= int(value) <= largest:
        raise OptionError(
            f"{name} must be a whole number from {smallest} to {largest}{unit and ' ' + unit}; got {value!r}"
        )


def require_odd(name: str, value: object, smallest: int, largest: int) -> None:
    """Refuse a width that is no odd whole number of pixels between `smallest` and `largest`.

    Raises
    ------
    OptionError
        With the option, the value and the range.
    """
    require_whole(name, value, smallest, largest, "px, and odd")
    if int(value) % 2 == 0:  # type: ignore[call-overload]
        raise OptionError(f"{name} must be an odd number of px, so that the window has a centre; got {value}")


def require_one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a word that is not in the list.

    Raises
    ------
    OptionError
        With the nearest words.
    """
    if value not in allowed:
        raise unknown(name, value, allowed)


def require_noise_sigma(value: float | None) -> None:
    """Refuse a standard deviation of noise that is negative or not finite; None, which is "estimate it", passes.

    Raises
    ------
    OptionError
        With the value.
    """
    if value is not None:
        require_number("noise_sigma", value, 0.0, 1e30)


def require_dimensions(value: int) -> None:
    """Refuse a number of dimensions other than 2 and 3.

    Raises
    ------
    OptionError
        With the value.
    """
    if value not in (2, 3) or isinstance(value, bool):
        raise OptionError(f"dimensions must be 2 (plane by plane) or 3 (whole volumes); got {value!r}")

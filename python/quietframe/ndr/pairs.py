"""Pairs to learn from out of one exposure, and how far the noise of the two members is related.

Two differences D(a, b) = read[b] - read[a] have the noise covariance
``f overlap + s^2 (d_bd + d_ac - d_bc - d_ad)``, where `overlap` counts the sub-frames in both and d is 1 where two
reads are the same one. Windows with a guard sub-frame between them share neither photons nor reads: any two of them
are a Noise2Noise pair. Abutting windows share one read: a net trained on them learns to return minus the noise.

The report this grew from took the input (difference 20) and the target (read 100 - read 1) from the same exposure:
the target then holds a tenth and more of the input's own noise, and the net is taught to keep it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, OptionError, unknown
from .reads import check_range
from .split import check_guard
from .subtract import Window, difference_windows

DESIGNS = ("n2n", "care", "report")
REPORT_READS = 100
"""The report's target is read 100 - read 1."""


@dataclass(frozen=True)
class Pairs:
    """Which reads make each input and each target; reads count from 0, both ends belong to a window.

    Parameters
    ----------
    design
        ``n2n``, ``care`` or ``report``.
    difference
        Sub-frames k of each input.
    inputs, targets
        Windows ``(a, b)``, one of each per pair.
    fitted
        Whether a target is the fit of all reads of its window, and not the difference of the two.
    """

    design: str
    difference: int
    inputs: tuple[Window, ...]
    targets: tuple[Window, ...]
    fitted: bool = False

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class PairRequest:
    """How pairs are to be made.

    Parameters
    ----------
    difference
        k, sub-frames of an input.
    design
        ``n2n``: two differences; ``care``: the fit of reads on the other side of the exposure is the target;
        ``report``: the overlapping design of the report, kept to be compared with.
    guard
        Sub-frames left out between windows.
    count
        Number of pairs; None: each window is an input once.
    seed
        Of the random choice and order.
    """

    difference: int
    design: str = "n2n"
    guard: int = 1
    count: int | None = None
    seed: int = 0


def guarded_windows(first: int, last: int, difference: int, guard: int = 1) -> list[Window]:
    """List the windows of `difference` sub-frames in the reads ``[first, last)``, `guard` sub-frames apart.

    Raises
    ------
    OptionError
        When none fits, or the guard is negative.

    Examples
    --------
    >>> guarded_windows(0, 9, 3)
    [(0, 3), (4, 7)]
    """
    check_guard(guard)
    difference_windows(last, difference, first, "single")  # its checks and messages
    return [(start, start + difference) for start in range(first, last - difference, difference + guard)]


def make_pairs(n_reads: int, request: PairRequest, first: int = 0, last: int | None = None) -> Pairs:
    """Choose the reads of every pair.

    Parameters
    ----------
    n_reads
        Reads of the exposure.
    request
        Design, difference, guard, number and seed.
    first, last
        Reads used, ``[first, last)``, from 0.

    Raises
    ------
    InputError, OptionError
        When there are too few reads for one pair, or an option is out of range.
    """
    if request.design not in DESIGNS:
        raise unknown("design", request.design, ("halves", *DESIGNS))
    first, last = check_range(n_reads, first, last)
    if request.count is not None and request.count < 1:
        raise OptionError(f"count must be 1 pair or more; got {request.count}")
    if request.design == "n2n":
        return _n2n(first, last, request)
    inputs, targets = (_care if request.design == "care" else _report)(first, last, request)
    if request.count is not None:
        if request.count > len(inputs):
            raise OptionError(f"count {request.count} is more than the {len(inputs)} pairs that there are")
        inputs, targets = inputs[: request.count], targets[: request.count]
    fitted = request.design == "care"
    return Pairs(request.design, request.difference, tuple(inputs), tuple(targets), fitted)


def _n2n(first: int, last: int, request: PairRequest) -> Pairs:
    """Pair windows at random; the random order of each pair makes neither member the earlier one on average."""
    windows = guarded_windows(first, last, request.difference, request.guard)
    n = len(windows)
    if n < 2:
        raise InputError(
            f"difference {request.difference} fits only once into reads {first + 1} to {last}: a pair takes "
            f"{2 * request.difference + 1 + request.guard} reads with a guard of {request.guard}; take a smaller one"
        )
    possible = n * (n - 1) // 2
    count = request.count or (n if n > 2 else 1)
    if count > possible:
        raise OptionError(f"count {count} is more than the {possible} pairs that {n} windows give")
    rng = np.random.default_rng(request.seed)
    circle = rng.permutation(n)
    # Round the circle each window comes twice, once as input and once as target; what more is wanted is drawn.
    chosen = [(int(circle[i]), int(circle[(i + 1) % n])) for i in range(n if n > 2 else 1)][:count]
    if len(chosen) < count:
        taken = {frozenset(pair) for pair in chosen}
        rest = [(i, j) for i in range(n) for j in range(i) if frozenset((i, j)) not in taken]
        drawn = rng.choice(len(rest), count - len(chosen), replace=False)
        swap = rng.random(len(drawn)) < 0.5
        chosen += [rest[i][:: -1 if turned else 1] for i, turned in zip(drawn, swap, strict=True)]
    inputs, targets = zip(*((windows[i], windows[j]) for i, j in chosen), strict=True)
    return Pairs("n2n", request.difference, inputs, targets)


def _care(first: int, last: int, request: PairRequest) -> tuple[list[Window], list[Window]]:
    """Give every window of one side of the exposure the reads of the whole other side as its target."""
    check_guard(request.guard)
    size = (last - first - request.guard + 1) // 2
    if size < 2 or size <= request.difference:
        raise InputError(
            f"{last - first} reads are too few for inputs of {request.difference} sub-frames on two sides with a guard "
            f"of {request.guard}; it takes at least {2 * request.difference + 1 + request.guard}: take a smaller one"
        )
    sides = ((first, first + size), (last - size, last))
    inputs: list[Window] = []
    targets: list[Window] = []
    for mine, other in (sides, sides[::-1]):
        windows = guarded_windows(*mine, request.difference, request.guard)
        inputs += windows
        targets += [(other[0], other[1] - 1)] * len(windows)
    return inputs, targets


def _report(first: int, last: int, request: PairRequest) -> tuple[list[Window], list[Window]]:
    """Take the report's target, read 100 - read 1, and all windows inside it as inputs: their noise is in it."""
    end = first + REPORT_READS
    if end > last:
        raise InputError(
            f"the report's target is read {REPORT_READS} - read 1; there are {last - first} reads. --design care makes "
            "targets of any exposure, without the leak"
        )
    inputs = guarded_windows(first, end, request.difference, request.guard)
    return inputs, [(first, end - 1)] * len(inputs)


def noise_covariance(one: Window, other: Window, flux_e: float, read_noise_e: float) -> float:
    """Return the covariance of the noise of two differences [e-^2].

    Parameters
    ----------
    one, other
        Windows ``(a, b)``: read[b] - read[a].
    flux_e
        e-/px/sub-frame.
    read_noise_e
        Read noise of one read, e- rms.
    """
    (a, b), (c, d) = one, other
    overlap = max(0, min(b, d) - max(a, c))
    shared = (b == d) + (a == c) - (b == c) - (a == d)
    return flux_e * overlap + read_noise_e**2 * shared


def noise_correlation(one: Window, other: Window, flux_e: float, read_noise_e: float) -> float:
    """Return the correlation of the noise of two differences; parameters as `noise_covariance`; 0 without noise."""
    own = [noise_covariance(window, window, flux_e, read_noise_e) for window in (one, other)]
    if min(own) <= 0.0:
        return 0.0
    return noise_covariance(one, other, flux_e, read_noise_e) / math.sqrt(own[0] * own[1])


def leak(noisy: Window, target: Window, flux_e: float, read_noise_e: float) -> float:
    """Return the part of the input's noise that is in a target scaled to the input's length; parameters as above.

    Examples
    --------
    The report's design, read noise 3 e-, 1 e- per sub-frame:

    >>> round(leak((0, 20), (0, 99), 1.0, 3.0), 3)
    0.154
    """
    own = noise_covariance(noisy, noisy, flux_e, read_noise_e)
    scale = (noisy[1] - noisy[0]) / (target[1] - target[0])
    return scale * noise_covariance(noisy, target, flux_e, read_noise_e) / own if own > 0.0 else 0.0


def warnings_of(pairs: Pairs, flux_e: float, read_noise_e: float) -> list[str]:
    """Say how the members of pairs are related, where they are.

    Parameters
    ----------
    pairs
        The pairs.
    flux_e
        A typical flux, e-/px/sub-frame, for the numbers.
    read_noise_e
        Read noise of one read, e- rms.
    """
    if pairs.fitted:
        return []
    at = f"at {flux_e:.3g} e-/px/sub-frame and {read_noise_e:.3g} e- read noise"
    if pairs.design == "report":
        leaks = [leak(i, t, flux_e, read_noise_e) for i, t in zip(pairs.inputs, pairs.targets, strict=True)]
        return [
            f"warning: input and target are made of the same reads: {100 * min(leaks):.0f} to {100 * max(leaks):.0f} % "
            f"of the input's noise is in its target ({at}), and a net trained on them keeps it; --design care makes "
            "targets that share no read with their inputs"
        ]
    together = [noise_correlation(i, t, flux_e, read_noise_e) for i, t in zip(pairs.inputs, pairs.targets, strict=True)]
    related = [value for value in together if value]
    if not related:
        return []
    return [
        f"warning: {len(related)} of {len(pairs)} pairs share a read: the correlation of their noise is "
        f"{min(related):+.2f} ({at}; up to -0.5 in the dark), and a net trained on them returns it with its sign "
        "turned; use a guard of 1 or more"
    ]

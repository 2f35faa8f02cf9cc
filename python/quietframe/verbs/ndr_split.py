"""`quietframe ndr split`: independent halves of an exposure to judge by, or pairs to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..progress import Progress, silent
from .ndr import CameraOptions

__all__ = ["split"]

_NO_OPTIONS = CameraOptions()


def split(
    source: Path,
    out_a: Path,
    out_b: Path,
    /,
    *,
    pairs: int | None = None,
    design: str | None = None,
    guard: int = 1,
    count: int | None = None,
    seed: int = 0,
    first: int | None = None,
    last: int | None = None,
    method: str = "optimal",
    variance_a: Path | None = None,
    variance_b: Path | None = None,
    unit: str | None = None,
    as_measured: bool = False,
    axes: str | None = None,
    camera: Annotated[CameraOptions, Parameter(name="*")] = _NO_OPTIONS,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Split one exposure into independent parts: two halves to judge by, or stacks of pairs to learn from.

    Without --pairs each half is the fit of its own reads, in one unit, so that one can be compared with the other. With
    --pairs K the outputs are a stack of inputs and a stack of targets, the i-th frame of one belonging to the i-th of
    the other. Where the light bleaches, every part is scaled to the mean light of the exposure, and the output says so.

    Parameters
    ----------
    source
        Exposure: a stack whose T axis counts the reads.
    out_a
        First half, or the stack of inputs.
    out_b
        Second half, or the stack of targets.
    pairs
        K: make pairs, whose inputs are differences of K sub-frames.
    design
        halves; n2n (Noise2Noise: both members are differences of disjoint reads); care (the target is the fit of all
        reads on the other side of the exposure); report (the target is read 100 - read 1 over the inputs' own reads: it
        leaks noise, and the output says how much). By default halves, or n2n with --pairs.
    guard
        Sub-frames left out between parts. With 0 they share a read and its noise, which spoils training and judging.
    count
        Number of pairs; by default every window is an input once.
    seed
        Seed of the random choice and order of Noise2Noise pairs.
    first
        First read used, from 1; by default the file's ndr.first_valid, else 1.
    last
        Last read used, from 1, included; by default the last of the exposure.
    method
        How halves and CARE targets are made of their reads: optimal, last-first (a plain difference), fowler or lsq.
    variance_a
        File for the variance of the first half.
    variance_b
        File for the variance of the second half.
    unit
        adu, electrons or rate (per second). By default the first known of rate, electrons and adu per sub-frame for
        halves, and adu for pairs.
    as_measured
        Do not scale the parts to the mean light.
    axes
        Letters to use instead of the file's, e.g. TYX for a ramp that was saved as a z-stack.
    camera
        What is known of the camera.
    overwrite
        Replace outputs that exist.
    """
    from ..ndr.exposure import open_exposure
    from ..ndr.split_files import SplitFiles, SplitRequest, check_files, pair_request, split_file

    files = SplitFiles(out_a, out_b, variance_a, variance_b, overwrite)
    check_files(source, files)
    wanted = pair_request(design, pairs, guard=guard, count=count, seed=seed)
    request = SplitRequest(wanted, guard, first, last, method, unit, as_measured)
    with open_exposure(source, camera=camera.to_camera(), axes=axes) as exposure:
        return split_file(exposure, request, files, progress=progress)

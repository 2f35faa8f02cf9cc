"""`quietframe filter tune`: choose a filter and its settings without truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import OptionError
from ..progress import Progress, silent
from .ndr import CameraOptions

if TYPE_CHECKING:
    from ..filtering.tune import Tried
    from ..filtering.tune_plan import TunePlan, TuneRequest

__all__ = ["tune"]

_NO_OPTIONS = CameraOptions()
_SHOWN = 12
_DRAWN = 7


def tune(
    source: Path,
    out: Path | None = None,
    /,
    *,
    methods: str = "",
    crop: int = 256,
    stabilise: Literal["auto", "no", "image", "camera"] = "auto",
    judge: Literal["auto", "stein", "hidden"] = "auto",
    difference: int | None = None,
    fit: bool = False,
    plane: int | None = None,
    csv: Path | None = None,
    seed: int = 0,
    axes: str | None = None,
    camera: Annotated[CameraOptions, Parameter(name="*")] = _NO_OPTIONS,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Choose a filter and its settings without truth, and print the command line of the best one.

    Every filter is tried with each value of its grid on one part of the picture. What error each has is told by Stein's
    formula (the noise is estimated from the picture), by pixels that are hidden from the filter (J-invariance), or, for
    an exposure, by its other half. Noise that is correlated between neighbours is measured, said, and allowed for.

    Parameters
    ----------
    source
        Noisy picture or stack; with --difference or --fit an exposure.
    out
        Picture of the best candidates (PNG).
    methods
        Filters, divided by commas; all for every filter of planes that has a grid; by default gaussian-blur, median,
        non-local-means, total-variation, wavelet, wiener and bm3d.
    crop
        Side of the part that is tried, where most structure is [px].
    stabilise
        Give the noise one standard deviation before filters that assume that: auto where the noise grows with
        brightness, no, image (noise estimated from the picture), or camera.
    judge
        What tells the error: auto, stein or hidden.
    difference
        The picture is an exposure: try differences of this many sub-frames, judged by another one.
    fit
        The picture is an exposure: try the fit of its first half, judged by that of its second.
    plane
        Which plane of a stack, from 1; by default the middle one.
    csv
        File for the table of all candidates.
    seed
        Seed of the noise that Stein's formula adds.
    axes
        Letters to use instead of the file's.
    camera
        What is known of the camera, for --stabilise camera.
    overwrite
        Replace outputs that exist.
    """
    from ..filtering.tune import candidates
    from ..filtering.tune import tune as run
    from ..filtering.tune_plan import TuneRequest

    _check(out, csv, overwrite)
    if difference is not None and fit:
        raise OptionError("--difference and --fit are two ways to use an exposure; give one of them")
    if (difference is not None or fit) and (judge != "auto" or plane is not None):
        raise OptionError("halves of an exposure judge by themselves: leave --judge and --plane out")
    names = [name.strip() for name in methods.split(",") if name.strip()]
    candidates(names, stabilised=False)
    request = TuneRequest(crop, stabilise, judge, camera.to_camera(), seed)
    plan, which = _plan(source, request, (difference, fit, plane), axes)
    given = candidates(names, stabilised=plan.stabiliser is not None)
    tried = run(plan.plane, given, plan.judge, stabiliser=plan.stabiliser, progress=progress)
    written = _write(plan, tried, out, csv, overwrite)
    return _report(source, (plan, which), tried, written, stabilise)


def _check(out: Path | None, csv: Path | None, overwrite: bool) -> None:
    from ..outputs import check_output

    if out is not None and out.suffix.lower() != ".png":
        raise OptionError(f"the picture of the candidates is a PNG file; got {out}")
    for path in (out, csv):
        if path is not None:
            check_output(path, overwrite=overwrite)


def _plan(
    source: Path, request: TuneRequest, how: tuple[int | None, bool, int | None], axes: str | None
) -> tuple[TunePlan, str]:
    from ..filtering.tune_plan import plan_exposure, plan_picture, plane_of
    from ..images import read_image, require_gray
    from ..ndr.exposure import open_exposure

    difference, fit, plane = how
    if difference is not None or fit:
        with open_exposure(source, camera=request.camera, axes=axes) as exposure:
            return plan_exposure(exposure, difference, request), "an exposure"
    image = read_image(source, axes=axes)
    require_gray(image, source)
    chosen, number, count = plane_of(image, plane)
    return plan_picture(chosen, request), f"plane {number} of {count}" if count > 1 else "the picture"


def _command(tried: Tried, stabilise: str) -> str:
    more = f" --stabilise {'image' if stabilise == 'auto' else stabilise}" if tried.candidate.stabilised else ""
    name, _, options = tried.candidate.text.partition(" ")
    return " ".join(part for part in ("quietframe filter", name, "IN OUT", options) if part) + more


def _gain(plan: TunePlan, error: float) -> float | None:
    """Return how many decibels an error is below that of the noisy picture; None where that cannot be told."""
    import math

    return 10 * math.log10(plan.judge.input_error / error) if error > 0 and plan.judge.input_error > 0 else None


def _write(plan: TunePlan, tried: list[Tried], out: Path | None, csv: Path | None, overwrite: bool) -> list[str]:
    import csv as tables

    from ..judge.contest_picture import contest_png
    from ..outputs import atomic_output

    if csv is not None:
        with atomic_output(csv, overwrite=overwrite) as partial, partial.open("w", newline="") as file:
            table = tables.writer(file)
            table.writerow(["filter", "options", "stabilised", "error", "gain_db", "seconds"])
            for one in tried:
                name, _, options = one.candidate.text.partition(" ")
                gain = _gain(plan, one.error)
                table.writerow(
                    [name, options, one.candidate.stabilised, one.error, "" if gain is None else gain, one.seconds]
                )
    if out is not None:
        best: dict[str, Tried] = {}
        for one in tried:
            best.setdefault(one.candidate.name, one)
        panels = [("noisy", plan.plane), *((_title(plan, one), one.result) for one in list(best.values())[:_DRAWN])]
        picture = contest_png(panels)
        with atomic_output(out, overwrite=overwrite) as partial:
            partial.write_bytes(picture)
    return [str(path) for path in (out, csv) if path is not None]


def _title(plan: TunePlan, tried: Tried) -> str:
    name, _, options = tried.candidate.text.partition(" ")
    gain = _gain(plan, tried.error)
    values = options.replace("--", "") + (" stabilised" if tried.candidate.stabilised else "")
    return f"{name}{'' if gain is None else f' {gain:+.2f} dB'}\n{values}"


def _report(
    source: Path, planned: tuple[TunePlan, str], tried: list[Tried], written: list[str], stabilise: str
) -> dict[str, Any]:
    plan, which = planned
    rows, down = plan.place
    command = _command(tried[0], stabilise)
    listed = [
        {
            "filter": one.candidate.name.replace("_", "-"),
            "settings": one.candidate.settings,
            "stabilised": one.candidate.stabilised,
            "error": one.error,
            "gain_db": _gain(plan, one.error),
            "seconds": one.seconds,
        }
        for one in tried
    ]
    lines = [
        f"{source}: {len(tried)} candidates on rows {rows.start + 1}-{rows.stop}, columns {down.start + 1}-{down.stop} "
        f"of {which}, where most structure is",
        f"judged by {plan.judged}",
        f"{'error':>10}  {'gain':>8}  {'time':>8}  candidate",
    ]
    for one in tried[:_SHOWN]:
        gain = _gain(plan, one.error)
        shown = "       -" if gain is None else f"{gain:+.2f} dB"
        stabilised = ", stabilised" if one.candidate.stabilised else ""
        lines.append(f"{one.error:10.4g}  {shown:>8}  {one.seconds:6.2f} s  {one.candidate.text}{stabilised}")
    more = [f"... and {len(tried) - _SHOWN} more"] if len(tried) > _SHOWN else []
    return {
        "source": str(source),
        "part": [rows.start, rows.stop, down.start, down.stop],
        "judged_by": plan.judged,
        "input_error": plan.judge.input_error,
        "candidates": listed,
        "command": command,
        "notes": list(plan.notes),
        "out": written,
        "summary": [*lines, *more, *plan.notes, f"best: {command}"],
    }

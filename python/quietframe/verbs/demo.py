"""`quietframe demo`: the whole story on one exposure, from its sub-frames to a report that says how far to trust it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import OutputError
from ..progress import Progress, silent


def demo(
    *,
    out: Path = Path("quietframe-demo"),
    exposure: Path | None = None,
    steps: int = 400,
    seed: int = 1,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Run the whole story on one exposure and write a report.

    A real micrograph behind a simulated non-destructive-readout camera, or your own exposure: difference images and
    the optimal fit, two denoisers trained (N2V, and CARE with targets that share no read with the inputs), packed,
    run in Python and in ImageJ, and judged by reads that no training saw.

    Parameters
    ----------
    out
        Folder for everything, made where it does not exist.
    exposure
        Your exposure of at least 14 sub-frames; without it one is simulated.
    steps
        Training steps of each denoiser.
    seed
        Seed of the simulation and of the training.
    overwrite
        Replace the files of an earlier demo in the folder.

    Returns
    -------
    dict
        report, unit, pictures (the numbers of each), imagej, notes, seconds.
    """
    started = time.monotonic()
    _claim(out, overwrite)
    from . import demo_report, demo_steps

    stage = demo_steps.Stage(out, overwrite, progress)
    truth = None
    if exposure is None:
        exposure, truth = demo_steps.simulate(stage, seed)
    ramp = demo_steps.prepare(stage, exposure, truth)
    models = demo_steps.train_both(stage, steps, seed)
    denoised = demo_steps.denoise_both(stage, models)
    imagej = demo_steps.run_in_imagej(stage, ramp, models, denoised)
    rows = demo_steps.measure(ramp, denoised, imagej)
    seconds = time.monotonic() - started
    report = demo_report.write(stage, ramp, rows, imagej, denoised, seconds)
    return {
        "report": str(report),
        "unit": ramp.unit,
        "pictures": [row.numbers() for row in rows],
        "imagej": imagej.numbers(),
        "notes": list(ramp.notes),
        "seconds": seconds,
        "summary": [*(row.line(ramp) for row in rows), imagej.line(), f"report: {report}"],
    }


def _claim(out: Path, overwrite: bool) -> None:
    """Make the output folder, or say why it cannot be used."""
    if out.is_file():
        raise OutputError(f"{out} is a file; give the name of a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"the folder {out} is not empty; choose another --out or add --overwrite")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {out} cannot be made: {error.strerror}; choose another --out") from None
    if not os.access(out, os.W_OK):
        raise OutputError(f"the folder {out} is not writable; choose another --out")

"""`quietframe judge`: how far to trust a denoised picture, with no truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import InputError
from ..progress import Progress, silent


def judge(
    noisy: Path,
    result: Path,
    /,
    *,
    out: Path,
    repeat: Path | None = None,
    exposure: Path | None = None,
    model: Path | None = None,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Judge a denoised picture without truth, from an independent repeat, and write one HTML page.

    What judges is, in this order: the second exposure that is given (--repeat); other difference images of the same
    stack that share no read with the one judged; the reads of the exposure that the picture did not use (--exposure);
    and, for a picture made of all reads, the model run on one half of the exposure and held against the other
    (--exposure and --model). Without any of them the page shows before and after, and says that no error can be stated.

    Parameters
    ----------
    noisy
        What was denoised: a picture, a stack of differences, or a fit.
    result
        Its denoised version, same axes and shape.
    out
        The report to write, .html.
    repeat
        A second exposure of the same scene, made into the same kind of picture.
    exposure
        The exposure that NOISY was made of by ndr subtract or ndr fit.
    model
        The model package that made RESULT.
    overwrite
        Replace an existing report.

    Returns
    -------
    dict
        mse, mse_standard_error, rms, rms_upper; the same with noisy_; improvement_db (None where an error is too small
        to be measured), improvement_at_least_db (with the upper limit of the result's error); flagged_pixels,
        flagged_places; evidence (repeat, frames, exposure, model halves, none) and evidence_text; unit; frames; single;
        warnings; report.

    Raises
    ------
    InputError
        When a file cannot be read, axes or shapes differ, a picture is in colour, constant, or below 5 x 5 pixels, or
        the exposure is not the one the picture was made of.
    OutputError
        When the report exists or cannot be written.
    """
    from contextlib import ExitStack

    from ..images import open_image
    from ..judge.evidence import Given, find_evidence
    from ..judge.page import key_lines, write_page
    from ..judge.verdict import as_dict, check_pictures, reach_verdict
    from ..outputs import check_output

    if out.suffix.lower() not in {".html", ".htm"}:
        raise InputError(f"--out {out}: the report is one HTML page; give a name that ends in .html")
    check_output(out, overwrite=overwrite)
    with ExitStack() as files:
        before, after = (files.enter_context(open_image(path)) for path in (noisy, result))
        check_pictures(before, after)
        evidence = find_evidence(before, after, Given(repeat, exposure, model), files)
        verdict = reach_verdict(before, after, evidence, progress=progress)
    given = {"Noisy": noisy, "Denoised": result, "Repeat": repeat, "Exposure": exposure, "Model": model}
    write_page(out, verdict, {name: path for name, path in given.items() if path is not None}, overwrite=overwrite)
    return {**as_dict(verdict), "report": str(out), "summary": [*key_lines(verdict), f"Report: {out}"]}

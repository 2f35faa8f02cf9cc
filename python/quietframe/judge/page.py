"""The sentences, pictures and tables of a judgement's report."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from ..metrics.repeats import RepeatError
from ..metrics.single import BLOCK
from .compare import Look, comparison_png, z_map_png
from .honesty import BOX, Z_LIMIT
from .report import Figure, Section, Table, write_report
from .verdict import Verdict, warnings_of


def write_page(out: Path, verdict: Verdict, files: Mapping[str, Path], *, overwrite: bool = False) -> Path:
    """Write the report of a judgement.

    Parameters
    ----------
    out
        HTML file.
    verdict
        From `quietframe.judge.verdict`.
    files
        Role of each file -> file; ``Denoised`` gives the title.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError, MissingExtraError
        As `quietframe.judge.report.write_report`.
    """
    lead = (
        "A judgement without ground truth: how large the error is, and where an independent repeat contradicts it."
        if verdict.planes
        else "Before and after. Nothing here can tell how large the error is."
    )
    return write_report(
        out,
        f"How far to trust {files['Denoised'].name}",
        lead,
        sections_of(verdict),
        key_lines=key_lines(verdict),
        provenance={**files, "Command": "quietframe judge", "Quietframe": version("quietframe")},
        overwrite=overwrite,
    )


def key_lines(verdict: Verdict) -> list[str]:
    """Return the lines that matter, for people."""
    if verdict.result is None or verdict.noisy is None:
        return [
            "Error of the result: cannot be stated",
            f"Why: {verdict.evidence.sentence}",
            *_single_lines(verdict),
            "What to do: take the picture twice (--repeat), or judge difference images of one exposure (--exposure)",
        ]
    flagged, places, chance = verdict.total("n_flagged"), verdict.total("n_places"), verdict.flagged_by_chance
    whose = "model at half the exposure" if verdict.evidence.kind == "model halves" else "result"
    return [
        f"Judged by: {verdict.evidence.sentence}",
        f"Error of the {whose}: {_error_text(verdict.result, verdict.unit)}",
        f"Error before denoising: {_error_text(verdict.noisy, verdict.unit)}",
        f"Improvement: {_short_change(verdict)}",
        f"Contradicted by the repeat: {flagged} pixels in {places} places (chance alone: at most {chance:.1g})",
    ]


def sections_of(verdict: Verdict) -> list[Section]:
    """Return the sections of the report."""
    look = Look(unit=verdict.unit, pixel_size_um=verdict.pixel_size_um)
    which = f" Plane {verdict.shown + 1} of the stack is shown." if verdict.shown or len(verdict.planes) > 1 else ""
    picture = Figure(
        comparison_png(verdict.pair.noisy, verdict.pair.result, look),
        "Both pictures have the same contrast (0.1 % to 99.9 % of the result). The orange square is enlarged below. "
        "The difference should look like noise alone: edges or shapes in it are structure that the denoiser took away."
        + which,
        "Noisy picture, denoised picture and their difference, whole and enlarged",
    )
    sections = [Section("Before and after", figures=(picture,)), _trust_section(verdict)]
    if verdict.planes:
        sections.append(_structure_section(verdict, look))
    sections.append(_single_section(verdict))
    if len(verdict.planes) > 1:
        sections.append(_frames_section(verdict))
    return sections


def _trust_section(verdict: Verdict) -> Section:
    title = "How large the error is"
    if verdict.result is None or verdict.noisy is None:
        limits = (
            "Without a truth and without an independent repeat no error can be stated: a smooth picture is not a "
            "correct one, and the numbers below do not tell the two apart."
        )
        return Section(title, [verdict.evidence.sentence, limits])
    unit = verdict.unit
    table = Table(
        (
            "",
            f"rms error [{unit}]",
            "upper limit, 97.5 %",
            f"mean squared error [({unit})²]",
            "standard error",
            "pixels",
        ),
        [("noisy picture", *_error_row(verdict.noisy)), ("denoised", *_error_row(verdict.result))],
        "Error against the unknown truth: the mean squared distance to the repeat minus the repeat's noise.",
    )
    notes = (*verdict.evidence.assumptions, *warnings_of(verdict))
    return Section(title, [verdict.evidence.sentence, _change(verdict)], tables=(table,), notes=notes)


def _change(verdict: Verdict) -> str:
    gain_db, least_db = verdict.improvement_db, verdict.improvement_at_least_db
    if gain_db is None and least_db is not None and least_db > 0:
        return (
            "The error of the result is too small to be measured with this repeat. Its upper limit says that denoising "
            f"brought the mean squared error down by at least {least_db:.1f} dB."
        )
    if gain_db is None:
        return "One of the errors is too small to be measured with this repeat; see the upper limit."
    if gain_db >= 0:
        return f"Denoising brought the mean squared error down by {gain_db:.2f} dB."
    return f"Denoising made the picture worse: the mean squared error rose by {-gain_db:.2f} dB."


def _short_change(verdict: Verdict) -> str:
    gain_db, least_db = verdict.improvement_db, verdict.improvement_at_least_db
    if gain_db is None and least_db is not None and least_db > 0:
        return f"at least {least_db:.1f} dB"
    if gain_db is None:
        return "cannot be stated; an error is too small to be measured here"
    return f"{gain_db:.1f} dB" if gain_db >= 0 else f"none; the mean squared error rose by {-gain_db:.1f} dB"


def _structure_section(verdict: Verdict, look: Look) -> Section:
    judgement = next(judgement for index, judgement in verdict.planes if index == verdict.shown)
    flagged, places = judgement.n_flagged, judgement.n_places
    words = (
        "Nothing in this picture is contradicted by the repeat."
        if not flagged
        else f"The repeat contradicts this picture at {flagged} pixels, in {places} place{'s' if places > 1 else ''}."
    )
    figure = Figure(
        z_map_png(judgement.z_map, verdict.pair.result, look),
        f"z compares the result with the repeat over {BOX} x {BOX} pixels, in units of the noise of both. Blue: the "
        "result is brighter than the repeat (invented or smeared light). Red: it is darker (light was lost). "
        f"Beyond ±{Z_LIMIT:g} a place is flagged.",
        f"The denoised picture with {places} flagged places outlined, and the map of z",
    )
    text = [
        words,
        "A flagged place is one to look at in the raw data: structure was invented there, or real structure was "
        "smoothed away. A place that is not flagged may still be wrong by less than the noise allows to see.",
    ]
    return Section("Where the repeat contradicts the result", text, figures=(figure,))


def _single_section(verdict: Verdict) -> Section:
    labels = {
        "snr": "SNR: mean(bright) / std(dark)",
        "snr_background_subtracted": "SNR, background subtracted",
        "psnr_prime": "PSNR′: max / std(dark)",
    }
    rows = [(labels[name], *pair) for name, pair in verdict.single.items()]
    table = Table(
        ("", "noisy", "denoised"), rows, f"Brightest and darkest square of {BLOCK} x {BLOCK} px, the same in both."
    )
    return Section(
        "Numbers of the pictures alone",
        "These ratios are given because reports use them. They are no evidence of restoration: blurring a picture or "
        "clipping its background raises them while the picture gets worse.",
        tables=(table,),
    )


def _frames_section(verdict: Verdict) -> Section:
    rows = [
        (index + 1, item.noisy.rms, item.result.rms, item.improvement_db, item.n_flagged, item.n_left_out)
        for index, item in verdict.planes
    ]
    header = (
        "plane",
        f"rms error noisy [{verdict.unit}]",
        "denoised",
        "improvement [dB]",
        "flagged pixels",
        "left out",
    )
    return Section("Plane by plane", tables=(Table(header, rows, "Planes count from 1."),))


def _error_row(error: RepeatError) -> tuple[float, float, float, float, int]:
    return error.rms, error.upper_rms, error.mse, error.standard_error, error.n_pixels


def _error_text(error: RepeatError, unit: str) -> str:
    if not error.is_measured:
        return f"below {error.upper_rms:.3g} {unit} rms (too small to be measured here)"
    return f"{error.rms:.4g} ± {error.standard_error / (2 * error.rms):.1g} {unit} rms"


def _single_lines(verdict: Verdict) -> list[str]:
    noisy, denoised = verdict.single["snr"]
    if noisy is None or denoised is None:
        return []
    return [f"SNR of the pictures alone: {noisy:.3g} before, {denoised:.3g} after; blurring raises it too"]

"""The report of the demo: what was done, the numbers, the pictures, and how far to trust them."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path

from ..images import read_image
from ..judge.compare import Look, comparison_png, z_map_png
from ..judge.honesty import judge_plane
from ..judge.report import Figure, Section, Table, write_report
from .demo_steps import METHODS, InImageJ, Plane, Ramp, Row, Stage


def write(
    stage: Stage, ramp: Ramp, rows: list[Row], imagej: InImageJ, denoised: dict[str, Path], seconds: float
) -> Path:
    """Write ``report.html`` into the demo's folder and return its path."""
    pictures = {METHODS[method]: read_image(path).array[0] for method, path in denoised.items()}
    best = min(rows[1:], key=lambda row: row.error_from_truth or row.error_from_reads or 0.0)
    lead = (
        f"{rows[0].name} of this exposure has an SNR of {rows[0].snr:.1f}; the best picture here, {best.name}, has "
        f"{best.snr:.1f}, and its error is {_times(rows[0], best)} smaller."
    )
    lines = [*(row.line(ramp) for row in rows), imagej.line()]
    sections = [_exposure(ramp), _numbers(ramp, rows), *_pictures(ramp, pictures), _trust(ramp, rows, pictures)]
    return write_report(
        stage.file("report.html"),
        "Quietframe demo",
        lead,
        sections,
        key_lines=lines,
        provenance={
            "quietframe": version("quietframe"),
            "exposure": ramp.source.name,
            "made": time.strftime("%Y-%m-%d %H:%M"),
            "took": f"{seconds:.0f} s",
            "files": "beside this report: exposure, differences, fit, model packages (model.zip), results",
        },
        overwrite=stage.overwrite,
    )


def _times(noisy: Row, best: Row) -> str:
    before, after = noisy.error_from_truth, best.error_from_truth
    if before is None or after is None:
        before, after = noisy.error_from_reads, best.error_from_reads
    return f"{before / after:.1f} times" if before and after else "much"


def _exposure(ramp: Ramp) -> Section:
    k, split = ramp.split.difference, ramp.split
    simulated = ramp.truth is not None
    text = [
        f"{ramp.n_reads} sub-frames of one exposure"
        + (
            ", simulated: a real micrograph behind a camera with read noise, reset noise, row noise and "
            "drift; hot pixels are left out, as after a dark subtraction."
            if simulated
            else "."
        ),
        f"A difference-{k} image is read[i+{k}] - read[i], {k} sub-frames of light. The optimal fit uses all reads of "
        "a ramp with the weights that its photon and read noise ask for.",
        f"N2V learned from {len(split.inputs)} difference images alone. CARE learned to turn each of them into the "
        "optimal fit of the other side of the exposure, which shares no read with it. The last difference image was "
        "kept from both and judges them.",
    ]
    return Section("The exposure", text, notes=ramp.notes)


def _numbers(ramp: Ramp, rows: list[Row]) -> Section:
    header = (
        "picture", "SNR, Python", "SNR, ImageJ", "PSNR'",
        f"rms error by held-out reads [{ramp.unit}]", f"rms error, exact [{ramp.unit}]", "contradicted px",
    )  # fmt: skip
    cells = [
        (
            row.name, row.snr, row.snr_imagej, row.psnr_prime,
            row.error_from_reads, row.error_from_truth, row.contradicted_px,
        )
        for row in rows
    ]  # fmt: skip
    text = (
        f"SNR is mean / standard deviation of a bright ({ramp.bright}) and a dark region ({ramp.dark}; x, y, width, "
        "height), found on the fit and the same for all. PSNR' is the maximum over the standard deviation of the dark "
        "region; smoothing alone raises both, so neither shows that structure was restored. The rms error does. The "
        f"fit had the light of {ramp.split.held_out[0]} reads, a denoised difference that of {ramp.split.difference}."
    )
    return Section("The numbers", text, tables=(Table(header, cells),))


def _pictures(ramp: Ramp, pictures: dict[str, Plane]) -> list[Section]:
    sections = []
    first = f"Difference {ramp.split.difference}"
    for name, picture in {"Optimal fit": ramp.fit, **pictures}.items():
        look = Look(unit=ramp.unit, pixel_size_um=ramp.pixel_size_um, names=(first, name))
        caption = f"{first}, {name}, and what was taken away: noise, and no structure, when all is well."
        figure = Figure(
            comparison_png(ramp.noisy, picture, look), caption, f"{first} beside {name} and their difference"
        )
        sections.append(Section(name, figures=(figure,)))
    return sections


def _trust(ramp: Ramp, rows: list[Row], pictures: dict[str, Plane]) -> Section:
    figures = []
    for name, picture in pictures.items():
        judged = judge_plane(ramp.noisy, picture, ramp.held_out)
        figures.append(
            Figure(
                z_map_png(judged.z_map, picture, Look(names=("", name))),
                f"{name}: where reads that no training saw contradict it (|z| > 4.5 over 5 x 5 pixels): "
                f"{judged.n_flagged} px in {judged.n_places} places.",
                f"z map of {name}",
            )
        )
    text = (
        "The error by held-out reads needs no truth: mean((result - held-out)^2) minus the held-out image's own noise "
        "variance. "
        + (
            "Here the exact truth is known too, and the two columns of the table agree. "
            if ramp.truth is not None
            else ""
        )
        + "Both denoisers were trained on this very field of view; on a new one expect somewhat less."
    )
    return Section("How far to trust it", text, figures=tuple(figures))


def _agreement(rows: list[Row]) -> str:
    """Return how well the error without truth meets the exact one, where that is known."""
    both = [(row.error_from_reads, row.error_from_truth) for row in rows]
    apart = [abs(by_reads / exact - 1) for by_reads, exact in both if by_reads and exact]
    if not apart:
        return ""
    return f"Here the exact truth is known too: the two columns of the table differ by at most {max(apart):.0%}. "

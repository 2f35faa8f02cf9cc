"""SNR and PSNR' against the length of the difference: power laws, percent gain of restored over noisy, the plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import figures
from .measure import FIGURES, ROLES, Regions, means_of
from .power_law import PowerLaw, fit_power_law, fit_with_floor, noise_maximum

TITLES = {"snr": "report SNR", "psnr_prime": "PSNR' (max / std, no dB)"}
Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Point:
    """The figures of all frames of one difference and role; errors are standard errors of the mean, 0 for one frame."""

    role: str
    difference: int
    frames: int
    means: dict[str, float]
    errors: dict[str, float]


@dataclass(frozen=True)
class Series:
    """Figures against the difference.

    Parameters
    ----------
    points
        In order of role and difference.
    laws
        ``laws[role][figure]``; a figure without enough points is missing.
    n_pixels
        Pixels of one image.
    """

    points: tuple[Point, ...]
    laws: dict[str, dict[str, PowerLaw]]
    n_pixels: int

    def of(self, role: str) -> list[Point]:
        """Return the points of one role."""
        return [point for point in self.points if point.role == role]

    def gains(self) -> list[dict[str, float]]:
        """Return the percent gain of restored over noisy for each difference that has both."""
        noisy = {point.difference: point.means for point in self.of("noisy")}
        return [
            {"difference": point.difference, **percent_gain(noisy[point.difference], point.means)}
            for point in self.of("restored")
            if point.difference in noisy
        ]


def percent_gain(noisy: dict[str, float], restored: dict[str, float]) -> dict[str, float]:
    """Return by how many percent each figure of `restored` exceeds that of `noisy`; NaN where that is not above 0."""
    return {name: 100.0 * (restored[name] / noisy[name] - 1.0) if noisy[name] > 0 else float("nan") for name in FIGURES}


def make_series(rows: Rows, n_pixels: int) -> Series:
    """Gather the rows that know their difference, and fit the power laws.

    Parameters
    ----------
    rows
        From `quietframe.ndr.measure.measure_frames`.
    n_pixels
        Pixels of one image, for the floor of PSNR'.
    """
    points = []
    for role in ROLES:
        mine = [row for row in rows if row["role"] == role and row["difference"] is not None]
        for difference in sorted({row["difference"] for row in mine}):
            frames = [row for row in mine if row["difference"] == difference]
            values = {name: np.array([row[name] for row in frames]) for name in FIGURES}
            spread = {name: float(v.std(ddof=1) / np.sqrt(len(v))) if len(v) > 1 else 0.0 for name, v in values.items()}
            points.append(Point(role, difference, len(frames), means_of(frames), spread))
    laws: dict[str, dict[str, PowerLaw]] = {}
    for role in ROLES:
        of_role = [point for point in points if point.role == role]
        k = [float(point.difference) for point in of_role]
        for name in FIGURES:
            values_of = [point.means[name] for point in of_role]
            law = fit_power_law(k, values_of) if name.startswith("snr") else fit_with_floor(k, values_of, n_pixels)
            if law is not None:
                laws.setdefault(role, {})[name] = law
    return Series(tuple(points), laws, n_pixels)


def summarize(rows: list[dict[str, Any]], regions: Regions) -> dict[str, Any]:
    """Return what ``ndr measure`` answers: figures by file and by difference, laws, percent gain."""
    series = make_series(rows, regions.bright.size)
    files = list(dict.fromkeys(row["file"] for row in rows))
    means = {file: means_of([row for row in rows if row["file"] == file]) for file in files}
    lines = [f"bright region {regions.bright_name}, dark region {regions.dark_name}", *regions.notes]
    lines += [_line(file, [row for row in rows if row["file"] == file], means[file]) for file in files]
    result: dict[str, Any] = {
        "bright": regions.bright_name,
        "dark": regions.dark_name,
        "means": means,
        "frames": rows,
        "series": [{"role": p.role, "difference": p.difference, "frames": p.frames, **p.means} for p in series.points],
        "power_laws": {role: {name: law.numbers() for name, law in laws.items()} for role, laws in series.laws.items()},
        "notes": list(regions.notes),
    }
    for role, laws in series.laws.items():
        lines += [f"{role}: {_law_line(name, laws[name])}" for name in ("snr", "psnr_prime") if name in laws]
    gains, words = _overall_gain(rows, series, means)
    if gains is not None:
        result["gain_percent"], result["gain_by_difference"] = gains, series.gains()
        lines.append(f"{words}: SNR {gains['snr']:+.1f} %, PSNR' {gains['psnr_prime']:+.1f} %")
        if any(row["role"] == "restored" for row in rows):
            lines.append("PSNR' rises with mere blurring and clipping: a gain in it is no evidence of restoration")
    return {**result, "summary": lines}


def _line(file: str, rows: Rows, means: dict[str, float]) -> str:
    k = rows[0]["difference"]
    what = f"{rows[0]['role']}, difference {k}, " if k is not None else ""
    frames = f"{len(rows)} frame{'s' if len(rows) != 1 else ''}"
    return (
        f"{file}: {what}SNR {means['snr']:.4g} (background subtracted {means['snr_background_subtracted']:.4g}), "
        f"PSNR' {means['psnr_prime']:.4g} ({means['psnr_prime_background_subtracted']:.4g}), mean of {frames}"
    )


def _law_line(name: str, law: PowerLaw) -> str:
    error = "" if law.power_error is None else f" (power +- {law.power_error:.2g})"
    figure = "SNR" if name == "snr" else "PSNR'"
    return f"{figure} = {law.text()}{error}, {law.n_points} points"


def _overall_gain(
    rows: Rows, series: Series, means: dict[str, dict[str, float]]
) -> tuple[dict[str, float] | None, str]:
    """Return the gain: mean over differences, or restored files over noisy ones, or the second of two files."""
    by_difference = series.gains()
    if by_difference:
        count = len(by_difference)
        return (
            {name: float(np.nanmean([gain[name] for gain in by_difference])) for name in FIGURES},
            f"restored over noisy, mean of {count} difference{'s' if count != 1 else ''}",
        )
    restored = [row for row in rows if row["role"] == "restored"]
    if restored:
        noisy = [row for row in rows if row["role"] == "noisy"]
        return percent_gain(means_of(noisy), means_of(restored)), "restored over noisy"
    if len(means) == 2:
        first, second = means.values()
        return percent_gain(first, second), "second over first"
    return None, ""


def plot(path: Path, rows: Rows, n_pixels: int) -> None:
    """Draw SNR and PSNR' against the difference, with their laws, or against the frame where no difference is known.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    series = make_series(rows, n_pixels)
    figure = figures.new_figure(7.6, 3.5)
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, TITLES, strict=True):
        if len({point.difference for point in series.points}) > 1:
            _draw_series(axes, series, name)
        else:
            _draw_frames(axes, rows, name)
    figures.save(figure, path)


def _draw_series(axes: Any, series: Series, name: str) -> None:
    for role, colour, marker in (("noisy", figures.NOISY, "o"), ("restored", figures.RESTORED, "s")):
        points = [point for point in series.of(role) if point.means[name] > 0]
        if not points:
            continue
        k = [point.difference for point in points]
        law = series.laws.get(role, {}).get(name)
        label = role if law is None else f"{role}: ${_math(law)}$"
        values = [point.means[name] for point in points]
        errors = [min(point.errors[name], 0.9 * value) for point, value in zip(points, values, strict=True)]
        axes.plot(k, values, marker, color=colour, label=label, markersize=5, markeredgecolor="white", zorder=3)
        if any(errors):
            axes.errorbar(k, values, errors, fmt="none", color=colour, capsize=2, elinewidth=0.9)
        if law is not None:
            fine = np.geomspace(min(k), max(k), 200)
            axes.plot(fine, law(fine), color=colour, linewidth=1.2, alpha=0.85)
    if name == "psnr_prime":
        floor = noise_maximum(series.n_pixels)
        axes.axhline(floor, color=figures.MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        text = {"color": figures.MUTED, "fontsize": 7.5, "ha": "right", "va": "top"}
        axes.text(0.99, floor, "maximum of pure noise", transform=axes.get_yaxis_transform(), **text)
    figures.tidy(axes, xlabel="difference k (sub-frames)", ylabel=TITLES[name])
    figures.log_ticks(axes, sorted({point.difference for point in series.points}))
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", handletextpad=0.3, borderaxespad=0.1)


def _math(law: PowerLaw) -> str:
    floor = f" + {law.floor:.2g}" if law.floor else ""
    return f"{law.factor:.2g}\\,k^{{{law.power:.2f}}}{floor}"


def _draw_frames(axes: Any, rows: Rows, name: str) -> None:
    files = list(dict.fromkeys(row["file"] for row in rows))
    for number, file in enumerate(files):
        mine = [row for row in rows if row["file"] == file]
        colour = figures.COLOURS[number % len(figures.COLOURS)]
        frames, values = [row["frame"] for row in mine], [row[name] for row in mine]
        axes.plot(frames, values, ".-", color=colour, linewidth=1, markersize=5, label=Path(file).name)
    figures.tidy(axes, xlabel="frame", ylabel=TITLES[name])
    axes.legend(fontsize=7.5, frameon=False)

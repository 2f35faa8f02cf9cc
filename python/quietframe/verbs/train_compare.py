"""train compare: train several methods on one picture, and say which denoises it best and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import InputError, OptionError, unknown
from ..methods import method_names
from ..progress import Progress, silent

if TYPE_CHECKING:
    from ..images import Image
    from ..judge.contest import Denoise, Score, Standing

MOST_PLANES = 3
"""Planes of a stack that are judged, evenly spread."""


def compare(
    source: Path,
    /,
    *,
    out: Path,
    methods: str = "zero_shot,n2v,n2v2",
    minutes: float = 1.0,
    repeat: Path | None = None,
    halves: bool = False,
    seed: int = 42,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Train several methods on one picture and rank them, beside a Gaussian filter that was tuned without truth.

    Judged by a second exposure of the scene where there is one (--repeat), by the other half of an exposure (--halves),
    else by hidden pixels: each denoiser says what pixels are that it cannot see. The last needs noise that is
    independent from pixel to pixel, and the result says when it is not. The folder gets comparison.csv,
    comparison.png, each denoised picture, and each run with its model.zip.

    Parameters
    ----------
    source
        Noisy picture or stack; with --halves an exposure.
    out
        Folder, made where it does not exist.
    methods
        Methods that learn from noisy pictures alone, divided by commas.
    minutes
        Minutes of training for each method.
    repeat
        A second exposure: the same scene, the same shape, other noise.
    halves
        The picture is an exposure: train on the fit of its first half, judge by the fit of its second.
    seed
        Seed of every training, and of the pixels that are hidden.
    overwrite
        Replace what the folder holds of an earlier comparison.
    """
    wanted = _methods(methods)
    if repeat is not None and halves:
        raise OptionError("--repeat and --halves both say what to judge by; give one of them")
    _check_folder(out, overwrite)
    notes: list[str] = []
    if halves:
        source, repeat, more = _split(source, out, overwrite, progress)
        notes += more
    pictures = _read(source, repeat)
    judged = _Contest(pictures, out, seed)
    for name in wanted:
        done = _train(name, source, out, (minutes, seed), progress)
        judged.add(name, done)
        notes += [f"{name}: {note}" for note in done["notes"]]
    standings = judged.rank()
    return _report(judged, standings, [*judged.words(halves), *notes])


@dataclass(frozen=True)
class _Pictures:
    """The noisy picture and the repeat that judges it."""

    image: Image
    planes: list[Any]
    repeats: list[Any] | None
    source: Path


class _Contest:
    """What was denoised so far, and what it reached."""

    def __init__(self, pictures: _Pictures, out: Path, seed: int) -> None:
        from ..judge.contest import calibrate_gaussian, gaussian

        self.pictures, self.out, self.seed = pictures, out, seed
        self.scores: list[Score] = []
        self.results: dict[str, list[Any]] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.sigma = calibrate_gaussian(pictures.planes)
        self._judge("gaussian", gaussian(self.sigma), {"sigma_px": self.sigma})

    def add(self, name: str, done: dict[str, Any]) -> None:
        """Denoise with a model that was trained, and judge the result."""
        from ..inference.large import denoise_file, denoise_plane
        from ..inference.package import read_package
        from ..inference.runner import Runner

        runner = Runner(read_package(done["model"]))
        denoise_file(self.pictures.source, self.out / f"{name}.tif", runner, command="train compare", overwrite=True)
        facts = {key: done[key] for key in ("model", "steps", "seconds")}
        self._judge(name, lambda plane: denoise_plane(plane, runner), facts)

    def _judge(self, name: str, denoise: Denoise, facts: dict[str, Any]) -> None:
        from ..judge.contest import against_repeat, by_hidden_pixels

        given = self.pictures
        self.results[name] = [denoise(plane.astype("float32")) for plane in given.planes]
        self.facts[name] = facts
        self.scores.append(
            by_hidden_pixels(name, given.planes, denoise, self.seed)
            if given.repeats is None
            else against_repeat(name, self.results[name], given.repeats)
        )

    def rank(self) -> list[Standing]:
        """Put all in order; with a repeat its noise is taken off."""
        from ..judge.contest import against_repeat, rank

        given = self.pictures
        if given.repeats is None:
            return rank(self.scores)
        noisy = against_repeat("noisy", given.planes, given.repeats)
        return rank(self.scores, noisy, noisy.mean_square / 2)

    def words(self, halves: bool) -> list[str]:
        """Say what the judge can tell and what it cannot."""
        from ..judge.contest import why_not_hidden

        if self.pictures.repeats is not None:
            said = [
                "judged by an independent exposure: the error of each result, if both exposures are equally noisy and "
                "nothing moved or bleached between them"
            ]
            more = ["it holds for half of the exposure, where the picture is noisier than the whole"] if halves else []
            return said + more
        reason = why_not_hidden(self.pictures.planes[0])
        return [
            "judged by hidden pixels: the figures hold the noise itself, so only their order and differences count; a "
            "method is judged without the pixel's own value, which it has when it is used",
            *([f"not to be trusted here: {reason}"] if reason else []),
        ]


def _methods(text: str) -> list[str]:
    from .train_options import method_options

    wanted = list(dict.fromkeys(name.strip().replace("-", "_") for name in text.split(",") if name.strip()))
    if not wanted:
        raise OptionError("--methods names no method; give for example n2v,n2v2")
    for name in wanted:
        if name not in method_names():
            raise unknown("method", name, method_names())
    single = [name for name in method_names() if method_options(name).data == "single"]
    for name in wanted:
        if name not in single:
            raise OptionError(
                f"{name} does not learn from noisy pictures alone, which is what is compared; allowed: "
                f"{', '.join(single)}; train it by itself (quietframe train {name.replace('_', '-')})"
            )
    return wanted


def _check_folder(out: Path, overwrite: bool) -> None:
    from ..errors import OutputError

    if out.is_file():
        raise OutputError(f"{out} is a file; give a folder")
    if (out / "comparison.csv").exists() and not overwrite:
        raise OutputError(f"{out} holds a comparison; choose another folder or add --overwrite")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent} does not exist; make it first, or choose another folder")
    out.mkdir(exist_ok=True)


def _split(source: Path, out: Path, overwrite: bool, progress: Progress) -> tuple[Path, Path, list[str]]:
    from .ndr_split import split

    first, second = out / "half_a.tif", out / "half_b.tif"
    done = split(source, first, second, overwrite=overwrite, progress=progress)
    return first, second, [str(note) for note in done.get("notes", [])]


def _read(source: Path, repeat: Path | None) -> _Pictures:
    import numpy as np

    from ..images import read_image, require_gray

    def planes(image: Image) -> list[Any]:
        flat = image.array.reshape(-1, *image.array.shape[-2:])
        chosen = np.linspace(0, len(flat) - 1, min(len(flat), MOST_PLANES))
        return [flat[number] for number in sorted({round(at) for at in chosen})]

    image = read_image(source)
    require_gray(image, source)
    if repeat is None:
        return _Pictures(image, planes(image), None, source)
    other = read_image(repeat)
    require_gray(other, repeat)
    if other.array.shape != image.array.shape:
        raise InputError(
            f"{repeat} has shape {other.array.shape}, {source} {image.array.shape}; a repeat shows the same scene in "
            "the same size"
        )
    return _Pictures(image, planes(image), planes(other), source)


def _train(name: str, source: Path, out: Path, how: tuple[float, int], progress: Progress) -> dict[str, Any]:
    from .train import make_command
    from .train_options import method_options

    schedule = replace(method_options(name).schedule, minutes=how[0], seed=how[1])
    command: Callable[..., dict[str, Any]] = make_command(name)

    def told(message: str, done: int, total: int) -> None:
        progress(f"{name}: {message}", done, total)

    return command([source], out=out / name, schedule=schedule, overwrite=(out / name).exists(), progress=told)


def _report(judged: _Contest, standings: Sequence[Standing], notes: list[str]) -> dict[str, Any]:
    from ..judge.contest_picture import contest_png
    from ..outputs import atomic_output

    rows = [_row(standing, judged.facts[standing.score.name]) for standing in standings]
    unit = judged.pictures.image.info.get("ndr.unit", "counts")
    noisy = ("noisy", judged.pictures.planes[0])
    panels = [noisy, *((f"{row['name']}{_gain(row)}", judged.results[row["name"]][0]) for row in rows)]
    with atomic_output(judged.out / "comparison.png", overwrite=True) as partial:
        partial.write_bytes(contest_png(panels))
    with atomic_output(judged.out / "comparison.csv", overwrite=True) as partial:
        lines = [",".join(_COLUMNS), *(",".join(_cell(row[key]) for key in _COLUMNS) for row in rows)]
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    best = rows[0]["name"]
    equal = [row["name"] for row in rows[1:] if not row["told_apart"]]
    verdict = f"best: {best}" + (f"; not told apart from it: {', '.join(equal)}" if equal else ", by more than chance")
    return {
        "folder": str(judged.out),
        "judge": "hidden pixels" if judged.pictures.repeats is None else "repeat",
        "unit": unit,
        "best": best,
        "rows": rows,
        "notes": notes,
        "summary": [*_table(rows, unit), verdict, *(f"note: {note}" for note in notes),
                    f"pictures and models: {judged.out}"],
    }  # fmt: skip


_COLUMNS = ("name", "mean_square", "rms_error", "gain_db", "behind", "behind_error", "told_apart", "steps", "seconds")


def _row(standing: Standing, facts: dict[str, Any]) -> dict[str, Any]:
    score = standing.score
    return {
        "name": score.name,
        "mean_square": score.mean_square,
        "rms_error": standing.rms_error,
        "gain_db": standing.gain_db,
        "behind": standing.behind[0],
        "behind_error": standing.behind[1],
        "told_apart": standing.told_apart,
        "steps": None,
        "seconds": None,
        **facts,
    }


def _gain(row: dict[str, Any]) -> str:
    return "" if row["gain_db"] is None else f", {row['gain_db']:+.2f} dB"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[dict[str, Any]], unit: str) -> list[str]:
    """Write the table that a person reads."""
    lines = [f"{'method':<16}{'mean square':>14}{'gain [dB]':>11}{'behind best':>22}{'training [s]':>14}  [{unit}^2]"]
    for row in rows:
        gain = "" if row["gain_db"] is None else f"{row['gain_db']:+.2f}"
        behind = "best" if row is rows[0] else f"{row['behind']:.4g} +- {row['behind_error']:.2g}"
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
        lines.append(f"{row['name']:<16}{row['mean_square']:>14.6g}{gain:>11}{behind:>22}{seconds:>14}")
    return lines

"""`quietframe reproduce`: published comparisons by their recipe, their figures beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..progress import Progress, silent

if TYPE_CHECKING:
    from ..reproduce.published import Published
    from ..reproduce.siegen import Row, Scene

__all__ = ["siegen"]

_MEASURES = ("psnr", "nrmse", "ssim")


def siegen(
    *,
    out: Path,
    data: Path | None = None,
    published: Path | None = None,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Do the classical columns of a report from Siegen again: median, Gaussian, box, Box3D.

    On a clean picture with Gaussian noise of standard deviation 100, and on noisy pictures with their ground truth,
    each filter with the width that is best against the truth. The folder gets table.md, table.csv and picture.png. The
    report's own figures are not part of Quietframe: put them into a CSV file, and they are printed beside ours.

    Parameters
    ----------
    out
        Folder, made where it does not exist.
    data
        Folder with fmd/ and misc/cells3d_nuclei.tif; by default QUIETFRAME_DATA. Without one, scikit-image's picture of
        a cell stands in for both.
    published
        The report's figures: a CSV file with the columns scene, filter, psnr, nrmse, ssim, named as in our table.csv.
    overwrite
        Replace what the folder holds of an earlier run.
    """
    import os

    from ..errors import InputError
    from ..outputs import check_output
    from ..reproduce.published import read_published
    from ..reproduce.siegen import run, scenes

    folder = data or (Path(os.environ["QUIETFRAME_DATA"]) if os.environ.get("QUIETFRAME_DATA") else None)
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the folder of the data (--data), or leave it out")
    known = read_published(published)
    files = _files(out)
    for path in files:
        check_output(path, overwrite=overwrite)
    given = scenes(folder)
    rows = run(given, progress)
    _write(files, given, rows, known, overwrite)
    return _report(files, given, rows, known)


def _files(out: Path) -> list[Path]:
    from ..errors import OutputError

    if out.is_file() or not out.parent.is_dir():
        raise OutputError(f"{out} cannot be a folder of results: it is a file, or {out.parent} does not exist")
    out.mkdir(exist_ok=True)
    return [out / name for name in ("table.md", "table.csv", "picture.png")]


def _note(known: Published, rows: list[Row]) -> str:
    if not known:
        return "published figures: not available here; give them with --published FILE.csv and they stand beside ours"
    ours = {(row.scene, row.filter) for row in rows}
    unused = len(set(known) - ours)
    return f"published figures: {len(known)} rows given" + (f", {unused} of them for no row of ours" if unused else "")


def _markdown(given: list[Scene], rows: list[Row], known: Published) -> list[str]:
    lines = [
        "| scene | filter | settings | PSNR / published | NRMSE / published | SSIM / published |",
        "|--|--|--|--|--|--|",
    ]
    for row in rows:
        theirs = known.get((row.scene, row.filter), {})
        pairs = [
            f"{getattr(row, name):{form}} / {format(theirs[name], form) if name in theirs else '-'}"
            for name, form in zip(_MEASURES, (".2f", ".4f", ".3f"), strict=True)
        ]
        settings = ", ".join(f"{key} {value:g}" for key, value in row.settings.items()) or "-"
        lines.append(f"| {row.scene} | {row.filter} | {settings} | {' | '.join(pairs)} |")
    about = [f"- {scene.name}: {scene.made_of}; data range {scene.data_range:.5g}" for scene in given]
    return [*lines, "", *about, f"- {_note(known, rows)}", "- settings: best of each filter's grid against the truth"]


def _write(files: list[Path], given: list[Scene], rows: list[Row], known: Published, overwrite: bool) -> None:
    import csv

    from ..judge.contest_picture import contest_png
    from ..outputs import atomic_output

    with atomic_output(files[0], overwrite=overwrite) as partial:
        partial.write_text("\n".join(_markdown(given, rows, known)) + "\n", encoding="utf-8")
    with atomic_output(files[1], overwrite=overwrite) as partial, partial.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["scene", "filter", "settings", *_MEASURES, *(f"published_{name}" for name in _MEASURES)])
        for row in rows:
            theirs = known.get((row.scene, row.filter), {})
            settings = " ".join(f"{key}={value}" for key, value in row.settings.items())
            figures = [getattr(row, name) for name in _MEASURES]
            table.writerow([row.scene, row.filter, settings, *figures, *(theirs.get(name, "") for name in _MEASURES)])
    first = [row for row in rows if row.scene == given[0].name]
    panels = [(f"{row.filter}, {row.psnr:.2f} dB", row.result) for row in first] + [("truth", given[0].truth)]
    picture = contest_png(panels)
    with atomic_output(files[2], overwrite=overwrite) as partial:
        partial.write_bytes(picture)


def _report(files: list[Path], given: list[Scene], rows: list[Row], known: Published) -> dict[str, Any]:
    kept = ("scene", "filter", "settings", *_MEASURES)
    winners = {}
    for scene in given:
        filtered = [row for row in rows if row.scene == scene.name and row.filter != "noisy"]
        winners[scene.name] = max(filtered, key=lambda row: row.psnr).filter
    return {
        "out": [str(path) for path in files],
        "rows": [
            {**{name: getattr(row, name) for name in kept}, "published": known.get((row.scene, row.filter))}
            for row in rows
        ],
        "best": winners,
        "published_available": bool(known),
        "summary": _markdown(given, rows, known),
    }

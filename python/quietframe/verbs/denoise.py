"""denoise: run a model package over a stack or hyperstack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..errors import OptionError
from ..progress import Progress, silent

if TYPE_CHECKING:
    from ..inference.large import Denoised
    from ..inference.runner import Runner


def denoise(
    source: Path,
    out: Path,
    /,
    *,
    model: Path,
    provider: str = "auto",
    tile: str = "auto",
    threads: int | None = None,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Denoise a picture, stack or hyperstack with a model package.

    Every YX plane is denoised by itself. The output is float32 and keeps axes, calibration, slice labels and Info;
    model, provider and tile are added to Info.

    Parameters
    ----------
    source
        TIFF, OME-TIFF, PNG or NPY with raw counts in the unit of the model's training data.
    out
        File to write: .tif (ImageJ hyperstack), .ome.tif or .npy.
    model
        Model package: .zip, its folder, or a bare .onnx.
    provider
        auto, cpu or cuda. auto takes CUDA where it works and says why not; cuda fails where it does not.
    tile
        auto (the whole picture up to 2 Mpixel, else 768), 0 (the whole picture), or the largest side in pixels.
    threads
        CPU threads; all that are there if not given.
    axes
        Letters over STCZYX to use instead of the file's.
    overwrite
        Replace an existing output.
    """
    return run_model(
        source, out, model, provider=provider, tile=tile, threads=threads, axes=axes, overwrite=overwrite,
        progress=progress, command="denoise",
    )  # fmt: skip


def run_model(
    source: Path,
    out: Path,
    model: Path,
    *,
    provider: str,
    tile: str,
    threads: int | None,
    axes: str | None,
    overwrite: bool,
    progress: Progress,
    command: str,
) -> dict[str, Any]:
    """Run a package over a file; what `denoise` and model run share."""
    side = tile_option(tile)
    from ..inference.large import denoise_file
    from ..inference.package import read_package
    from ..inference.runner import Runner
    from ..outputs import check_output

    check_output(out, overwrite=overwrite)
    runner = Runner(read_package(model), provider, threads)
    done = denoise_file(
        source, out, runner, axes=axes, tile=side, command=command, overwrite=overwrite, progress=progress
    )
    return _report(done, runner)


def _report(done: Denoised, runner: Runner) -> dict[str, Any]:
    package = runner.package
    shape = " x ".join(map(str, done.meta.shape))
    tiles = f"tiles of {done.tile}" if done.tile else "one shot"
    return {
        "output": str(done.path),
        "shape": list(done.meta.shape),
        "axes": done.meta.axes,
        "model": package.name,
        "model_sha256": package.sha256,
        "method": package.own("method"),
        "provider": runner.provider,
        "provider_note": runner.provider_note,
        "tile": done.tile,
        "halo": package.halo,
        "warnings": list(done.warnings),
        "summary": [
            f"{done.path}: {done.meta.axes} {shape}, {package.name}, {tiles}",
            f"ran on {runner.provider_note}",
            *(f"warning: {warning}" for warning in done.warnings),
        ],
    }


def tile_option(tile: str) -> int | Literal["auto"]:
    """Return the option --tile as the rooms below take it: a number, or "auto"."""
    if tile == "auto":
        return "auto"
    try:
        side = int(tile)
    except ValueError:
        side = -1
    if side < 0:
        raise OptionError(f"--tile must be auto, 0 (the whole picture) or a number of pixels; got {tile!r}")
    return side

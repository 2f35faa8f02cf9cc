"""denoise: run a model package over a stack or hyperstack."""

from __future__ import annotations

from collections.abc import Mapping
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
    uncertainty: Path | None = None,
    deconvolved: Path | None = None,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Denoise a picture, stack or hyperstack with a model package.

    A model of planes denoises every YX plane by itself, a model of volumes every ZYX volume; one that was trained on
    several channels together takes them together. The output is float32 and keeps axes, calibration, slice labels and
    Info; model, provider and tile are added to Info. Pictures and volumes may be larger than memory.

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
        auto (the whole picture up to 2 million pixels, else tiles of 768, or blocks of 2 million voxels), 0 (the whole
        picture), or the largest side in pixels, for every axis.
    threads
        CPU threads; all that are there if not given.
    axes
        Letters over STCZYX to use instead of the file's.
    uncertainty
        File for the uncertainty of every pixel, from models that give one (care_laplace: the scale of a Laplace
        distribution, whose standard deviation is 1.41 times that), in the unit of the output.
    deconvolved
        File for the picture before it was blurred by the microscope, from models that give one (psf_blind_spot).
    overwrite
        Replace existing outputs.
    """
    further = {"uncertainty": uncertainty, "deconvolved": deconvolved}
    return run_model(
        source, out, model, provider=provider, tile=tile, threads=threads, axes=axes, overwrite=overwrite,
        progress=progress, command="denoise", further={name: path for name, path in further.items() if path},
    )  # fmt: skip


OUTPUTS = {"uncertainty": ("scale", "std"), "deconvolved": ("phantom",)}
"""Option -> the names that models give to such an output."""


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
    further: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Run a package over a file; what `denoise` and model run share. `further`: option of `OUTPUTS` -> file."""
    side = tile_option(tile)
    from ..images import check_image
    from ..inference.large import denoise_file
    from ..inference.package import read_package
    from ..inference.runner import Runner

    for path in (out, *(further or {}).values()):
        check_image(path, overwrite=overwrite)
    runner = Runner(read_package(model), provider, threads)
    outs = {runner.outputs[0]: out, **{_output_of(option, runner): path for option, path in (further or {}).items()}}
    done = denoise_file(
        source, outs, runner, axes=axes, tile=side, command=command, overwrite=overwrite, progress=progress
    )
    return _report(done, runner)


def _output_of(option: str, runner: Runner) -> str:
    """Return the name of the output that an option asks for."""
    for name in OUTPUTS[option]:
        if name in runner.outputs:
            return name
    methods = {"uncertainty": "care_laplace", "deconvolved": "psf_blind_spot"}
    raise OptionError(
        f"--{option}: {runner.package.path} gives {' and '.join(runner.outputs)} only; a model trained by "
        f"{methods[option]} gives one"
    )


def _report(done: Denoised, runner: Runner) -> dict[str, Any]:
    from ..inference.blocks import brief
    from ..inference.runner import by

    package = runner.package
    shape = by(done.meta.shape)
    tiles = f"tiles of {by(done.tile) if isinstance(done.tile, list) else done.tile}" if done.tile else "one shot"
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
        "halo": brief(package.halo),
        "outputs": list(runner.outputs),
        "others": {name: str(path) for name, path in done.others.items()},
        "warnings": list(done.warnings),
        "summary": [
            f"{done.path}: {done.meta.axes} {shape}, {package.name}, {tiles}",
            *(f"{path}: {name}" for name, path in done.others.items()),
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

"""model info | check | run: look into, check and run model packages, ours and others'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import MissingExtraError
from ..progress import Progress, silent
from .denoise import run_model


def info(package: Path, /) -> dict[str, Any]:
    """Say what a model package is: method, unit, sizes, versions, training data, who made it.

    Checksums of all declared files are checked on the way; nothing is run.

    Parameters
    ----------
    package
        Model package: .zip, its folder, its description (.yaml), or a bare .onnx.
    """
    from ..inference.blocks import brief
    from ..inference.package import read_package

    model = read_package(package)
    description, record = model.description, model.record
    result: dict[str, Any] = {
        "package": str(package),
        "name": model.name,
        "kind": model.kind,
        "id": description.get("id"),
        "format": description.get("format_version"),
        "method": model.own("method"),
        "unit": model.own("unit"),
        "version": model.own("version"),
        "opset": model.header.opset,
        "ir_version": model.header.ir_version,
        "sha256": model.sha256,
        "axes": model.axes,
        "size": list(model.size) if model.size else None,
        "minimum": brief(model.minimum),
        "step": brief(model.step),
        "halo": brief(model.halo),
        "outputs": [name for name in model.own("outputs").split(",") if name],
        "preprocessing": [step.name for step in model.preprocessing],
        "postprocessing": [step.name for step in model.postprocessing],
        "license": description.get("license"),
        "authors": [
            str(person["name"])
            for person in description.get("authors") or ()
            if isinstance(person, dict) and "name" in person
        ],
        "statistics": dict(model.statistics),
        "settings": record.get("settings", {}),
        "provenance": record.get("provenance", {}),
        "properties": dict(model.header.properties),
        "files": dict(model.files),
        "missing": list(model.missing),
    }
    return {**result, "summary": _describe(result)}


def check(
    package: Path,
    /,
    *,
    skip_zoo: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Check a model package by running it: checksums, versions, test tensors, odd sizes, tiles, torch, bioimageio.core.

    Ends with exit code 2 when a check fails. Code in a package is executed only when it is of this Quietframe version.

    Parameters
    ----------
    package
        Model package: .zip, its folder, or a bare .onnx.
    skip_zoo
        Do without bioimageio.core's own test (half a minute), which runs where it is installed.
    """
    try:
        from quietframe_export.check import check_package
    except ModuleNotFoundError as error:
        raise MissingExtraError("checking a model", str(error.name), "train") from None
    result = check_package(package, zoo=not skip_zoo, progress=progress)
    words = {True: "ok", False: "FAILED", None: "not checked"}
    lines = [f"{words[item['passed']]}: {item['name']}: {item['note']}" for item in result["checks"]]
    verdict = f"{result['name']}: {'passed' if result['passed'] else 'FAILED'}"
    return {**result, "exit_code": 0 if result["passed"] else 2, "summary": [*lines, verdict]}


def run(
    package: Path,
    source: Path,
    out: Path,
    /,
    *,
    provider: str = "auto",
    tile: str = "auto",
    threads: int | None = None,
    axes: str | None = None,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Run any ONNX model package of planes or volumes over a file, with the processing that it declares.

    Parameters
    ----------
    package
        Model package of Quietframe or bioimage.io (0.4, 0.5): .zip, its folder, its description, or a bare .onnx.
    source
        TIFF, OME-TIFF, PNG or NPY; every YX plane, or ZYX volume, is run by itself.
    out
        File to write, float32: .tif (ImageJ hyperstack), .ome.tif or .npy.
    provider
        auto, cpu or cuda.
    tile
        auto, 0 (the whole picture), or the largest side in pixels.
    threads
        CPU threads; all that are there if not given.
    axes
        Letters over STCZYX to use instead of the file's.
    overwrite
        Replace an existing output.
    """
    return run_model(
        source, out, package, provider=provider, tile=tile, threads=threads, axes=axes, overwrite=overwrite,
        progress=progress, command="model run",
    )  # fmt: skip


def sizes_line(result: dict[str, Any]) -> str:
    """Say the sizes of a network: one number for planes, z x y x x for volumes."""

    def text(value: int | list[int]) -> str:
        return " x ".join(map(str, value)) if isinstance(value, list) else str(value)

    size = f"exactly {text(result['size'])}" if result.get("size") else f"from {text(result['minimum'])}"
    field = f"receptive field {text(result['receptive_field'])} px, " if "receptive_field" in result else ""
    return f"pictures {size} px, {field}step {text(result['step'])}, halo {text(result['halo'])}"


def _describe(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['name']} ({result['kind']}" + (f", {result['id']})" if result["id"] else ")")]
    if result["method"]:
        lines.append(f"method {result['method']}, unit {result['unit']}, Quietframe {result['version']}")
    lines.append(f"opset {result['opset']}, IR {result['ir_version']}, axes {result['axes']}, {sizes_line(result)}")
    if len(result["outputs"]) > 1:
        lines.append(f"outputs: {', '.join(result['outputs'])}")
    for name in ("preprocessing", "postprocessing"):
        if result[name]:
            lines.append(f"{name}: {', '.join(result[name])}")
    if result["statistics"]:
        values = ", ".join(f"{key} {value:.6g}" for key, value in result["statistics"].items())
        lines.append(f"training data [{result['unit']}]: {values}")
    lines.append(f"licence: {result['license'] or 'not said'}; authors: {', '.join(result['authors']) or 'not said'}")
    lines.append(f"{len(result['files'])} files have the declared sha256; ONNX sha256 {result['sha256']}")
    if result["missing"]:
        lines.append(f"declared, but not there: {', '.join(result['missing'])}")
    return lines

"""Check a model package by reading it back and running it, as its users will.

Each check is a fact with its figure. Code inside a package is executed only when it is, byte for byte, a file of the
installed Quietframe.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

import quietframe.nets
from quietframe.errors import MissingExtraError, QuietframeError
from quietframe.inference.large import denoise_plane
from quietframe.inference.package import Package, read_array, read_file, read_package
from quietframe.inference.processing import apply_steps
from quietframe.inference.runner import Runner
from quietframe.progress import Progress, silent

from .graph import IR_VERSION, OPSET
from .zoo import FORMATS, run_test_model

TOLERANCE = 1e-5
"""Largest allowed difference between two ways to compute the same, as a fraction of the data range."""


@dataclass(frozen=True)
class Check:
    """One fact about a package.

    Parameters
    ----------
    name
        The fact.
    passed
        Whether it holds; None when it could not be looked at.
    note
        The figure, or why not.
    """

    name: str
    passed: bool | None
    note: str


def check_package(path: str | os.PathLike[str], *, zoo: bool = True, progress: Progress = silent) -> dict[str, Any]:
    """Check a package: checksums, versions, test tensors, odd sizes, tiles, torch, and bioimageio.core's test.

    Parameters
    ----------
    path
        As `quietframe.inference.package.read_package`.
    zoo
        Whether bioimageio.core is to test it, too, where it is installed (half a minute).
    progress
        Told about every check.

    Returns
    -------
    dict
        ``package, name, kind, passed`` and ``checks``: a list of `Check` as mappings.

    Raises
    ------
    QuietframeError
        When it cannot even be read or loaded.
    """
    package = read_package(path)
    runner = Runner(package, "cpu")
    own = package.kind == "quietframe"
    tasks: list[Callable[[], Check]] = [
        lambda: _files(package),
        lambda: _versions(package),
        lambda: _test_tensors(package, runner),
    ]
    if own:
        tasks += [
            lambda: _odd_sizes(package, runner),
            lambda: _tiles(package, runner),
            lambda: _torch(package, runner),
        ]
    total = len(tasks) + zoo
    checks = []
    for number, task in enumerate(tasks):
        progress("checking", number, total)
        checks.append(task())
    if zoo:
        progress("checking", len(tasks), total)
        checks += _zoo(package)
    progress("checking", total, total)
    return {
        "package": str(path),
        "name": package.name,
        "kind": package.kind,
        "passed": all(check.passed is not False for check in checks),
        "checks": [asdict(check) for check in checks],
    }


def _files(package: Package) -> Check:
    note = f"{len(package.files)} files have the declared sha256"
    if package.missing:
        note += f"; not there: {', '.join(package.missing)}"
    # A package of ours is complete; others' are often passed on without the weights one does not need.
    return Check("files", not package.missing or package.kind != "quietframe", note)


def _versions(package: Package) -> Check:
    header = package.header
    note = f"opset {header.opset}, IR {header.ir_version}"
    if header.opset == OPSET and header.ir_version == IR_VERSION:
        outside = [tensor.name for tensor in onnx.load_from_string(package.model).graph.initializer if _outside(tensor)]
        return Check("versions", not outside, note if not outside else f"{note}; weights outside: {outside[0]}")
    if package.kind == "quietframe":
        return Check("versions", False, f"{note}; must be opset {OPSET}, IR {IR_VERSION}")
    return Check("versions", None, f"{note}; deepImageJ loads opset {OPSET} and IR {IR_VERSION} at most")


def _outside(tensor: Any) -> bool:
    return bool(tensor.external_data)


def _test_tensors(package: Package, runner: Runner) -> Check:
    names = _test_names(package)
    if names is None:
        return Check("test tensors", None, "the package declares none")
    given, expected = read_array(package, names[0]), read_array(package, names[1])
    if given.ndim != 4 or package.axes != "NCYX" or package.output_axes != "NCYX":
        return Check("test tensors", None, f"axes {package.axes}, shape {given.shape}; only NCYX are compared")
    prepared = apply_steps(package.preprocessing, given.astype(np.float32))
    result = apply_steps(package.postprocessing, runner.run(prepared)[0])
    return _compare("test tensors", result, expected.astype(np.float32), 1e-4)


def _test_names(package: Package) -> tuple[str, str] | None:
    description = package.description
    try:
        if str(description.get("format_version", "")).startswith("0.4"):
            return str(description["test_inputs"][0]), str(description["test_outputs"][0])
        tensors = (description["inputs"][0]["test_tensor"], description["outputs"][0]["test_tensor"])
        return str(tensors[0]["source"]), str(tensors[1]["source"])
    except (KeyError, IndexError, TypeError):
        return None


def _odd_sizes(package: Package, runner: Runner) -> Check:
    least = package.minimum
    sizes = [(least, least), (least + 1, least + 3), (2 * least + 5, 61)]
    for height, width in sizes:
        result = denoise_plane(_picture(package, height, width), runner, tile=None)
        if result.shape != (height, width):
            return Check("odd sizes", False, f"{height} x {width} became {result.shape[0]} x {result.shape[1]}")
    return Check("odd sizes", True, "runs at " + ", ".join(f"{height} x {width}" for height, width in sizes))


def _tiles(package: Package, runner: Runner) -> Check:
    tile = 2 * package.halo + 16 * package.step
    picture = _picture(package, 2 * tile + 37, tile + 11)
    whole = denoise_plane(picture, runner, tile=None)
    tiled = denoise_plane(picture, runner, tile=tile)
    return _compare(f"tiles of {tile} against the whole", tiled, whole, TOLERANCE)


def _torch(package: Package, runner: Runner) -> Check:
    name = "torch against ONNX Runtime"
    try:
        weights = package.description["weights"]["pytorch_state_dict"]
        architecture = weights["architecture"]
        source = read_file(package, architecture["source"])
    except (KeyError, TypeError, QuietframeError) as error:
        return Check(name, None, f"the package has no torch weights to compare with ({error})")
    module = installed_architecture(source)
    if module is None:
        return Check(name, None, f"{architecture['source']} is not of this Quietframe version; it is not executed")
    net = getattr(module, architecture["callable"])(**architecture["kwargs"]).eval()
    net.load_state_dict(torch.load(io.BytesIO(read_file(package, weights["source"])), weights_only=True))
    batch = _picture(package, 75, 90)[np.newaxis, np.newaxis]
    with torch.no_grad():
        result = net(torch.from_numpy(batch))
    result = result[0] if isinstance(result, tuple) else result
    return _compare(name, runner.run(batch)[0], result.numpy(), TOLERANCE)


def installed_architecture(source: bytes) -> Any:
    """Return the module of `quietframe.nets` that has exactly this source, or None."""
    digest = hashlib.sha256(source).hexdigest()
    for file in sorted(Path(quietframe.nets.__path__[0]).glob("*.py")):
        if hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            return importlib.import_module(f"quietframe.nets.{file.stem}")
    return None


def _zoo(package: Package) -> list[Check]:
    """Let bioimageio.core test what may be run."""
    refused = {name: _why_not_zoo(package, name) for name in FORMATS}
    wanted = [name for name in FORMATS if not refused[name]]
    try:
        results = run_test_model(package.path, wanted) if wanted else {}
    except MissingExtraError as error:
        results, refused = {}, {name: refused[name] or str(error) for name in FORMATS}
    checks = []
    for name in FORMATS:
        title = f"bioimageio.core test_model, {name}"
        if name not in results:
            checks.append(Check(title, None, refused[name]))
            continue
        result = results[name]
        note = "; ".join(result["errors"]) or f"bioimageio.core {result['version']}"
        checks.append(Check(title, result["status"] == "passed", f"{result['status']}: {note}"))
    return checks


def _why_not_zoo(package: Package, weights_format: str) -> str:
    if package.path.suffix.lower() == ".onnx":
        return "a bare ONNX file has no description"
    if weights_format == "onnx":
        return ""
    try:
        source = read_file(package, package.description["weights"][weights_format]["architecture"]["source"])
    except (KeyError, TypeError, QuietframeError):
        return "the package has no such weights"
    if installed_architecture(source) is None:
        return "its code is not of this Quietframe version; it is not executed"
    return ""


def _picture(package: Package, height: int, width: int) -> NDArray[np.float32]:
    """Make a picture with the statistics of the training data, noise and a smooth object."""
    mean, std = (float(package.own(key).split(",")[0].strip("[] ") or default) for key, default in _LEVEL)
    y, x = np.mgrid[:height, :width]
    smooth = np.exp(-((y - height / 2) ** 2 + (x - width / 2) ** 2) / (0.05 * height * width))
    noise = np.random.default_rng(0).normal(size=(height, width))
    picture: NDArray[np.float32] = (mean + std * (noise + 3 * smooth)).astype(np.float32)
    return picture


_LEVEL = (("input_mean", 0.0), ("input_std", 1.0))


def _compare(name: str, result: NDArray[np.float32], expected: NDArray[np.float32], allowed: float) -> Check:
    if result.shape != expected.shape:
        return Check(name, False, f"shape {result.shape} instead of {expected.shape}")
    extent = float(np.ptp(expected)) or 1.0
    largest = float(np.abs(result - expected).max()) / extent
    # counts on a large offset are rounded to steps of float32, which may exceed what is allowed of a small range
    allowed = max(allowed, 2 * float(np.spacing(np.abs(expected).max())) / extent)
    return Check(name, largest <= allowed, f"largest difference {largest:.1e} of the data range (allowed {allowed:g})")

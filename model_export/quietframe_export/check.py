"""Check a model package by reading it back and running it, as its users will.

Each check is a fact with its figure. Code inside a package is executed only when it is, byte for byte, a file of the
installed Quietframe.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

import quietframe.nets
from quietframe.errors import MissingExtraError, QuietframeError
from quietframe.inference.blocks import denoise_array
from quietframe.inference.package import Package, read_array, read_file, read_package
from quietframe.inference.processing import apply_steps
from quietframe.inference.runner import Runner, by
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
    given, *expected = (read_array(package, name) for name in names)
    wanted = f"NC{package.space}"
    if given.ndim != len(wanted) or package.axes != wanted or package.output_axes != wanted:
        return Check("test tensors", None, f"axes {package.axes}, shape {given.shape}; only {wanted} are compared")
    prepared = apply_steps(package.preprocessing, given.astype(np.float32))
    results = runner.run(prepared)
    results[0] = apply_steps(package.postprocessing, results[0])
    return _compare("test tensors", results, [array.astype(np.float32) for array in expected], 1e-4)


def _test_names(package: Package) -> list[str] | None:
    """Return the files of the test input and of the outputs; of others' packages the first output is looked at."""
    description = package.description
    try:
        if str(description.get("format_version", "")).startswith("0.4"):
            return [str(description["test_inputs"][0]), str(description["test_outputs"][0])]
        outputs = description["outputs"][: None if package.kind == "quietframe" else 1]
        return [str(tensor["test_tensor"]["source"]) for tensor in (description["inputs"][0], *outputs)]
    except (KeyError, IndexError, TypeError):
        return None


def _odd_sizes(package: Package, runner: Runner) -> Check:
    least = package.minimum
    further = (2 * least[-2] + 5, 61) if len(least) == 2 else (least[0] + 3, least[1] + 1, 2 * least[2] + 5)
    sizes = [least, tuple(side + 1 + 2 * (axis % 2) for axis, side in enumerate(least)), further]
    for size in sizes:
        result = denoise_array(_picture(package, runner, size), runner, tile=None)[0]
        if result.shape[1:] != size:
            return Check("odd sizes", False, f"{by(size)} became {by(result.shape[1:])}")
    return Check("odd sizes", True, "runs at " + ", ".join(map(by, sizes)))


def _tiles(package: Package, runner: Runner) -> Check:
    """Compare tiles with the whole; volumes are cut along z and y only, or they would take minutes."""
    planes = package.space == "YX"
    grid = zip(package.halo, package.step, strict=True)
    tile = max(2 * halo + (16 if planes else 4) * step for halo, step in grid)
    size = (2 * tile + 37, tile + 11) if planes else (tile + 5, tile + 11, 4 * package.step[2])
    picture = _picture(package, runner, size)
    whole = denoise_array(picture, runner, tile=None)
    tiled = denoise_array(picture, runner, tile=tile)
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
    batch = _picture(package, runner, (75, 90) if package.space == "YX" else (19, 30, 37))[np.newaxis]
    with torch.no_grad():
        results = net(torch.from_numpy(batch))
    results = results if isinstance(results, tuple) else (results,)
    return _compare(name, runner.run(batch), [result.numpy() for result in results], TOLERANCE)


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


def _picture(package: Package, runner: Runner, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Make a picture with the statistics of the training data, noise and a smooth object; axes C(Z)YX."""
    channels = runner.channels or 1
    mean, std = (_levels(package.own(key), default, channels, len(size)) for key, default in _LEVEL)
    places = np.meshgrid(*(np.arange(side) - side / 2 for side in size), indexing="ij")
    smooth = np.exp(-sum(place**2 for place in places) / (0.05 * size[-2] * size[-1]))
    noise = np.random.default_rng(0).normal(size=(channels, *size))
    picture: NDArray[np.float32] = (mean + std * (noise + 3 * smooth)).astype(np.float32)
    return picture


_LEVEL = (("input_mean", 0.0), ("input_std", 1.0))


def _levels(text: str, default: float, channels: int, dims: int) -> NDArray[np.float64]:
    """Read a property of one number, or one per channel."""
    values = [float(part) for part in text.split(",")] if text else [default]
    return np.resize(values, channels).reshape(-1, *[1] * dims)


def _compare(
    name: str, results: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]], allowed: float
) -> Check:
    """Compare every output; the note is of the one that differs most."""
    checks = [_compare_one(name, *pair, allowed) for pair in zip(results, expected, strict=False)]
    failed = [check for check, _ in checks if not check.passed]
    return failed[0] if failed else max(checks, key=lambda item: item[1])[0]


def _compare_one(
    name: str, result: NDArray[np.float32], expected: NDArray[np.float32], allowed: float
) -> tuple[Check, float]:
    if result.shape != expected.shape:
        return Check(name, False, f"shape {result.shape} instead of {expected.shape}"), np.inf
    extent = float(np.ptp(expected)) or 1.0
    largest = float(np.abs(result - expected).max()) / extent
    # counts on a large offset are rounded to steps of float32, which may exceed what is allowed of a small range
    allowed = max(allowed, 2 * float(np.spacing(np.abs(expected).max())) / extent)
    note = f"largest difference {largest:.1e} of the data range (allowed {allowed:g})"
    return Check(name, largest <= allowed, note), largest

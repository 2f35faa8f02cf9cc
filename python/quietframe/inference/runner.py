"""Run a package's network with ONNX Runtime, on the CPU or with CUDA, and say which.

References
----------
ONNX Runtime documentation, "Execution providers", "CUDA execution provider".
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingExtraError, OptionError, QuietframeError, unknown
from .package import Package

PROVIDERS = ("auto", "cpu", "cuda")
"""What can be asked for."""

DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
)
"""Distributions that install the same import package: the last one installed wins."""

MOST_THREADS = 1024
"""More CPU threads are a slip of the keyboard; ONNX Runtime would start each of them."""

_AXES = {"YX": "height x width", "ZYX": "depth x height x width"}
_SMALLER = {2: 512, 3: 96}
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_SILENT = 4
"""ONNX Runtime's log level that leaves stderr alone; its errors arrive as exceptions."""


class ProviderError(QuietframeError):
    """The accelerator that was asked for cannot be used on this machine."""


class Runner:
    """A network ready to run.

    Parameters
    ----------
    package
        The model.
    provider
        ``"auto"`` takes CUDA where it works, else the CPU, and says why; ``"cpu"``; ``"cuda"`` fails where it does
        not work.
    threads
        CPU threads; all that this process may use when None.

    Raises
    ------
    OptionError
        When `provider` or `threads` is not allowed.
    ProviderError
        When CUDA was asked for and is not there.
    MissingExtraError
        When onnxruntime is not installed.
    InputError
        When ONNX Runtime cannot load the network, or it has other inputs than one float32 picture.
    """

    package: Package
    """The model."""
    provider: str
    """What runs it: ``"cpu"`` or ``"cuda"``."""
    provider_note: str
    """One sentence for people: what runs it, and why not CUDA."""

    def __init__(self, package: Package, provider: str = "auto", threads: int | None = None) -> None:
        if provider not in PROVIDERS:
            raise unknown("provider", provider, PROVIDERS)
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise OptionError(
                f"threads must be 1 to {MOST_THREADS}; got {threads}; this process may use {_cores()} cores"
            )
        runtime = _import_runtime()
        options = runtime.SessionOptions()
        options.log_severity_level = _SILENT
        # Named explicitly: left to itself, ONNX Runtime pins threads to cores that a container may not have.
        options.intra_op_num_threads = threads or _cores()
        # Planned per shape of a tile, and there are up to nine: measured, twice the memory and no gain in time.
        options.enable_mem_pattern = False
        self.package = package
        self._session, self.provider, note = _start(runtime, package, provider, options)
        self.provider_note = note + _mixed()
        self._input, self.size = _check_input(self._session, package)
        self._version = str(runtime.__version__)
        self._runtime = runtime

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(str(output.name) for output in self._session.get_outputs())

    @property
    def channels(self) -> int | None:
        """How many channels the network takes; None when any number."""
        return _fixed_channels(self._session.get_inputs()[0].shape, self.package.axes)

    @property
    def output_channels(self) -> int | None:
        """How many channels the first output has; None when the network does not say."""
        return _fixed_channels(self._session.get_outputs()[0].shape, self.package.output_axes)

    def run(self, batch: NDArray[np.float32], *, last: bool = False) -> list[NDArray[np.float32]]:
        """Run the network, without pre- and postprocessing.

        Parameters
        ----------
        batch
            Axes NC and the package's `space` (YX or ZYX), float32.
        last
            Whether to give the memory of the activations back afterwards.

        Returns
        -------
        list of ndarray
            One per output, axes like the batch, float32, with the size of the batch.

        Raises
        ------
        InputError
            When the network does not take this size, or fails.
        """
        space = self.package.space
        size = batch.shape[-len(space) :]
        added = self._padding(size)
        if any(added):
            # Reflection needs a picture larger than the padding; a smaller one repeats its border.
            fits = all(more < length for more, length in zip(added, size, strict=True))
            mode: Any = "reflect" if fits else "edge"
            batch = np.pad(batch, ((0, 0), (0, 0), *((0, more) for more in added)), mode=mode)
        tensor = np.ascontiguousarray(_arrange(batch, f"NC{space}", self.package.axes))
        try:
            results = self._session.run(None, {self._input: tensor}, *([self._shrinking()] if last else []))
        except Exception as error:  # ONNX Runtime's own classes derive from Exception directly
            raise InputError(self._explain(error, size)) from error
        whole = tuple(more + length for more, length in zip(added, size, strict=True))
        kept: tuple[Any, ...] = (..., *(slice(length) for length in size))
        return [self._unarrange(result, whole)[kept] for result in results]

    def _shrinking(self) -> Any:
        options = self._runtime.RunOptions()
        options.add_run_config_entry(
            "memory.enable_memory_arena_shrinkage", "gpu:0" if self.provider == "cuda" else "cpu:0"
        )
        return options

    def _padding(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return what to add at the far border of each axis to reach a size that the network takes."""
        package = self.package
        none = (0,) * len(size)
        if self.size is not None:
            if size != self.size:
                raise InputError(
                    f"{package.path} takes pictures of exactly {by(self.size)} pixels ({_AXES[package.space]}); "
                    f"this one has {by(size)}; crop it, or export the model with free sizes"
                )
            return none
        if package.any_size:
            if any(length < least for length, least in zip(size, package.minimum, strict=True)):
                raise InputError(
                    f"the picture has {by(size)} pixels; {package.name} needs at least {by(package.minimum)} "
                    f"({_AXES[package.space]}); give a larger picture"
                )
            return none
        grid = zip(size, package.minimum, package.step, strict=True)
        return tuple(_up(length, least, step) - length for length, least, step in grid)

    def _unarrange(self, result: Any, expected: tuple[int, ...]) -> NDArray[np.float32]:
        array, space = np.asarray(result), self.package.space
        if array.ndim == len(self.package.output_axes):
            array = _arrange(array, self.package.output_axes, f"NC{space}")
        if array.ndim != 2 + len(space) or array.shape[2:] != expected:
            raise InputError(
                f"{self.package.path} returns an array of shape {np.shape(result)} for a picture of {by(expected)} "
                "pixels; models that keep the size are run"
            )
        return array.astype(np.float32, copy=False)

    def _explain(self, error: Exception, size: tuple[int, ...]) -> str:
        text = " ".join(str(error).split())
        if "alloc" in text.lower() or "out of memory" in text.lower():
            smaller = _SMALLER[len(size)]
            return f"not enough memory to run {by(size)} pixels at once; use smaller tiles, e.g. --tile {smaller}"
        return f"{self.package.path}: ONNX Runtime {self._version} failed on {by(size)} pixels: {text[:300]}"


def by(size: Sequence[int]) -> str:
    """Return a size for people: ``512 x 512``."""
    return " x ".join(map(str, size))


def installed_runtimes() -> list[str]:
    """Return the installed distributions that bring ONNX Runtime; more than one hide each other."""
    found = []
    for name in DISTRIBUTIONS:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def accelerator() -> str:
    """Return what ``auto`` would take on this machine, with the reason when it is not CUDA.

    Raises
    ------
    MissingExtraError
        When onnxruntime is not installed.
    """
    runtime = _import_runtime()
    reason = _why_not_cuda(runtime)
    return f"CPU; not CUDA: {reason}" if reason else f"CUDA, onnxruntime {runtime.__version__}"


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("running a model", "onnxruntime", "cpu") from None
    return onnxruntime


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(runtime: Any, package: Package, wanted: str, options: Any) -> tuple[Any, str, str]:
    """Start the session; return it with the provider and the sentence about it."""
    if wanted == "cpu":
        return _session(runtime, package, options, [_CPU]), "cpu", f"CPU, onnxruntime {runtime.__version__}, as asked"
    reason = _why_not_cuda(runtime)
    if not reason:
        # Every shape would be benchmarked anew with the default search; TF32 would cost three digits.
        cuda = (_CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"})
        session = _session(runtime, package, options, [cuda, _CPU])
        if session.get_providers()[0] == _CUDA:
            return session, "cuda", f"CUDA, onnxruntime {runtime.__version__}"
        reason = (
            "onnxruntime could not start CUDA (driver, CUDA or cuDNN libraries are missing or of another version; "
            "pip install 'quietframe[gpu]' brings the libraries)"
        )
    if wanted == "cuda":
        raise ProviderError(f"provider cuda cannot be used: {reason}; or choose --provider cpu")
    session = _session(runtime, package, options, [_CPU])
    return session, "cpu", f"CPU, onnxruntime {runtime.__version__}; not CUDA: {reason}"


def _why_not_cuda(runtime: Any) -> str:
    """Return the reason, or an empty string when CUDA may work."""
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(driver)
    except OSError:
        return f"this machine has no NVIDIA driver ({driver})"
    if _CUDA not in runtime.get_available_providers():
        installed = " ".join(installed_runtimes())
        return (
            f"the installed {installed or 'onnxruntime'} has no CUDA: pip uninstall -y {installed or 'onnxruntime'} "
            f"and then pip install 'quietframe[gpu]'{_mixed()}"
        )
    if hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()
    return ""


def _mixed() -> str:
    """Name distributions that hide each other, as the end of a sentence; empty when there is one."""
    several = installed_runtimes()
    if len(several) < 2:
        return ""
    return f"; {' and '.join(several)} are installed together and hide each other: uninstall all, then install one"


def _session(runtime: Any, package: Package, options: Any, providers: Sequence[Any]) -> Any:
    try:
        return runtime.InferenceSession(package.model, sess_options=options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's own classes derive from Exception directly
        text = " ".join(str(error).split())[:300]
        raise InputError(
            f"{package.path}: onnxruntime {runtime.__version__} cannot load the network (opset "
            f"{package.header.opset}, IR {package.header.ir_version}): {text}"
        ) from error


def _check_input(session: Any, package: Package) -> tuple[str, tuple[int, ...] | None]:
    """Return the name of the one input, and its size when that is fixed."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(f"{value.name} {value.shape}" for value in inputs)
        raise InputError(f"{package.path}: the network takes {len(inputs)} inputs ({names}); networks with one are run")
    given = inputs[0]
    if given.type != "tensor(float)":
        raise InputError(
            f"{package.path}: input {given.name} is {given.type}; Quietframe gives float32, tensor(float); "
            "export the model with a float32 input"
        )
    if given.shape is not None and len(given.shape) != len(package.axes):
        raise InputError(
            f"{package.path}: input {given.name} has shape {given.shape}; expected are {len(package.axes)} axes, "
            f"{package.axes}"
        )
    sizes = tuple(given.shape[package.axes.index(letter)] for letter in package.space)
    if all(isinstance(length, int) for length in sizes):
        return str(given.name), sizes
    return str(given.name), package.size


def _fixed_channels(shape: Sequence[Any] | None, axes: str) -> int | None:
    if shape is None or len(shape) != len(axes):
        return None
    size = shape[axes.index("C")] if "C" in axes else 1
    return size if isinstance(size, int) else None


def _up(size: int, minimum: int, step: int) -> int:
    return minimum + max(0, -(-(size - minimum) // step)) * step


def _arrange(array: NDArray[Any], axes: str, wanted: str) -> NDArray[Any]:
    """Transpose; axes of length 1 that are not wanted are dropped, missing ones get length 1."""
    keep = [letter in wanted or size != 1 for letter, size in zip(axes, array.shape, strict=True)]
    array = array.reshape([size for size, kept in zip(array.shape, keep, strict=True) if kept])
    axes = "".join(letter for letter, kept in zip(axes, keep, strict=True) if kept)
    if set(axes) - set(wanted):
        raise InputError(f"a tensor with axes {axes} and shape {array.shape} cannot be brought to {wanted}")
    array = array.transpose([axes.index(letter) for letter in wanted if letter in axes])
    for position, letter in enumerate(wanted):
        if letter not in axes:
            array = np.expand_dims(array, position)
    return array

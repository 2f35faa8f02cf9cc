"""From a torch module to one self-describing ONNX file that old and new runtimes load.

Opset is exactly 17 and IR 8: the ONNX engines of deepImageJ (ONNX Runtime 1.12 and 1.13) load nothing newer, and its
engine for Apple silicon nothing older. torch's TorchScript-based exporter (``dynamo=False``) writes exactly that by
itself, in a third of a second and without a trace of the machine; the newer one writes opset 18 and IR 10 at least,
which would have to be relabelled node by node, with stack traces and local paths inside, and takes ten times as long.
It is deprecated in torch but there, and what it wrote is checked here node by node, so that a change is noticed.

References
----------
ONNX, "Versioning" (opset 17 belongs to IR 8).
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

Level = float | Sequence[float]

OPSET = 17
IR_VERSION = 8
INPUT = "input"
LARGEST_FIELD = 512
"""A network that sees further than this, pixels, is taken for one that sees the whole picture."""

_FREE = {"NCYX": ("height", "width"), "NCZYX": ("depth", "height", "width")}
# More than one picture, and no two sizes equal, so that none is taken for a constant.
_EXAMPLE = {"NCYX": (65, 74), "NCZYX": (19, 21, 26)}


def export_onnx(
    module: nn.Module,
    outputs: Sequence[str],
    properties: Mapping[str, str],
    *,
    axes: str = "NCYX",
    channels: int = 1,
) -> bytes:
    """Export a denoiser as one ONNX file.

    Parameters
    ----------
    module
        Raw counts (N, C, Y, X) or (N, C, Z, Y, X), float32, to tensors of the same sizes; one per name of `outputs`.
    outputs
        Names of the outputs.
    properties
        String properties to write into the file.
    axes
        ``"NCYX"`` or ``"NCZYX"``.
    channels
        Channels of the input.

    Returns
    -------
    bytes
        The file: opset 17, IR 8, input ``input``, batch and sizes free, weights inside.

    Raises
    ------
    RuntimeError
        When the exported file is not what it must be.
    """
    free = {0: "batch", **dict(enumerate(_FREE[axes], start=2))}
    example = torch.zeros(2, channels, *_EXAMPLE[axes])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        path = Path(folder) / "weights.onnx"
        torch.onnx.export(
            module.eval(),
            (example,),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes=dict.fromkeys((INPUT, *outputs), free),
        )
        model = onnx.load(path)
        results = module(example)
    _look_at(caught)
    results = results if isinstance(results, tuple) else (results,)
    _tidy(model, properties, free, [channels, *(result.shape[1] for result in results)])
    check_graph(model, outputs, axes)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _look_at(caught: Sequence[warnings.WarningMessage]) -> None:
    """Fail on a size that was frozen into the graph; be silent about what is harmless; pass on the rest."""
    for warning in caught:
        if warning.category.__name__ == "TracerWarning":
            raise RuntimeError(f"the network cannot be exported for every size: {warning.message}")
        if str(warning.message).startswith("Constant folding"):  # what it did not compute beforehand, runtimes will
            continue
        if not issubclass(warning.category, DeprecationWarning | FutureWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _tidy(model: Any, properties: Mapping[str, str], free: Mapping[int, str], channels: Sequence[int]) -> None:
    """Name every free size, say the channels, remove what is no part of the network, write the properties."""
    for value, count in zip((*model.graph.input, *model.graph.output), channels, strict=True):
        for position, size in enumerate(value.type.tensor_type.shape.dim):
            if position in free:
                size.dim_param = free[position]
            else:
                size.dim_value = count
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    for proto in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info):
        del proto.metadata_props[:]
    for key in sorted(properties):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, properties[key]


def check_graph(model: Any, outputs: Sequence[str], axes: str = "NCYX") -> None:
    """Check that an ONNX model is what packages promise for these axes.

    Raises
    ------
    RuntimeError
        When versions, names, types or sizes are others, weights are outside, or a local path is inside.
    """
    onnx.checker.check_model(model, full_check=True)
    domains = {entry.domain: entry.version for entry in model.opset_import}
    _demand(domains == {"": OPSET}, f"opset {domains}")
    _demand(model.ir_version == IR_VERSION, f"IR {model.ir_version}")
    _demand([value.name for value in model.graph.input] == [INPUT], "input names")
    _demand([value.name for value in model.graph.output] == list(outputs), "output names")
    for value in (*model.graph.input, *model.graph.output):
        tensor = value.type.tensor_type
        _demand(tensor.elem_type == onnx.TensorProto.FLOAT, f"{value.name} is not float32")
        _demand([size.dim_param for size in tensor.shape.dim] == ["batch", "", *_FREE[axes]], f"{value.name} size")
    _demand(not any(tensor.external_data for tensor in model.graph.initializer), "weights outside of the file")
    # Exporters leave stack traces behind, each line with the path of a Python file.
    _demand(b".py" not in _without_values(model), "the name of a Python file in it")


def _without_values(model: Any) -> bytes:
    """Return the file without weights and properties: among 2 MB of weights, one in eight holds any three bytes."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    constants = (attribute.t for node in bare.graph.node for attribute in node.attribute if attribute.HasField("t"))
    for tensor in (*bare.graph.initializer, *constants):
        for kind in ("raw_data", "float_data"):
            tensor.ClearField(kind)
    data: bytes = bare.SerializeToString()
    return data


def _demand(fact: bool, what: str) -> None:
    if not fact:
        raise RuntimeError(f"the exported ONNX file is not as packages need it: {what}")


def receptive_field(
    module: nn.Module, steps: Sequence[int], mean: Level, std: Level, *, channels: int = 1, seed: int = 0
) -> tuple[int, ...]:
    """Measure how far a network sees: the largest distance between a pixel that is changed and a pixel that changes.

    A row of a random picture is changed strongly, for each phase of the pooling grid, and the rows whose output changes
    are found; the same for every other axis. In float64, where what is out of sight stays exactly the same.

    Parameters
    ----------
    module
        Raw counts (N, C, Y, X) or (N, C, Z, Y, X) to denoised counts; of several outputs all are looked at.
    steps
        Period of the pooling grid along each axis, pixels; two numbers for planes, three for volumes.
    mean, std
        Of the pictures it was made for, counts; one number, or one per channel.
    channels
        Channels of the pictures.
    seed
        Of the random pictures.

    Returns
    -------
    tuple of int
        Pixels, per side, one number per axis.

    Raises
    ------
    RuntimeError
        When it sees further than `LARGEST_FIELD`.
    """
    probe = _Probe(copy.deepcopy(module).double().eval(), tuple(steps), channels, seed)
    return tuple(probe.field(axis, mean, std) for axis in range(len(steps)))


@dataclass(frozen=True)
class _Probe:
    """A network in float64 with what pictures for it must look like."""

    module: nn.Module
    steps: tuple[int, ...]
    channels: int
    seed: int

    def field(self, axis: int, mean: Level, std: Level) -> int:
        """Return how far it sees along an axis."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (-1, self.channels, *[1] * len(self.steps))
        levels = [torch.as_tensor(level, dtype=torch.float64).reshape(-1).expand(self.channels).reshape(shape)
                  for level in (mean, std)]  # fmt: skip
        radius = 8 * self.steps[axis]
        while radius <= LARGEST_FIELD:
            found = max(
                self._changed(axis, radius, self._random(axis, radius, generator) * strength * levels[1] + levels[0])
                for strength in (1.0, 10.0)
            )
            if found < radius:
                return found
            radius *= 2
        raise RuntimeError(f"the network sees further than {LARGEST_FIELD} pixels; it cannot be run in tiles")

    def _random(self, axis: int, radius: int, generator: torch.Generator) -> torch.Tensor:
        """Make random pictures, long along the axis: one as it is, one to take a row from for each phase."""
        sizes = [max(8, 2 * step) for step in self.steps]
        sizes[axis] = 2 * radius + 2 * self.steps[axis]
        count = self.steps[axis] + 1
        return torch.randn(count, self.channels, *sizes, generator=generator, dtype=torch.float64)

    def _changed(self, axis: int, radius: int, random: torch.Tensor) -> int:
        """Change one row per phase; return the largest distance of a change, at most `radius`."""
        step, along = self.steps[axis], 2 + axis
        pictures = random[:1].repeat(step + 1, *[1] * (random.ndim - 1))
        rows = [radius + phase for phase in range(step)]
        for phase, row in enumerate(rows):
            pictures[phase + 1].select(along - 1, row).copy_(random[phase + 1].select(along - 1, row))
        with torch.no_grad():
            results = self.module(pictures)
        found = 0
        for result in results if isinstance(results, tuple) else (results,):
            change = (result[1:] - result[:1]).abs().movedim(along, 1).flatten(2).amax(dim=2)
            for row, profile in zip(rows, change, strict=True):
                # float64 rounding is 1e-16 of the values; what a network passes on is far above 1e-12 of its largest
                touched = torch.nonzero(profile > 1e-12 * profile.max()).flatten()
                if len(touched):
                    found = max(found, row - int(touched.min()), int(touched.max()) - row)
        return min(found, radius)

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
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

OPSET = 17
IR_VERSION = 8
INPUT = "input"
LARGEST_FIELD = 512
"""A network that sees further than this, pixels, is taken for one that sees the whole picture."""

_EXAMPLE = (2, 1, 65, 74)  # more than one picture, and height != width, so that no size is taken for a constant


def export_onnx(module: nn.Module, outputs: Sequence[str], properties: Mapping[str, str]) -> bytes:
    """Export a denoiser as one ONNX file.

    Parameters
    ----------
    module
        Raw counts (N, 1, Y, X) float32 to tensors of the same shape; one per name of `outputs`.
    outputs
        Names of the outputs.
    properties
        String properties to write into the file.

    Returns
    -------
    bytes
        The file: opset 17, IR 8, input ``input``, batch, height and width free, weights inside.

    Raises
    ------
    RuntimeError
        When the exported file is not what it must be.
    """
    axes = {0: "batch", 2: "height", 3: "width"}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        path = Path(folder) / "weights.onnx"
        torch.onnx.export(
            module.eval(),
            (torch.zeros(_EXAMPLE),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_axes=dict.fromkeys((INPUT, *outputs), axes),
        )
        model = onnx.load(path)
    _look_at(caught)
    _tidy(model, properties)
    check_graph(model, outputs)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _look_at(caught: Sequence[warnings.WarningMessage]) -> None:
    """Fail on a size that was frozen into the graph; be silent about the exporter's age; pass on all else."""
    for warning in caught:
        if warning.category.__name__ == "TracerWarning":
            raise RuntimeError(f"the network cannot be exported for every size: {warning.message}")
        if not issubclass(warning.category, DeprecationWarning | FutureWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _tidy(model: Any, properties: Mapping[str, str]) -> None:
    """Name every free size, remove what is no part of the network, write the properties."""
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        for size, name in zip(sizes, ("batch", None, "height", "width"), strict=True):
            if name is None:
                size.dim_value = 1
            else:
                size.dim_param = name
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    for proto in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info):
        del proto.metadata_props[:]
    for key in sorted(properties):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, properties[key]


def check_graph(model: Any, outputs: Sequence[str]) -> None:
    """Check that an ONNX model is what packages promise.

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
        _demand([size.dim_param for size in tensor.shape.dim] == ["batch", "", "height", "width"], f"{value.name} size")
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


def receptive_field(module: nn.Module, step: int, mean: float, std: float, seed: int = 0) -> int:
    """Measure how far a network sees: the largest distance between a pixel that is changed and a pixel that changes.

    A row of a random picture is changed strongly, for each of the `step` phases of the pooling grid, and the rows whose
    output changes are found; the same for columns. In float64, where what is out of sight stays exactly the same.

    Parameters
    ----------
    module
        Raw counts (N, 1, Y, X) to denoised counts.
    step
        Period of the pooling grid, pixels.
    mean, std
        Of the pictures it was made for, counts.
    seed
        Of the random pictures.

    Returns
    -------
    int
        Pixels, per side.

    Raises
    ------
    RuntimeError
        When it sees further than `LARGEST_FIELD`.
    """
    double = copy.deepcopy(module).double().eval()
    generator = torch.Generator().manual_seed(seed)
    radius = 16 * step
    while radius <= LARGEST_FIELD:
        fields = [
            _field(double, step, radius, (mean, strength * std), generator, turned)
            for strength in (1.0, 10.0)
            for turned in (False, True)
        ]
        if max(fields) < radius:
            return max(fields)
        radius *= 2
    raise RuntimeError(f"the network sees further than {LARGEST_FIELD} pixels; it cannot be run in tiles")


def _field(
    module: nn.Module,
    step: int,
    radius: int,
    level: tuple[float, float],
    generator: torch.Generator,
    turned: bool,
) -> int:
    """Change one row (column when `turned`) per phase; return the largest distance of a change, at most `radius`."""
    length, width = 2 * radius + 2 * step, max(8, 2 * step)
    random = torch.randn(step + 2, length, width, generator=generator, dtype=torch.float64) * level[1] + level[0]
    pictures = random[:1].repeat(step + 1, 1, 1)
    rows = [radius + phase for phase in range(step)]
    for phase, row in enumerate(rows):
        pictures[phase + 1, row] = random[phase + 2, row]
    pictures = pictures[:, None]
    with torch.no_grad():
        out = module(pictures.transpose(-1, -2) if turned else pictures)
    out = out[0] if isinstance(out, tuple) else out
    out = out.transpose(-1, -2) if turned else out
    change = (out[1:] - out[:1]).abs().amax(dim=(1, 3))
    found = 0
    for row, profile in zip(rows, change, strict=True):
        # float64 rounding is 1e-16 of the values; what a network passes on is far above 1e-12 of its largest change
        touched = torch.nonzero(profile > 1e-12 * profile.max()).flatten()
        if len(touched):
            found = max(found, row - int(touched.min()), int(touched.max()) - row)
    return min(found, radius)

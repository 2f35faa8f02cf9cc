"""Understand the description (``rdf.yaml``) of a bioimage.io model, format 0.4 or 0.5: what a runner needs of it.

References
----------
bioimage.io model description, format 0.4 and 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, MissingExtraError
from .processing import Step, check_steps

MAX_BYTES = 4 * 1024**2
"""A longer description is not read."""


@dataclass(frozen=True)
class Tensors:
    """What a description says of the one input and the first output.

    Parameters
    ----------
    axes, output_axes
        Letters over NCTZYX, in the order of the tensors.
    size
        Height and width (depth, height and width) where they are fixed, else None.
    minimum, step
        Allowed sizes are ``minimum + n * step`` pixels, one number per axis of space.
    halo
        Pixels per side that the network needs as context, one number per axis of space.
    preprocessing, postprocessing
        What to do around the network.
    """

    axes: str
    output_axes: str
    size: tuple[int, ...] | None
    minimum: tuple[int, ...]
    step: tuple[int, ...]
    halo: tuple[int, ...]
    preprocessing: tuple[Step, ...]
    postprocessing: tuple[Step, ...]

    def sizes(self) -> dict[str, Any]:
        """Return the axes and sizes by their names."""
        return {name: getattr(self, name) for name in ("axes", "output_axes", "minimum", "step", "halo")}


def parse_yaml(data: bytes, where: str) -> dict[str, Any]:
    """Read a description.

    Raises
    ------
    InputError
        When it is not YAML, or not of a model in format 0.4 or 0.5.
    """
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("reading model packages", "yaml", "cpu") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{where} has {len(data)} bytes; a model description has at most {MAX_BYTES}")
    try:
        description = yaml.safe_load(data.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{where} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(description, dict) or description.get("type") != "model":
        raise InputError(f"{where} does not describe a model: it needs 'type: model'")
    version = str(description.get("format_version"))
    if not version.startswith(("0.4.", "0.5.")):
        raise InputError(f"{where} has format {version}; 0.4 and 0.5 are read; convert it with bioimageio.core")
    return description


def read_tensors(description: Mapping[str, Any], where: str) -> Tensors:
    """Understand the tensors of a description.

    Raises
    ------
    InputError
        When it has not exactly one input, or something that is not supported.
    """
    try:
        inputs, outputs = description["inputs"], description["outputs"]
        if len(inputs) != 1:
            names = ", ".join(str(tensor.get("id", tensor.get("name"))) for tensor in inputs)
            raise InputError(f"{where}: the model takes {len(inputs)} inputs ({names}); models with one are run")
        read = _read_04 if str(description["format_version"]).startswith("0.4") else _read_05
        tensors = read(inputs[0], outputs[0])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: the tensors are not described as the format demands ({error!r})") from error
    for axes in (tensors.axes, tensors.output_axes):
        if not {"Y", "X"} <= set(axes) or len(set(axes)) != len(axes) or ("Z" in axes) != ("Z" in tensors.axes):
            raise InputError(
                f"{where}: a tensor has axes {axes}; models of planes (Y and X) or volumes (Z, Y and X) are run"
            )
    check_steps(tensors.preprocessing, f"{where}, preprocessing", len(tensors.step))
    check_steps(tensors.postprocessing, f"{where}, postprocessing", len(tensors.step))
    return tensors


def onnx_source(description: Mapping[str, Any], where: str) -> str:
    """Return the name of the ONNX weights.

    Raises
    ------
    InputError
        When there are none, or they are elsewhere.
    """
    weights = description.get("weights")
    weights = weights if isinstance(weights, dict) else {}
    entry = weights.get("onnx")
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str):
        raise InputError(f"{where}: no ONNX weights; it has {', '.join(map(str, weights)) or 'none'}; ask for ONNX")
    if entry.get("external_data"):
        raise InputError(f"{where}: its ONNX weights are split over two files; save them as one file")
    if "://" in entry["source"]:
        raise InputError(f"{where}: its ONNX weights are at {entry['source']}; download the complete package first")
    return str(entry["source"])


def declared_files(description: Mapping[str, Any]) -> dict[str, str]:
    """Return every file that the description gives a checksum for: name -> sha256; addresses are left out."""
    found: dict[str, str] = {}
    for entry in _mappings(description):
        pairs = [(entry.get("source"), entry.get("sha256"))]
        if isinstance(entry.get("architecture"), str):  # format 0.4: "unet.py:UNet"
            pairs.append((entry["architecture"].rpartition(":")[0], entry.get("architecture_sha256")))
        for source, sha256 in pairs:
            if isinstance(source, str) and isinstance(sha256, str) and "://" not in source:
                found[source] = sha256.lower()
    return found


def _mappings(root: object) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping once: YAML anchors can make a small file an endless tree."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or not isinstance(item, dict | list):
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        else:
            waiting.extend(item)


def _read_05(tensor: Mapping[str, Any], output: Mapping[str, Any]) -> Tensors:
    given = {_letter_05(axis): axis for axis in tensor["axes"]}
    halos = {_letter_05(axis): int(axis.get("halo", 0)) for axis in output["axes"]}
    space = [letter for letter in "ZYX" if letter in given]
    sizes = [given[letter]["size"] for letter in space]
    fixed = all(isinstance(size, int) for size in sizes)
    grid = [(size, 1) if isinstance(size, int) else (int(size["min"]), int(size["step"])) for size in sizes]
    steps = tuple(max(1, step) for _, step in grid)
    return Tensors(
        axes="".join(given),
        output_axes="".join(halos),
        size=tuple(sizes) if fixed else None,
        minimum=tuple(least for least, _ in grid),
        step=steps,
        halo=_on_grid([halos.get(letter, 0) for letter in space], steps),
        preprocessing=tuple(Step(str(s["id"]), s.get("kwargs") or {}) for s in tensor.get("preprocessing") or ()),
        postprocessing=tuple(Step(str(s["id"]), s.get("kwargs") or {}) for s in output.get("postprocessing") or ()),
    )


def _on_grid(halos: Sequence[int], steps: Sequence[int]) -> tuple[int, ...]:
    """Round halos up to the grid on which tiles start."""
    return tuple(-(-halo // step) * step for halo, step in zip(halos, steps, strict=True))


def _letter_05(axis: Mapping[str, Any]) -> str:
    kind = axis["type"]
    if kind == "space":
        return str(axis.get("id", "x")).upper()
    return {"batch": "N", "channel": "C", "time": "T", "index": "I"}[kind]


def _read_04(tensor: Mapping[str, Any], output: Mapping[str, Any]) -> Tensors:
    axes, shape = _letters_04(str(tensor["axes"])), tensor["shape"]
    at = [axes.index(letter) for letter in "ZYX" if letter in axes]
    size, minimum, steps = None, (1,) * len(at), (1,) * len(at)
    if isinstance(shape, dict):
        minimum = tuple(int(shape["min"][i]) for i in at)
        steps = tuple(max(1, int(shape["step"][i])) for i in at)
    else:
        size = tuple(int(shape[i]) for i in at)
    output_axes = _letters_04(str(output["axes"]))
    halos = dict(zip(output_axes, map(int, output.get("halo") or ()), strict=False))
    return Tensors(
        axes=axes,
        output_axes=output_axes,
        size=size,
        minimum=minimum,
        step=steps,
        halo=_on_grid([halos.get(axes[i], 0) for i in at], steps),
        preprocessing=tuple(Step(str(s["name"]), s.get("kwargs") or {}) for s in tensor.get("preprocessing") or ()),
        postprocessing=tuple(Step(str(s["name"]), s.get("kwargs") or {}) for s in output.get("postprocessing") or ()),
    )


def _letters_04(axes: str) -> str:
    return axes.upper().replace("B", "N")

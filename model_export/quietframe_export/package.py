"""Write a trained denoiser as a model package: a flat zip in bioimage.io format 0.5.4.

The description is written by ourselves: newer libraries write ``documentation`` and ``covers`` as mappings, which
Fiji's readers cannot take. No pre- and postprocessing is declared, because the normalisation is inside the network:
every consumer then computes the same. The same run gives the same bytes.

References
----------
bioimage.io model description, format 0.5.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import torch
import yaml
from numpy.typing import NDArray

from quietframe.errors import InputError
from quietframe.inference.blocks import brief
from quietframe.inference.package import PREFIX, RECORD
from quietframe.outputs import atomic_output, check_output
from quietframe.progress import Progress, silent
from quietframe.training.checkpoint import Trained

from .card import Card
from .graph import OPSET, export_onnx, receptive_field
from .readme import readme

FORMAT = "0.5.4"
"""Read by every consumer; newer libraries update it while loading."""

ENVIRONMENT = "channels: [conda-forge, nodefaults]\ndependencies: [python=3.12, 'pytorch>=2.6']\n"
MAX_COVER_BYTES = 500_000
_TEST_SIDE = 128
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a network in pixels, one number per axis: y and x, or z, y and x.

    Parameters
    ----------
    field
        How far it sees, per side.
    step
        Period of its pooling grid, 2**depth.
    halo
        `field` rounded up to a multiple of `step`.
    minimum
        Smallest picture it takes.
    """

    field: tuple[int, ...]
    step: tuple[int, ...]
    halo: tuple[int, ...]
    minimum: tuple[int, ...]

    @property
    def described_minimum(self) -> tuple[int, ...]:
        """Smallest sizes in ``rdf.yaml``, whose format demands more than two halos, on the grid of `step`."""
        return tuple(2 * halo + step for halo, step in zip(self.halo, self.step, strict=True))


def write_package(
    trained: Trained, out: Path, card: Card | None = None, *, overwrite: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Write a model package.

    Parameters
    ----------
    trained
        What training made.
    out
        The zip to write.
    card
        What its author says of it; nothing when None.
    overwrite
        Whether an existing file may be replaced.
    progress
        Told about each of five steps.

    Returns
    -------
    dict
        ``package, name, id, sha256`` (of the ONNX file), ``halo, step, minimum, receptive_field, opset, bytes`` and
        ``onnx_difference``: the largest difference between ONNX Runtime and torch, as a fraction of the data range
        (None where ONNX Runtime is not installed).

    Raises
    ------
    InputError
        When `out` is no ``.zip``.
    OutputError
        When it cannot be written.
    RuntimeError
        When the exported network does not compute what torch computes.
    """
    out = Path(out)
    if out.suffix.lower() != ".zip":
        raise InputError(f"a model package is a .zip; got {out.name}")
    check_output(out, overwrite=overwrite)
    card = card or Card()
    progress("exporting", 0, 5)
    sizes = measure_sizes(trained)
    progress("exporting", 1, 5)
    channels, told = channels_of(trained), properties(trained, sizes)
    model = export_onnx(trained.module, trained.outputs, told, axes=trained.axes, channels=channels)
    progress("exporting", 2, 5)
    test_input = example_picture(trained.sample, sizes)
    test_output = _run_torch(trained, test_input)
    difference = _onnx_difference(model, test_input, test_output)
    progress("exporting", 3, 5)
    files = _files(trained, card, sizes, model, (test_input, test_output))
    progress("exporting", 4, 5)
    with atomic_output(out, overwrite=overwrite) as partial:
        _write_zip(partial, files)
    progress("exporting", 5, 5)
    description = yaml.safe_load(files["rdf.yaml"])
    return {
        "package": str(out),
        "name": description["name"],
        "id": description["id"],
        "sha256": hashlib.sha256(model).hexdigest(),
        "halo": brief(sizes.halo),
        "step": brief(sizes.step),
        "minimum": brief(sizes.minimum),
        "receptive_field": brief(sizes.field),
        "opset": OPSET,
        "bytes": out.stat().st_size,
        "onnx_difference": difference,
    }


def channels_of(trained: Trained) -> int:
    """Return how many channels a denoiser takes at once."""
    return 1 if trained.sample.ndim == trained.dims else trained.sample.shape[0]


def measure_sizes(trained: Trained) -> Sizes:
    """Measure the receptive field of a network and derive its sizes."""
    steps = (2**trained.depth,) * trained.dims
    kwargs, stats = trained.architecture_kwargs, trained.stats
    mean, std = kwargs.get("input_mean", stats["mean"]), kwargs.get("input_std", stats["std"]) or 1.0
    field = receptive_field(trained.module, steps, mean, std, channels=channels_of(trained))
    if trained.dims == 2:  # planes are turned and mirrored in training, and tiled alike along y and x
        field = (max(field),) * 2
    halo = tuple(-(-pixels // step) * step for pixels, step in zip(field, steps, strict=True))
    return Sizes(field, steps, halo, tuple(max(8, step) for step in steps))


def properties(trained: Trained, sizes: Sizes) -> dict[str, str]:
    """Return the string properties of the ONNX file, from which it runs without any other file.

    Sizes are one number for planes ("28"), and three for volumes, in the order z, y, x ("12,28,28"); what differs from
    channel to channel is a list as well.
    """
    kwargs, stats = trained.architecture_kwargs, trained.stats
    values = {
        "axes": trained.axes,
        "halo": brief(sizes.halo),
        "step": brief(sizes.step),
        "min": brief(sizes.minimum),
        "outputs": ",".join(trained.outputs),
        "unit": trained.unit,
        "method": trained.method,
        "version": trained.provenance.get("quietframe", ""),
        "input_mean": _plain(kwargs.get("input_mean", stats["mean"])),
        "input_std": _plain(kwargs.get("input_std", stats["std"])),
    }
    return {
        PREFIX + key: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in values.items()
    }


def example_picture(sample: NDArray[np.float32], sizes: Sizes) -> NDArray[np.float32]:
    """Cut the real sample to an allowed size, mirrored at its border where it is too small.

    Parameters
    ----------
    sample
        Axes YX or ZYX, with C in front where there are several channels.
    sizes
        Of the network.

    Returns
    -------
    ndarray
        Axes NC(Z)YX, N = 1: planes of at most 128 pixels, the smallest allowed volume.
    """
    sample = sample.reshape(-1, *sample.shape[-len(sizes.step) :])
    wanted = [
        max(least, least + (min(side, _TEST_SIDE) - least) // step * step) if len(sizes.step) == 2 else least
        for side, least, step in zip(sample.shape[1:], sizes.described_minimum, sizes.step, strict=True)
    ]
    missing = [(0, 0), *((0, max(0, goal - side)) for goal, side in zip(wanted, sample.shape[1:], strict=True))]
    picture = np.pad(sample, missing, mode="symmetric")[(slice(None), *map(slice, wanted))]
    return np.ascontiguousarray(picture[np.newaxis], dtype=np.float32)


def _run_torch(trained: Trained, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    with torch.no_grad():
        results = trained.module.eval()(torch.from_numpy(batch))
    return [result.numpy() for result in (results if isinstance(results, tuple) else (results,))]


def _onnx_difference(model: bytes, batch: NDArray[np.float32], expected: list[NDArray[np.float32]]) -> float | None:
    """Compare ONNX Runtime with torch; return the largest difference as a fraction of the data range."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    results = session.run(None, {"input": batch})
    extent = max(float(np.ptp(batch)), *(float(np.ptp(array)) for array in expected), 1e-30)
    largest = max(float(np.abs(a - b).max()) for a, b in zip(results, expected, strict=True))
    # twenty layers in another order of summation lose two digits of float32; counts on a large offset are also rounded
    # to steps of float32, which may exceed that
    step = max(float(np.spacing(np.abs(array).max())) for array in (batch, *expected))
    if not largest <= 1e-4 * extent + 2 * step:
        raise RuntimeError(f"ONNX Runtime and torch differ by {largest / extent:.2g} of the data range")
    return largest / extent


def _files(
    trained: Trained, card: Card, sizes: Sizes, model: bytes, tests: tuple[NDArray[np.float32], list[NDArray[Any]]]
) -> dict[str, bytes]:
    """Make every file of the package: name -> content."""
    test_input, test_outputs = tests
    weights = io.BytesIO()
    torch.save(trained.module.state_dict(), weights)
    files = {
        "weights.onnx": model,
        "weights.pt": weights.getvalue(),
        "architecture.py": Path(trained.architecture_file).read_bytes(),
        "environment.yaml": ENVIRONMENT.encode(),
        "test_input.npy": _npy(test_input),
        "sample_input.tif": _tiff(test_input[0]),
        "cover.png": cover(_middle(test_input), _middle(test_outputs[0])),
        RECORD: _record(trained, sizes),
    }
    for name, array in zip(trained.outputs, test_outputs, strict=True):
        suffix = "" if name == trained.outputs[0] else f"_{name}"
        files[f"test_output{suffix}.npy"] = _npy(array)
        files[f"sample_output{suffix}.tif"] = _tiff(array[0])
    description = describe(trained, card, sizes, files)
    files["README.md"] = readme(trained, card, description).encode()
    description["documentation"] = "README.md"
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True, width=100)
    files["rdf.yaml"] = text.encode()
    return files


def describe(trained: Trained, card: Card, sizes: Sizes, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Make the description (``rdf.yaml``) but for its documentation.

    Parameters
    ----------
    trained, card, sizes
        What is described.
    files
        Name and content of the files that get a checksum.
    """
    digest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}

    def entry(name: str) -> dict[str, Any]:
        return {"source": name, "sha256": digest[name]}

    given, gives = (
        np.load(io.BytesIO(files[f"test_{kind}.npy"]), allow_pickle=False).shape[1] for kind in ("input", "output")
    )

    said = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in {"license": card.license, "maintainers": card.maintainers}.items()
        if value
    }
    extent = float(np.ptp(trained.sample))
    return {
        "format_version": FORMAT,
        "type": "model",
        "id": card.id or f"quietframe-{trained.method}-{digest['weights.pt'][:8]}",
        "name": card.name or f"Quietframe {trained.method.replace('_', '-').upper()} denoiser",
        "version": card.version,
        "description": card.description or _description(trained),
        "authors": [dict(author) for author in card.authors],
        "cite": [dict(citation) for citation in card.cite],
        **said,
        "tags": list(dict.fromkeys([*_tags(trained), *card.tags])),
        "documentation": "",
        "covers": ["cover.png"],
        "attachments": [entry(RECORD)],
        "inputs": [_tensor("input", trained, sizes, given, entry)],
        "outputs": [_tensor(name, trained, sizes, gives, entry) for name in trained.outputs],
        "weights": _weights(trained, entry),
        "config": {
            "bioimageio": {
                "reproducibility_tolerance": [{"relative_tolerance": 1e-3, "absolute_tolerance": 1e-4 * extent}]
            }
        },
    }


def _tensor(name: str, trained: Trained, sizes: Sizes, channels: int, entry: Any) -> dict[str, Any]:
    is_input = name == "input"
    suffix = "" if is_input or name == trained.outputs[0] else f"_{name}"
    kind = "input" if is_input else f"output{suffix}"
    names = [f"channel{number}" for number in range(channels)]
    axes: list[dict[str, Any]] = [{"type": "batch"}, {"type": "channel", "channel_names": names}]
    for position, letter in enumerate(trained.axes[2:].lower()):
        if is_input:
            size: dict[str, Any] = {"min": sizes.described_minimum[position], "step": sizes.step[position]}
            axes.append({"type": "space", "id": letter, "size": size})
        else:
            size = {"tensor_id": "input", "axis_id": letter}
            axes.append({"type": "space", "id": letter, "size": size, "halo": sizes.halo[position]})
    return {
        "id": name,
        "description": f"{'noisy' if is_input else name} picture [{trained.unit}]",
        "axes": axes,
        "data": {"type": "float32"},
        "test_tensor": entry(f"test_{kind}.npy"),
        "sample_tensor": entry(f"sample_{kind}.tif"),
    }


def _weights(trained: Trained, entry: Any) -> dict[str, Any]:
    architecture = {
        **entry("architecture.py"),
        "callable": trained.architecture_class,
        "kwargs": _plain(trained.architecture_kwargs),
    }
    return {
        "pytorch_state_dict": {
            **entry("weights.pt"),
            "architecture": architecture,
            "pytorch_version": torch.__version__.split("+")[0],
            "dependencies": entry("environment.yaml"),
        },
        "onnx": {**entry("weights.onnx"), "opset_version": OPSET, "parent": "pytorch_state_dict"},
    }


def _description(trained: Trained) -> str:
    return (
        f"Denoises {'two' if trained.dims == 2 else 'three'}-dimensional pictures from raw counts to denoised counts; "
        f"trained with the method "
        f"{trained.method} of Quietframe. Normalisation is fixed and inside the network: for pictures of the same "
        "camera, gain and unit as the training data."
    )


def _tags(trained: Trained) -> list[str]:
    return [
        f"{trained.dims}d",
        "denoising",
        "image-restoration",
        "unet",
        "pytorch",
        "quietframe",
        trained.method,
        "fiji",
    ]


def _record(trained: Trained, sizes: Sizes) -> bytes:
    record = {
        "format": 1,
        "method": trained.method,
        "unit": trained.unit,
        "outputs": list(trained.outputs),
        "sizes": {
            "receptive_field": brief(sizes.field),
            "halo": brief(sizes.halo),
            "step": brief(sizes.step),
            "minimum": brief(sizes.minimum),
        },
        "settings": trained.settings,
        "statistics": trained.stats,
        "provenance": trained.provenance,
    }
    return (json.dumps(_plain(record), indent=2, ensure_ascii=False) + "\n").encode()


def _plain(value: Any) -> Any:
    """Turn numpy numbers, tuples and paths into what JSON and YAML hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    return value.name if isinstance(value, Path) else value


def cover(raw: NDArray[np.float32], denoised: NDArray[np.float32]) -> bytes:
    """Make the cover: raw beside denoised, 2:1, one grey scale for both, PNG below 500 kB.

    Parameters
    ----------
    raw, denoised
        Axes YX.
    """
    side = min(raw.shape)
    low, high = np.percentile(raw, (0.5, 99.8))
    both = np.hstack([raw[:side, :side], denoised[:side, :side]])
    grey = np.clip((both - low) / max(high - low, 1e-30), 0, 1) * 255
    picture = grey.astype(np.uint8)
    larger = np.repeat(np.repeat(picture, 3, axis=0), 3, axis=1)
    for candidate in (larger, picture):
        data = bytes(imagecodecs.png_encode(candidate))
        if len(data) < MAX_COVER_BYTES:
            return data
    raise RuntimeError("the cover is larger than 500 kB")


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _middle(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one plane of a batch: the first channel, of a volume the middle slice."""
    first = batch[0, 0]
    plane: NDArray[np.float32] = first if first.ndim == 2 else first[len(first) // 2]
    return plane


def _tiff(array: NDArray[Any]) -> bytes:
    """Write axes C(Z)YX as ImageJ reads them: z before channels, nothing of length 1 in front."""
    axes = "CYX" if array.ndim == 3 else "CZYX"
    if array.shape[0] == 1:
        array, axes = array[0], axes[1:]
    elif array.ndim == 4:
        array, axes = array.swapaxes(0, 1), "ZCYX"
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array.astype(np.float32), imagej=True, metadata={"axes": axes})
    return buffer.getvalue()


def _write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a flat zip, sorted and without times, so that equal contents are equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=_ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])

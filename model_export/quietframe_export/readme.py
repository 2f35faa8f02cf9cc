"""The README of a model package: what it does, for which data, how to check it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quietframe.training.checkpoint import Trained

from .card import Card

_NOT_SAID = "The author of this package says nothing about it."

_TEXT = """# {name}

{description}

## Use

Give raw pictures ({unit}), 32-bit or integer, any {sizes} from {minimum} pixels on; do not normalise them.

- Quietframe: `quietframe denoise noisy.tif denoised.tif --model {file}`
- Fiji: Plugins > Quietframe > Quietframe Denoise, or deepImageJ (convert to 32-bit first)
- Python: `bioimageio.core`, or ONNX Runtime with `weights.onnx` alone: its string properties `quietframe.*` say all a
  runner needs

Tiles need {halo} pixels of context on each side and starts at multiples of {step}; the receptive field was measured.

## Intended use

{intended_use}

## Training

Method `{method}`, {steps} steps, seed {seed}, Quietframe {version}. Training data: {training_data}

Statistics of the training data [{unit}]: mean {mean:.6g}, standard deviation {std:.6g}, median {p50:.6g}, 1st to 99.9th
percentile {p01:.6g} to {p999:.6g}. The normalisation is fixed to mean and standard deviation of the training data
because it is part of the network; all settings and the checksums of the training files are in `quietframe.json`.

## Validation

{validation}

Check it on your own data without ground truth: denoise two exposures, or the two halves of one (`quietframe ndr`), and
run `quietframe judge`; the residual (noisy minus denoised) must show noise and no structure. With a long exposure of
the same field as truth, `quietframe score` gives PSNR and SSIM. `quietframe model check {file}` repeats the computation
of the test tensors.

## Limitations

{limitations}

A network can invent structure that looks right. The normalisation is fixed: another camera, gain, offset or unit needs
another model; Quietframe warns when the statistics of a picture are far from those above.
"""


_SIZES = {2: "height and width", 3: "depth, height and width"}


def _sizes(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else ", ".join(map(str, values)) + " (z, y, x)"


def readme(trained: Trained, card: Card, description: Mapping[str, Any]) -> str:
    """Write the README of a package.

    Parameters
    ----------
    trained, card
        What is described.
    description
        The package's ``rdf.yaml``.
    """
    provenance, stats = trained.provenance, trained.stats
    names = ", ".join(str(entry.get("name")) for entry in provenance.get("files", ()))
    axes = description["outputs"][0]["axes"][2:]
    steps = [2**trained.depth for _ in axes]
    return _TEXT.format(
        name=description["name"],
        description=description["description"],
        unit=trained.unit,
        file="model.zip",
        sizes=_SIZES[trained.dims],
        halo=_sizes([axis["halo"] for axis in axes]),
        step=_sizes(steps),
        minimum=_sizes([max(8, step) for step in steps]),
        intended_use=card.intended_use or _NOT_SAID,
        method=trained.method,
        steps=provenance.get("steps", "unknown"),
        seed=provenance.get("seed", "unknown"),
        version=provenance.get("quietframe", "unknown"),
        training_data=card.training_data or (f"files {names}." if names else _NOT_SAID),
        validation=card.validation or _NOT_SAID,
        limitations=card.limitations or _NOT_SAID,
        **{key: float(stats.get(key, float("nan"))) for key in ("mean", "std", "p50", "p01", "p999")},
    )

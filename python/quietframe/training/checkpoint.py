"""What a training run leaves on disk: one checkpoint file, complete or absent, from which it resumes and exports.

``checkpoint.pt`` holds tensors and plain values only, so it loads with ``weights_only=True``. Beside what the loop
needs to continue it holds the best denoiser so far with the description of its architecture, so `load_trained` needs
nothing else, and no method's file.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import InputError
from ..outputs import atomic_output

FORMAT = 2
"""Version of the checkpoint's layout."""

NAME = "checkpoint.pt"
"""Its name in the run folder."""


@dataclass(frozen=True)
class Trained:
    """A trained denoiser with all a model package says about it.

    Parameters
    ----------
    module
        Raw counts (N, C, Y, X) or (N, C, Z, Y, X) float32 to denoised counts, in eval mode, on the CPU.
    architecture_file
        The self-contained Python file that holds its class.
    architecture_class, architecture_kwargs
        Name of the class, and the plain keyword arguments it was made with.
    method
        Name of the learned method, e.g. ``"n2v"``.
    settings
        All options of the training, of plain types.
    stats
        Statistics of the training pictures [counts]: ``mean, std, p01, p50, p999, min, max``, where ``p01``, ``p50``
        and ``p999`` are the 1st, 50th and 99.9th percentile; for pairs the target's are under ``target``.
    depth
        Number of poolings of the net; its step is ``2**depth`` pixels.
    axes
        Axes of input and output, ``"NCYX"`` or ``"NCZYX"``.
    unit
        Unit of the output, ``"counts"`` when the pictures name none.
    sample
        A crop of the training input, at most 128 x 128, float32, axes YX, with Z and C in front where there are
        several [counts].
    provenance
        ``files`` (name and sha256 of each), ``seed``, ``steps``, ``quietframe`` (version), ``minutes``, ...
    outputs
        Names of the outputs.
    dims
        Spatial axes, 2 or 3.
    """

    module: nn.Module
    architecture_file: Path
    architecture_class: str
    architecture_kwargs: dict[str, Any]
    method: str
    settings: dict[str, Any]
    stats: dict[str, Any]
    depth: int
    axes: str
    unit: str
    sample: NDArray[np.float32]
    provenance: dict[str, Any]
    outputs: tuple[str, ...] = ("denoised",)
    dims: int = 2


def snapshot(denoiser: nn.Module) -> dict[str, Any]:
    """Describe a denoiser so that `rebuild` can make it again: its file, class, keyword arguments and weights.

    Parameters
    ----------
    denoiser
        An instance of a class of `quietframe.nets`, with its arguments in ``denoiser.kwargs``.
    """
    return {
        "module": type(denoiser).__module__.rpartition(".")[2],
        "class": type(denoiser).__name__,
        "kwargs": denoiser.kwargs,
        "outputs": list(getattr(denoiser, "outputs", ("denoised",))),
        "state": {name: value.detach().cpu().clone() for name, value in denoiser.state_dict().items()},
    }


def rebuild(description: Mapping[str, Any]) -> tuple[nn.Module, Path]:
    """Make a denoiser from its `snapshot`; also return the file its class stands in."""
    module = importlib.import_module(f"quietframe.nets.{description['module']}")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn and replaced; the caller's seed stays
        denoiser: nn.Module = getattr(module, description["class"])(**description["kwargs"])
    denoiser.load_state_dict(description["state"])
    return denoiser.eval(), Path(str(module.__file__))


def save_checkpoint(run: Path, state: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a run folder, complete or not at all.

    Parameters
    ----------
    run
        Run folder.
    state
        Tensors and plain values.
    """
    # through memory: writing bytes gives the system's reason when the disk is full, torch's own writer does not
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with atomic_output(run / NAME, overwrite=True) as partial:
        partial.write_bytes(buffer.getbuffer())
    return run / NAME


def load_checkpoint(run: Path) -> dict[str, Any]:
    """Read the checkpoint of a run folder.

    Raises
    ------
    InputError
        When there is none, it is damaged, or another version of Quietframe wrote its layout.
    """
    path = run / NAME
    if not path.is_file():
        raise InputError(f"{run} holds no {NAME}; give the folder that `quietframe train ... --out` made")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["format"]
    except Exception as error:  # torch raises many kinds for damaged files
        raise InputError(f"{path} cannot be read as a checkpoint ({type(error).__name__}); train again") from error
    if found != FORMAT:
        raise InputError(f"{path} has checkpoint format {found}; this version reads {FORMAT}; train again")
    return state


def load_trained(run: str | Path) -> Trained:
    """Read the denoiser of a run folder: the best weights so far, on the CPU, ready for use and export.

    Parameters
    ----------
    run
        Run folder that `quietframe train` made, finished or not.

    Raises
    ------
    InputError
        When the folder holds no readable checkpoint.
    """
    run = Path(run)
    state = load_checkpoint(run)
    module, file = rebuild(state["denoiser"])
    about = state["about"]
    done = {"steps": state["step"], "minutes": round(state["seconds"] / 60, 2)}
    return Trained(
        module=module,
        architecture_file=file,
        architecture_class=state["denoiser"]["class"],
        architecture_kwargs=state["denoiser"]["kwargs"],
        method=about["method"],
        settings={**about["settings"], **about["schedule"], "batch_size": state["batch_size"]},
        stats=about["stats"],
        depth=about["depth"],
        axes="NCYX" if about["dims"] == 2 else "NCZYX",
        unit=about["unit"],
        sample=state["sample"].numpy(),
        provenance={**about["provenance"], **state["figures"], **done},
        outputs=tuple(state["denoiser"]["outputs"]),
        dims=about["dims"],
    )

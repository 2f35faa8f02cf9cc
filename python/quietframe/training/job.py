"""What a training run is made of, and what changes while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from .patches import Batch, DataStatistics, Pictures
from .schedule import Schedule


class Method(Protocol):
    """What a file of `quietframe.methods` offers.

    It may also offer ``prepare(pictures, settings, folder) -> (settings, notes)``, which looks at the data first and
    may draw PNG pictures into `folder`, and ``calibrate(net, batches, settings) -> figures``, which sets buffers of the
    net from the held-out batches before its weights are kept.
    """

    DATA: str

    def build(self, settings: Any, stats: DataStatistics) -> nn.Module:
        """Make the untrained net, normalised input to normalised output."""

    def loss(self, net: nn.Module, batch: Batch, settings: Any) -> Tensor:
        """Return the loss of a batch, a scalar."""

    def denoiser(self, net: nn.Module, settings: Any, stats: DataStatistics) -> nn.Module:
        """Make the module from raw counts to denoised counts around the trained net."""


@dataclass(frozen=True)
class Job:
    """All that a run is made of.

    Parameters
    ----------
    name, method
        The method and its name.
    settings
        The method's settings, a dataclass with ``depth``.
    schedule
        How long, how much, where.
    pictures
        Training data.
    run
        Folder for settings, checkpoint, history and curves; made where it does not exist.
    unit
        Unit of the denoised picture.
    provenance
        Plain values kept with the weights and in ``settings.json``: ``quietframe`` (version), ``files``.
    """

    name: str
    method: Method
    settings: Any
    schedule: Schedule
    pictures: Pictures
    run: Path
    unit: str = "counts"
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass
class State:
    """What changes while a run trains, and what its checkpoint holds beside net and optimiser."""

    step: int = 0
    steps: int = 0  # of the whole run; 0 while a time budget has not yet fixed it
    batch_size: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    waiting: int = 0  # validations since the last gain
    flat: int = 0  # validations since the last gain or halving of the learning rate
    halvings: int = 0
    stopped: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)  # what the method has calibrated
    notes: list[str] = field(default_factory=list)
    denoiser: dict[str, Any] = field(default_factory=dict)


def load_state(saved: Mapping[str, Any]) -> State:
    """Take the state out of a checkpoint."""
    return State(**{name: saved[name] for name in vars(State())})

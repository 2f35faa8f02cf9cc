"""The options of a training run that do not depend on the method: how long, how much at a time, on what."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import OptionError


@dataclass(frozen=True)
class Schedule:
    """How a run is trained, whatever the method.

    Parameters
    ----------
    steps
        Number of training steps.
    batch_size
        Patches per step.
    patch_px
        Height and width of a patch [px], a multiple of 2**depth.
    learning_rate
        Largest learning rate; it rises during the first 5 % of the steps and then falls along a cosine.
    validation_percent
        Share of the picture held out for validation [%]; 0 for none.
    checkpoint_every
        Steps between two checkpoints.
    seed
        Seed of the weights, patches and masks: the same seed gives the same weights (CPU, same number of threads).
    device
        Where to train; auto takes CUDA where there is one.
    precision
        Number format of the convolutions; auto takes bfloat16 where the processor computes in it.
    """

    steps: int = 400
    batch_size: int = 16
    patch_px: int = 64
    learning_rate: float = 1e-3
    validation_percent: float = 5.0
    checkpoint_every: int = 100
    seed: int = 42
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def check(self, multiple: int) -> None:
        """Raise an OptionError for values that cannot work; patches must be a multiple of `multiple` pixels."""
        for name in ("steps", "batch_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"--{name.replace('_', '-')} {getattr(self, name)}: give 1 or more")
        if self.patch_px < 16 or self.patch_px % multiple:
            raise OptionError(f"--patch-px {self.patch_px}: give 16 or more, in multiples of {multiple}")
        if not 0 < self.learning_rate <= 1:
            raise OptionError(f"--learning-rate {self.learning_rate:g}: give a number above 0 and up to 1")
        if not 0 <= self.validation_percent <= 50:
            raise OptionError(f"--validation-percent {self.validation_percent:g}: give 0 to 50")
        if self.seed < 0:
            raise OptionError(f"--seed {self.seed}: give 0 or more")

    def rate(self, step: int) -> float:
        """Learning rate of step `step`, counted from 0: linear warm-up, then half a cosine down to 1 %."""
        warm_up = max(1, self.steps // 20)
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        phase = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * phase)))

    @property
    def validate_every(self) -> int:
        """Steps between two validations: 40 of them in a run, at a cost of at most 7 % with 2 batches held out."""
        return max(1, self.steps // 40)

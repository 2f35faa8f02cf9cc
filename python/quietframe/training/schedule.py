"""The options of a training run that do not depend on the method: how long, how much at a time, on what."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import OptionError, unknown

DECAYS = ("cosine", "plateau", "constant")
"""How the learning rate falls."""

PLATEAU = 10
"""Validations without gain after which ``plateau`` halves the learning rate."""

BUDGET_WARM_UP = 20
"""Steps of warm-up where a time budget decides on the number of steps, which is not known at first."""


@dataclass(frozen=True)
class Schedule:
    """How a run is trained, whatever the method.

    Parameters
    ----------
    steps
        Number of training steps.
    minutes
        Time for the training instead of a number of steps: the first steps are timed, which fixes the number.
    batch_size
        Patches per step, over all processes; auto halves it from 16 until a step fits into the memory.
    patch_px
        Height and width of a patch [px], a multiple of 2**depth.
    patch_z
        Planes of a patch, a multiple of 2**depth; 1 trains a 2D net, more a 3D net on pictures with a z axis.
    learning_rate
        Largest learning rate; it rises during the first 5 % of the steps.
    decay
        How the learning rate falls: along a cosine, by halves at each plateau of the validation, or not at all.
    patience
        Validations without gain after which the run ends early; 0 for never. The best weights are kept in any case.
    average
        Validate and keep a running mean of the weights, in which a step counts 1 - average; 0 keeps the weights.
    weight_decay
        Pull of the weights to zero per step, as a share of the learning rate (AdamW).
    validation_percent
        Share of the picture held out for validation [%]; 0 for none.
    foreground
        Share of the patches that are drawn by their brightness, 0 to 1; the others are drawn anywhere.
    checkpoint_every
        Steps between two checkpoints.
    seed
        Seed of the weights, patches and masks: the same seed gives the same weights (CPU, same number of threads).
    device
        Where to train; auto takes CUDA where there is one.
    precision
        Number format of the convolutions; auto takes bfloat16 where the processor computes in it.
    compile
        Let torch compile the net first: minutes of compiling for faster steps, on CUDA above all.
    """

    steps: int = 400
    minutes: float | None = None
    batch_size: int | Literal["auto"] = 16
    patch_px: int = 64
    patch_z: int = 1
    learning_rate: float = 1e-3
    decay: Literal["cosine", "plateau", "constant"] = "cosine"
    patience: int = 0
    average: float = 0.0
    weight_decay: float = 0.0
    validation_percent: float = 5.0
    foreground: float = 0.0
    checkpoint_every: int = 100
    seed: int = 42
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False

    def check(self, multiple: int) -> None:
        """Raise an OptionError for values that cannot work; patches must be a multiple of `multiple` pixels."""
        if self.batch_size != "auto" and not isinstance(self.batch_size, int):
            raise OptionError(f"--batch-size {self.batch_size}: give a number of patches, or auto")
        for name in ("steps", "batch_size", "patch_z", "checkpoint_every"):
            if getattr(self, name) != "auto" and getattr(self, name) < 1:
                raise OptionError(f"--{name.replace('_', '-')} {getattr(self, name)}: give 1 or more")
        if self.patch_px < 16 or self.patch_px % multiple:
            raise OptionError(f"--patch-px {self.patch_px}: give 16 or more, in multiples of {multiple}")
        if self.patch_z > 1 and self.patch_z % multiple:
            raise OptionError(f"--patch-z {self.patch_z}: give 1 for a 2D net, or a multiple of {multiple}")
        if self.decay not in DECAYS:
            raise unknown("decay", self.decay, list(DECAYS))
        self._check_ranges()

    def _check_ranges(self) -> None:
        """Raise an OptionError for a number that is out of range."""
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise OptionError(f"--minutes {self.minutes:g}: give a number above 0")
        if not 0 < self.learning_rate <= 1:
            raise OptionError(f"--learning-rate {self.learning_rate:g}: give a number above 0 and up to 1")
        if not 0 <= self.weight_decay <= 1:
            raise OptionError(f"--weight-decay {self.weight_decay:g}: give 0 to 1")
        if not 0 <= self.average < 1:
            raise OptionError(f"--average {self.average:g}: give 0, or a number below 1 such as 0.99")
        if not 0 <= self.foreground <= 1:
            raise OptionError(f"--foreground {self.foreground:g}: give 0 to 1")
        if not 0 <= self.validation_percent <= 50:
            raise OptionError(f"--validation-percent {self.validation_percent:g}: give 0 to 50")
        if self.seed < 0:
            raise OptionError(f"--seed {self.seed}: give 0 or more")
        if self.patience < 0:
            raise OptionError(f"--patience {self.patience}: give 0 for no early stop, or a number of validations")
        if not self.validation_percent and (self.patience or self.decay == "plateau"):
            what = "--patience" if self.patience else "--decay plateau"
            raise OptionError(f"{what} needs a validation to look at; give a --validation-percent above 0")

    def rate(self, step: int, steps: int | None = None, halvings: int = 0) -> float:
        """Learning rate of a step: linear warm-up, then what `decay` says; the cosine goes down to 1 %.

        Parameters
        ----------
        step
            Number of the step, from 0.
        steps
            Steps of the whole run, where a time budget has decided on them; None takes the field.
        halvings
            Plateaus of the validation so far.
        """
        steps = steps or self.steps
        warm_up = BUDGET_WARM_UP if self.minutes else max(1, steps // 20)
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        if self.decay != "cosine":
            return self.learning_rate * (0.5**halvings if self.decay == "plateau" else 1.0)
        phase = (step - warm_up) / max(1, steps - warm_up)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * phase)))

    def validate_every(self, steps: int, validations: int) -> int:
        """Tell the steps between two validations of a run of `steps` steps with about so many of them."""
        return max(1, steps // validations)

"""The training loop, one for all methods: read it from top to bottom.

A method (a file of `quietframe.methods`) says what the net is and what its loss is; the loop does the rest. Weights,
patches and masks depend on the seed and on the number of the step, never on what ran before, so a run that was killed
and resumed ends with the weights of an uninterrupted one, bit for bit (on the same processor and number of threads).
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..progress import Progress, silent
from . import device
from .checkpoint import load_checkpoint, save_checkpoint, snapshot
from .history import write_curves, write_history
from .patches import Batch, DataStatistics, Pictures, Sampler, Statistics
from .run_folder import remove_partial, start_run
from .schedule import Schedule

CLIP = 1.0
"""Largest norm of the gradient; a rare bright patch must not throw the weights away."""


class Method(Protocol):
    """What a file of `quietframe.methods` offers."""

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
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    stopped: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    denoiser: dict[str, Any] = field(default_factory=dict)


def train(job: Job, *, resume: bool = False, progress: Progress = silent) -> State:
    """Train until the last step, or until the loss is no longer a number.

    Parameters
    ----------
    job
        The run.
    resume
        Continue from the checkpoint in ``job.run`` where there is one.
    progress
        Called after every step with the losses in words.

    Returns
    -------
    State
        ``history`` (one row per validation), ``stopped`` (why it ended early, else empty), ``denoiser`` (best weights).

    Raises
    ------
    OptionError
        When an option cannot work, or the loss is not a number from the first step on.
    InputError
        When a picture is smaller than a patch.
    KeyboardInterrupt
        After Ctrl-C, when the step is finished and the checkpoint is written.
    """
    schedule = job.schedule
    schedule.check(2**job.settings.depth)
    place = device.choose(schedule.device, schedule.precision)
    device.keep_freed_memory()
    stats = job.pictures.statistics()
    sampler = Sampler(job.pictures, schedule.patch_px, schedule.batch_size, schedule.validation_percent, schedule.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schedule.seed)
        net = job.method.build(job.settings, stats)
    net = net.to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(net.parameters(), lr=schedule.learning_rate)
    state = _begin(job, net, optimizer, resume=resume)
    before, started = state.seconds, time.monotonic()

    def save() -> None:
        state.seconds = before + time.monotonic() - started
        _save(job, net, optimizer, state, stats, place.note)

    with _interruptible() as interrupted:
        while state.step < schedule.steps and not state.stopped:
            source, target = sampler.batch(state.step)
            batch = _batch(source, target, stats, schedule.seed, state.step + 1, place)
            loss, problem = _step(job, net, optimizer, batch, schedule.rate(state.step), place)
            if problem:
                state.stopped = f"stopped before step {state.step + 1}: {problem}; the last good weights were kept"
                break
            state.step += 1
            state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
            if state.step % schedule.validate_every == 0 or state.step == schedule.steps:
                _validate(job, net, sampler, stats, state, place)
            progress(_message(state, loss), state.step, schedule.steps)
            if interrupted() or state.step % schedule.checkpoint_every == 0:
                save()
            if interrupted():
                raise KeyboardInterrupt
    if state.stopped and not state.denoiser:
        if state.step == 0:
            raise OptionError(f"training {state.stopped.partition(';')[0]}; give a smaller --learning-rate")
        _validate(job, net, sampler, stats, state, place)
    save()
    write_curves(job.run, state.history)
    return state


def _step(
    job: Job, net: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, rate: float, place: device.Place
) -> tuple[float, str]:
    """Train one step; return its loss, and what is wrong where the weights were left untouched."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    net.train()
    optimizer.zero_grad(set_to_none=True)
    with place.autocast():
        loss = job.method.loss(net, batch, job.settings)
    value = float(loss.detach())
    if not math.isfinite(value):
        return value, f"the loss is {value}"
    loss.backward()  # type: ignore[no-untyped-call]
    norm = float(nn.utils.clip_grad_norm_(net.parameters(), CLIP))
    if not math.isfinite(norm):
        return value, f"the gradient is {norm}"
    optimizer.step()
    return value, ""


def _batch(
    source: np.ndarray, target: np.ndarray | None, stats: DataStatistics, seed: int, stream: int, place: device.Place
) -> Batch:
    """Normalise patches and put them where the net is; stream 0 is the validation's, stream k + 1 that of step k."""

    def normal(patches: np.ndarray, of: Statistics) -> Tensor:
        tensor = torch.from_numpy((patches - np.float32(of.center)) / np.float32(of.scale))
        return tensor.to(place.device, memory_format=torch.channels_last)

    mixed = int(np.random.SeedSequence([seed, 2, stream]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    generator = torch.Generator().manual_seed(mixed)
    answer = None if target is None else normal(target, stats.target)
    return Batch(normal(source, stats.source), answer, generator, stats)


def _validate(
    job: Job, net: nn.Module, sampler: Sampler, stats: DataStatistics, state: State, place: device.Place
) -> None:
    """Measure the loss on the held-out patches, add a row to the history, keep the denoiser if it is the best."""
    net.eval()
    total, count = 0.0, 0
    with torch.inference_mode(), place.autocast():
        for part, (source, target) in enumerate(sampler.validation()):
            # the same masks every time, or the losses could not be compared
            batch = _batch(source, target, stats, job.schedule.seed + part, 0, place)
            total += float(job.method.loss(net, batch, job.settings)) * len(source)
            count += len(source)
    row = {
        "step": float(state.step),
        "loss": state.loss_sum / max(1, state.loss_count),
        "validation": total / count if count else math.nan,
        "learning_rate": job.schedule.rate(max(0, state.step - 1)),
    }
    state.history.append(row)
    state.loss_sum, state.loss_count = 0.0, 0
    judged = row["validation"] if count else -state.step  # without held-out patches the latest weights are the best
    if judged < state.best_loss or not state.denoiser:
        state.best_loss, state.best_step = judged, state.step
        state.denoiser = snapshot(job.method.denoiser(net, job.settings, stats))


def _message(state: State, loss: float) -> str:
    """Losses in words: the mean since the last validation, and the validation's."""
    mean = state.loss_sum / state.loss_count if state.loss_count else loss
    validation = state.history[-1]["validation"] if state.history else math.nan
    return f"training: loss {mean:.4f}" + (f", validation {validation:.4f}" if math.isfinite(validation) else "")


def _save(
    job: Job, net: nn.Module, optimizer: torch.optim.Optimizer, state: State, stats: DataStatistics, note: str
) -> None:
    """Write checkpoint and history."""
    if not state.denoiser:  # before the first validation the present weights are all there is
        state.denoiser = snapshot(job.method.denoiser(net, job.settings, stats))
    about = {
        "method": job.name,
        "settings": asdict(job.settings),
        "schedule": asdict(job.schedule),
        "stats": stats.to_dict(),
        "depth": job.settings.depth,
        "unit": job.unit,
        "provenance": {"seed": job.schedule.seed, "device": note, **job.provenance},
    }
    save_checkpoint(
        job.run,
        {
            **vars(state),
            "net": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "about": about,
            "sample": torch.from_numpy(job.pictures.sample()),
        },
    )
    write_history(job.run, state.history)


def _begin(job: Job, net: nn.Module, optimizer: torch.optim.Optimizer, *, resume: bool) -> State:
    """Make or clean the run folder; load net and optimiser from its checkpoint where the run resumes from one."""
    if resume and (job.run / "settings.json").is_file():
        remove_partial(job.run)
        if (job.run / "checkpoint.pt").is_file():
            saved = load_checkpoint(job.run)
            net.load_state_dict(saved["net"])
            optimizer.load_state_dict(saved["optimizer"])
            return load_state(saved)
        return State()
    options = {"settings": asdict(job.settings), "schedule": asdict(job.schedule)}
    start_run(job.run, {"method": job.name, **options, **job.provenance})
    return State()


def load_state(saved: Mapping[str, Any]) -> State:
    """Take the state out of a checkpoint."""
    return State(**{name: saved[name] for name in vars(State())})


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C finish the step that runs, so that the checkpoint is whole; a second Ctrl-C interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    usual = signal.getsignal(signal.SIGINT)

    def ask(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, usual)

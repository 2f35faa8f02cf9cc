"""Batches where the net is: cut ahead of time and copied without waiting on CUDA, in place on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from .device import Place
from .job import Job, State
from .memory import largest_batch
from .patches import Batch, DataStatistics, Patches, Sampler, normalise

Pair = tuple[Tensor, Tensor | None]


class Feed:
    """Give the batches of a run, normalised, each with the randomness of its step.

    Parameters
    ----------
    sampler
        Where patches come from.
    stats
        How they are normalised.
    place
        Where the net is.
    seed
        Seed of masks and of whatever else a loss draws.
    """

    def __init__(self, sampler: Sampler, stats: DataStatistics, place: Place, seed: int) -> None:
        self.sampler, self.stats, self.place, self.seed = sampler, stats, place, seed
        self._worker = ThreadPoolExecutor(1, "quietframe-patches") if place.waits > 1 else None
        self._ahead: tuple[int, Future[Pair]] | None = None
        self._held_out = [self._put(self._normal(*pair)) for pair in sampler.validation()]

    def batch(self, step: int) -> Batch:
        """Return the batch of step `step`, counted from 0."""
        if self._worker is None:
            pair = self._cut(step)
        else:
            pair = self._ahead[1].result() if self._ahead and self._ahead[0] == step else self._cut(step)
            self._ahead = step + 1, self._worker.submit(self._cut, step + 1)
        return Batch(*self._put(pair), self._generator(step + 1), self.stats)

    def validation(self) -> Iterator[Batch]:
        """Return the held-out batches, with the same masks every time, so that losses compare."""
        for part, pair in enumerate(self._held_out):
            yield Batch(*pair, self._generator(0, part), self.stats)

    @property
    def validations(self) -> int:
        """Validations of a run: 40, or 20 where more than a batch is held out; either costs a run at most 3.5 %."""
        return 40 if len(self._held_out) <= 1 else 20

    def close(self) -> None:
        """Stop cutting ahead."""
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)

    def _generator(self, stream: int, part: int = 0) -> torch.Generator:
        """Make the randomness of a batch: stream 0 is the validation's, stream k + 1 that of step k."""
        mixed = np.random.SeedSequence([self.seed, 2, stream, part]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))  # torch takes 63 bits

    def _cut(self, step: int) -> Pair:
        return self._normal(*self.sampler.batch(step))

    def _normal(self, source: Patches, target: Patches | None) -> Pair:
        first = self.place.pin(torch.from_numpy(normalise(source, self.stats.source)))
        if target is None:
            return first, None
        return first, self.place.pin(torch.from_numpy(normalise(target, self.stats.target)))

    def _put(self, pair: Pair) -> Pair:
        source, target = pair
        return self.place.put(source), None if target is None else self.place.put(target)


def open_feed(job: Job, place: Place, stats: DataStatistics, net: nn.Module, state: State) -> Feed:
    """Make the source of batches, of a size that fits where it is left open; fill in the numbers of a new run."""
    schedule = job.schedule
    patch = (*((schedule.patch_z,) if schedule.patch_z > 1 else ()), schedule.patch_px, schedule.patch_px)
    state.steps = state.steps or (0 if schedule.minutes else schedule.steps)

    def make(size: int) -> Feed:
        held_out = schedule.validation_percent
        sampler = Sampler(job.pictures, patch, size, held_out, schedule.seed, schedule.foreground)
        return Feed(sampler, stats, place, schedule.seed)

    def attempt(size: int) -> None:
        feed = make(size)
        try:
            with place.autocast():
                job.method.loss(net, feed.batch(0), job.settings).backward()  # type: ignore[no-untyped-call]
        finally:
            feed.close()
            net.zero_grad(set_to_none=True)

    if not state.batch_size:
        state.batch_size = largest_batch(attempt) if schedule.batch_size == "auto" else schedule.batch_size
    feed = make(state.batch_size)
    state.notes += [note for note in feed.sampler.notes if note not in state.notes]
    return feed

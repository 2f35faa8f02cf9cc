"""One run on several processes, started by ``torchrun``: the same loop, the same curve as on one process.

Every process draws the whole batch and its masks, which is cheap and the same everywhere, but sends only its share of
the batch through the net. The shares of the output are put together before the loss is computed, so a method sees
what it sees on one process, whatever its loss divides by. Backwards each process has the gradient of its share; their
sum over all processes is the gradient of the batch. Nothing is averaged, so nothing has to be weighted.

Only the first process writes files.

References
----------
Li et al. 2020, "PyTorch Distributed: experiences on accelerating data parallel training", VLDB (sums of gradients in
one piece).
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import OptionError


@dataclass(frozen=True)
class Crew:
    """The processes of a run.

    Parameters
    ----------
    rank
        Number of this process, from 0.
    size
        Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files and tells the progress."""
        return self.rank == 0

    def check_batch(self, batch_size: int | str) -> None:
        """Raise an OptionError where the batch is to be sought, which several processes cannot do alike."""
        if self.size > 1 and batch_size == "auto":
            raise OptionError(f"--batch-size auto looks at one process; give a number for all {self.size} together")

    def split(self, net: nn.Module) -> None:
        """Let `net` compute this process's share of a batch, and give back the whole output."""
        if self.size > 1:
            length = [0]

            def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                length[0] = len(inputs[0])
                return tuple(tensor.tensor_split(self.size)[self.rank] for tensor in inputs)

            def give(_: nn.Module, __: tuple[Tensor, ...], output: Any) -> Any:
                if isinstance(output, tuple):
                    return tuple(_Together.apply(part, self, length[0]) for part in output)
                return _Together.apply(output, self, length[0])

            net.register_forward_pre_hook(take)
            net.register_forward_hook(give)

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add the gradients of all processes, in one message."""
        if self.size > 1:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat)
            pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, piece in zip(gradients, pieces, strict=True):
                gradient.copy_(piece.view(gradient.shape))

    def agree(self, *values: float) -> tuple[float, ...]:
        """Return the values of the first process, to all."""
        return self._reduce(values if self.first else [0.0] * len(values), "SUM")

    def any(self, value: bool) -> bool:
        """Tell all whether `value` is true in one of the processes."""
        return bool(self._reduce([float(value)], "MAX")[0])

    def _reduce(self, values: Iterable[float], how: str) -> tuple[float, ...]:
        if self.size == 1:
            return tuple(values)
        place = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        tensor = torch.tensor(list(values), dtype=torch.float64, device=place)
        torch.distributed.all_reduce(tensor, getattr(torch.distributed.ReduceOp, how))
        return tuple(tensor.tolist())


class _Together(torch.autograd.Function):
    """Put the shares of an output together; backwards, keep the gradient of one's own share."""

    @staticmethod
    def forward(context: Any, share: Tensor, crew: Crew, length: int) -> Tensor:
        whole = share.new_zeros((length, *share.shape[1:]))
        mine = whole.tensor_split(crew.size)[crew.rank]
        mine.copy_(share)
        torch.distributed.all_reduce(whole)  # the other shares are zero here, so the sum is exact
        context.crew = crew
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].tensor_split(context.crew.size)[context.crew.rank], None, None


def join(device: str) -> Crew:
    """Join the processes that ``torchrun`` has started; a crew of one where it has not.

    Parameters
    ----------
    device
        ``cpu`` or ``cuda``; each process takes its own GPU.

    Raises
    ------
    OptionError
        When there are more processes than GPUs.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if size == 1 or "MASTER_ADDR" not in os.environ:  # torchrun sets it; some clusters set the others for all jobs
        return Crew()
    if device == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise OptionError(
                f"torchrun started process {local + 1} on a machine with {torch.cuda.device_count()} GPUs; start one "
                "process per GPU (--nproc-per-node), or train with --device cpu"
            )
        torch.cuda.set_device(local)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    return Crew(rank, size)

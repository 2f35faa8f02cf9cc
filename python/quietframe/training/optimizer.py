"""AdamW in torch's fused kernels, with what the loop needs beside it: clipping, a guard against NaN, a mean of weights.

``torch.optim`` imports torch's compiler (and sympy with it) when the first optimiser is made: 4 CPU-seconds in every
process, the price of 60 training steps. The kernels underneath it need none of that. They also take the factor of the
clipping and the flag "this step is not finite" as tensors, so that nothing has to wait for a GPU.

References
----------
Loshchilov & Hutter 2019, "Decoupled weight decay regularization", ICLR, algorithm 2. Kingma & Ba 2015, "Adam", ICLR.
Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", ICML, section 3.2 (clipping).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class AdamW:
    """Adam with decoupled weight decay on parameters of one device, all float32.

    Parameters
    ----------
    parameters
        What is trained; those that need no gradient are left out.
    weight_decay
        Share of the learning rate by which weights shrink per step.
    clip
        Largest norm of all gradients together; longer ones are shortened to it.
    average
        Decay of the running mean of the weights; 0 for none.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, weight_decay: float = 0.0, clip: float = 1.0, average: float = 0.0
    ) -> None:
        self.parameters: list[Tensor] = [parameter for parameter in parameters if parameter.requires_grad]
        self.weight_decay, self.clip, self.average = weight_decay, clip, average
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.averages = [parameter.detach().clone() for parameter in self.parameters] if average else []
        self.done = 0
        place = self.parameters[0].device
        self.counts = [torch.zeros((), device=place) for _ in self.parameters]
        self.failed = torch.zeros((), device=place)
        """1 from the first step on whose loss or gradient was not finite, else 0; such steps change nothing."""

    @torch.no_grad()
    def step(self, loss: Tensor, rate: float) -> Tensor:
        """Change the weights by their gradients, unless a loss or gradient was not finite, now or before.

        Parameters
        ----------
        loss
            Loss of this step, a scalar.
        rate
            Learning rate.

        Returns
        -------
        Tensor
            Norm of all gradients together before clipping, a scalar; without waiting for the device.
        """
        trained = [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]
        gradients: list[Tensor] = [self.parameters[index].grad for index in trained]  # type: ignore[misc]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        self.failed.logical_or_(~(torch.isfinite(norm) & torch.isfinite(loss.detach())))
        parameters, counts = [self.parameters[i] for i in trained], [self.counts[i] for i in trained]
        torch._foreach_add_(counts, 1)
        torch._fused_adamw_(
            parameters, gradients, [self.means[i] for i in trained], [self.squares[i] for i in trained], [], counts,
            amsgrad=False, lr=rate, beta1=BETAS[0], beta2=BETAS[1], weight_decay=self.weight_decay, eps=EPSILON,
            maximize=False, grad_scale=(norm / self.clip).clamp(min=1), found_inf=self.failed,
        )  # fmt: skip
        torch._foreach_sub_(counts, [self.failed] * len(counts))
        if self.average:  # the early weights count less while there are few: a mean of what there is
            self.done += 1
            torch._foreach_lerp_(self.averages, self.parameters, 1 - min(self.average, self.done / (10 + self.done)))
        return norm

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the running mean of the weights into the net while the block runs; nothing without ``average``."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, mean in zip(self.parameters, self.averages, strict=False):
            parameter.data, mean.data = mean.data, parameter.data

    def state_dict(self) -> dict[str, Any]:
        """Return all tensors that the next step depends on, beside the weights."""
        return {name: getattr(self, name) for name in ("means", "squares", "counts", "averages", "failed", "done")}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the tensors of a `state_dict`."""
        for name in ("means", "squares", "counts", "averages"):
            for mine, saved in zip(getattr(self, name), state[name], strict=True):
                mine.copy_(saved)
        self.failed.copy_(state["failed"])
        self.done = state["done"]

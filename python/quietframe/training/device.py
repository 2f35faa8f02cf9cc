"""Where a training run computes, in which number format, and what the memory allocator does meanwhile."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import OptionError, unknown


@dataclass(frozen=True)
class Place:
    """Device and number format of a run.

    Parameters
    ----------
    device
        Where tensors live.
    precision
        Format of the convolutions; weights, statistics and losses are always float32.
    note
        Both in words, with the reason for what ``auto`` chose.
    """

    device: torch.device
    precision: torch.dtype
    note: str

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the net computes."""
        if self.precision is torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def settle(self, net: nn.Module, dims: int) -> nn.Module:
        """Move a net here, channels last in memory, which convolutions of 2 and 3 dimensions are faster with."""
        layout = torch.channels_last if dims == 2 else torch.channels_last_3d
        return net.to(self.device, memory_format=layout)  # type: ignore[call-overload,no-any-return]

    def pin(self, tensor: Tensor) -> Tensor:
        """Put a tensor where a GPU can fetch it without the processor; the same tensor for a run on a CPU."""
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def put(self, tensor: Tensor) -> Tensor:
        """Copy a batch here, channels last, without waiting for the copy."""
        layout = torch.channels_last if tensor.ndim == 4 else torch.channels_last_3d
        return tensor.to(self.device, non_blocking=True, memory_format=layout)

    def tuned(self) -> AbstractContextManager[object]:
        """Return the context in which cuDNN measures which of its algorithms is the fastest for each convolution."""
        return torch.backends.cudnn.flags(True, True) if self.device.type == "cuda" else nullcontext()

    @property
    def waits(self) -> int:
        """Steps after which losses are read: each one on a CPU; on a GPU reading is waiting, so seldom."""
        return 1 if self.device.type == "cpu" else 20


def choose(device: str = "auto", precision: str = "auto") -> Place:
    """Choose device and number format, and say why.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    precision
        ``auto``, ``float32`` or ``bfloat16``.

    Raises
    ------
    OptionError
        When a name is unknown, or ``cuda`` is asked for and there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise unknown("device", device, ["auto", "cpu", "cuda"])
    if precision not in ("auto", "float32", "bfloat16"):
        raise unknown("precision", precision, ["auto", "float32", "bfloat16"])
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        built = torch.version.cuda
        reason = "torch finds no CUDA device" if built else "this torch is built without CUDA"
        raise OptionError(f"--device cuda: {reason}; use --device cpu, or see `quietframe doctor`")
    kind = "cuda" if cuda and device != "cpu" else "cpu"
    name = torch.cuda.get_device_name() if kind == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    fast = _computes_in_bfloat16(kind)
    dtype = torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and fast) else torch.float32
    why = f", {'' if fast else 'not '}supported in hardware" if precision == "auto" or not fast else ""
    words = "bfloat16" if dtype is torch.bfloat16 else "float32"
    if words == "float32" and precision == "auto":
        why = ", no bfloat16 in hardware"
    return Place(torch.device(kind), dtype, f"{name}; {words}{why}")


def _computes_in_bfloat16(kind: str) -> bool:
    """Tell whether bfloat16 is faster here: instructions for it, not an emulation."""
    if kind == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed activations for this process instead of returning them to the system.

    Otherwise every step maps and clears the same memory anew. Without effect where there is no glibc, or where the
    user has set ``MALLOC_MMAP_THRESHOLD_`` or ``MALLOC_TRIM_THRESHOLD_``.

    Returns
    -------
    bool
        Whether the setting was made.
    """
    if not sys.platform.startswith("linux") or {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & set(os.environ):
        return False
    trim_threshold, mmap_max = -1, -4  # names of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # mallopt takes an int, so 8 GiB cannot be said; no mmap at all and the largest int come to the same
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, 2**31 - 1))

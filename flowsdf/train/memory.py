"""A step that needs more memory than the device has."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer


def sparing(differentiate: Callable[[int], Tensor], optimizer: Optimizer) -> Callable[[int], Tensor]:
    """The same, but once a step needs too much memory, what autograd saves is in main memory, then and in later steps.

    The batch stays whole, and the result the same up to rounding where ``differentiate`` depends on the step alone; it
    takes longer.
    """
    spare = False

    def spared(step: int) -> Tensor:
        nonlocal spare
        if not spare:
            try:
                return differentiate(step)
            except torch.OutOfMemoryError:
                spare = True
                warnings.warn(
                    f"step {step}: too little memory on the device: activations wait in main memory", stacklevel=2
                )
            optimizer.zero_grad()  # after that block, as an error holds on to its tensors
            torch.cuda.empty_cache()
        with torch.autograd.graph.save_on_cpu(pin_memory=torch.cuda.is_available()):
            return differentiate(step)

    return spared

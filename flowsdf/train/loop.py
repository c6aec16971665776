"""The one training loop. It yields after each loss and before its step: the caller logs, evaluates, or stops."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flowsdf.data.faults import Failed
from flowsdf.train import checkpoint
from flowsdf.train.memory import sparing

CHECK_EVERY = 100  # steps between looks at the loss on devices where looking means waiting
FREE, SHARE = 5, 0.05  # the seconds that writing checkpoints may take, and the share of a run's time besides


class Record(NamedTuple):
    """One step: its loss, detached, and the seconds of training before it, those of interrupted runs included."""

    step: int
    loss: Tensor
    seconds: float


class Average(AveragedModel):
    """A copy of `module`, as `.module`, that `train` keeps at the moving average of its weights: `decay` a step.

    An average over hundreds of steps is as good when taken `every` few of them, and costs less.
    """

    def __init__(self, module: nn.Module, decay: float, *, every: int = 1) -> None:
        super().__init__(module, multi_avg_fn=get_ema_multi_avg_fn(decay**every), use_buffers=False)
        self.every = every


def train(
    loss_at: Callable[[int], Tensor],
    module: nn.Module,
    optimizer: Optimizer,
    *,
    steps: int,
    schedule: Callable[[int], float] = lambda step: 1.0,
    ema: Average | None = None,
    autocast: torch.dtype | None = None,
    folder: Path | None = None,
    every: int = 1000,
    fingerprint: str = "",
) -> Iterator[Record]:
    """Minimise loss_at(step) over `module`, whose device it follows, at the optimizer's rates times schedule(step).

    With a `folder` it keeps a checkpoint `every` steps, fewer where writing takes long (`SHARE`), and one at the end.
    It goes on from the last: exactly, where `loss_at` depends on the step alone (`generator_at`); the records of the
    steps before it are given again. Several processes average their gradients. A step that needs more memory than the
    GPU has is taken again with saved tensors in main memory, as are all later ones (`sparing`). Failed on a loss that
    is not finite, on a checkpoint of another `fingerprint`, and where memory is still too little; SIGTERM and Ctrl-C
    save, then exit 143 and 130.
    """
    accelerator = Accelerator()
    keeper = accelerator.is_main_process and folder is not None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    device = parameters[0].device
    with checkpoint.locked(folder) if keeper else nullcontext(), _signals() as caught, _surroundings():
        done, seconds, log = _resume(folder, fingerprint, module, optimizer, ema)
        log = torch.cat(
            (log.to(device), torch.zeros(max(0, steps - done), 2, device=device))
        )  # (steps, 2): loss, seconds
        for step in range(done):  # so that what the caller averages and draws is that of an uninterrupted run
            yield Record(step, log[step, 0], float(log[step, 1]))
        began, writing, total = time.perf_counter() - seconds, 0.0, torch.zeros((), device=device)
        differentiate = sparing(lambda step: _differentiated(accelerator, loss_at, step, device, autocast), optimizer)
        for step in range(done, steps):
            _set_rates(optimizer, schedule(step))
            optimizer.zero_grad()
            loss = differentiate(step)
            total += loss
            soon = writing > FREE + SHARE * (time.perf_counter() - began)
            keep = ((step + 1) % every == 0 and not soon) or step + 1 == steps
            if keep or device.type == "cpu" or (step + 1) % CHECK_EVERY == 0:
                _require_finite(total, step)
            _average_gradients(accelerator, parameters)
            log[step, 0], log[step, 1] = loss, time.perf_counter() - began
            yield Record(step, loss, time.perf_counter() - began)
            optimizer.step()
            if ema is not None and ((step + 1) % ema.every == 0 or step + 1 == steps):
                ema.update_parameters(module)
            if keeper and (keep or caught):
                state = {**checkpoint.pack(module, optimizer, ema), "log": log[: step + 1]}
                facts = {"step": step + 1, "seconds": time.perf_counter() - began, "fingerprint": fingerprint}
                writing += _save(folder, state, facts)
            if caught:
                return


def _save(folder: Path, state: dict[str, Tensor], facts: dict) -> float:
    """Keep a checkpoint of finite numbers; the seconds that it took."""
    began = time.perf_counter()
    _require_finite(sum(tensor.sum() for tensor in state.values()), facts["step"] - 1)
    checkpoint.save(folder, state, facts)
    return time.perf_counter() - began


@contextmanager
def _surroundings() -> Iterator[None]:
    """Numbers below 1e-38 are zero: the momentum of a dead unit decays to such, and a CPU is slow with them.

    Failed where the device has too little memory.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    except torch.OutOfMemoryError:
        raise Failed("the device has too little memory: lower the batch, or points_per_step, in params/") from None
    finally:
        torch.set_flush_denormal(False)


def _differentiated(
    accelerator: Accelerator,
    loss_at: Callable[[int], Tensor],
    step: int,
    device: torch.device,
    autocast: torch.dtype | None,
) -> Tensor:
    """The loss of a step, detached; its gradients are added to those of the parameters."""
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        loss = loss_at(step)
    accelerator.backward(loss)
    return loss.detach()


def generator_at(seed: int, step: int) -> torch.Generator:
    """The randomness of one step: a function of (seed, step, process), so that resuming needs no saved state."""
    entropy = np.random.SeedSequence(seed, spawn_key=(step, PartialState().process_index))
    return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))


def generator_on(device: torch.device, random: torch.Generator) -> torch.Generator:
    """One on a device, begun at the next number of ``random``: a CPU takes long over the noise of a million weights."""
    return torch.Generator(device).manual_seed(int(torch.randint(2**63 - 1, (), generator=random)))


def cosine(steps: int, *, warmup: int = 0) -> Callable[[int], float]:
    """The learning rate's multiplier: linear over `warmup` steps, then a half cosine to zero (Loshchilov 2017)."""

    def multiplier(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return multiplier


def autocast_dtype(device: torch.device | str = "cpu") -> torch.dtype | None:
    """bfloat16 where the hardware multiplies it faster than float32, else None."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else None
    features = torch.cpu.get_capabilities() if torch.device(device).type == "cpu" else {}
    faster = features.get("amx_bf16") or (features.get("avx512_bf16") and "Intel" not in features.get("cpu_name", ""))
    return torch.bfloat16 if faster else None  # Intel's AVX-512 multiplies bfloat16 at half the rate of float32


def several() -> bool:
    """Whether this process trains together with others."""
    return PartialState().num_processes > 1


def leads() -> bool:
    """Whether this process is the one that writes: the only one, or the first of several that train together."""
    return PartialState().is_main_process


def meet() -> None:
    """Wait for the other processes that train together, where there are any."""
    PartialState().wait_for_everyone()


def best_device() -> torch.device:
    """The device of this process: a GPU where there is one."""
    return Accelerator().device


def _resume(
    folder: Path | None, fingerprint: str, module: nn.Module, optimizer: Optimizer, ema: nn.Module | None
) -> tuple[int, float, Tensor]:
    """Restore the last checkpoint: the steps and seconds that led to it, and the loss and time of each step."""
    found = checkpoint.load(folder, fingerprint) if folder else None
    if found is None:
        return 0, 0.0, torch.zeros(0, 2)
    tensors, facts = found
    checkpoint.unpack(tensors, module, optimizer, ema)
    return facts["step"], facts["seconds"], tensors["log"]


def _set_rates(optimizer: Optimizer, multiplier: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * multiplier


def _require_finite(value: Tensor, step: int) -> None:
    if not torch.isfinite(value):
        raise Failed(f"training diverged by step {step}: lower the learning rate; the last good checkpoint is kept")


def _average_gradients(accelerator: Accelerator, parameters: list[Tensor]) -> None:
    for parameter in parameters if accelerator.num_processes > 1 else []:
        if parameter.grad is not None:
            parameter.grad = accelerator.reduce(parameter.grad, reduction="mean")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them; exit with 128 plus the first one when the block ends."""
    caught: list[int] = []
    try:
        before = {n: signal.signal(n, lambda number, _: caught.append(number)) for n in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread, where signals do not arrive
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            raise SystemExit(128 + caught[0])

"""The training loop: what it computes, and that killing it at any moment changes nothing."""

import math
import multiprocessing
import os
import random
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from flowsdf.data.faults import Failed
from flowsdf.train import checkpoint, fits, loop
from flowsdf.train.loop import Average, Record, autocast_dtype, cosine, generator_at, generator_on, train

torch.set_num_threads(1)
SPAWN = multiprocessing.get_context("forkserver")
SPAWN.set_forkserver_preload(["torch", "flowsdf.train.loop"])
STEPS, EVERY = 60, 4


class Problem:
    """A tiny regression with two learning rates, Adam and an EMA, whose batch depends on (seed, step) alone."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = nn.ModuleDict({"net": nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))})
        self.module["codes"] = nn.Embedding(5, 3)
        rates = [{"params": self.module[name].parameters(), "lr": lr} for name, lr in (("net", 1e-2), ("codes", 1e-3))]
        self.optimizer = torch.optim.Adam(rates)
        self.ema = Average(self.module, 0.9)
        self.calls = 0

    def loss_at(self, step: int) -> torch.Tensor:
        self.calls += 1
        generator = generator_at(7, step)
        x = torch.randn(16, 3, generator=generator) + self.module["codes"](torch.randint(5, (16,), generator=generator))
        return (self.module["net"](x) - x.sum(1, keepdim=True)).square().mean()

    def train(self, folder: Path | None = None, steps: int = STEPS, fingerprint: str = "a", every: int = EVERY):
        options = {"schedule": cosine(STEPS, warmup=5), "ema": self.ema, "fingerprint": fingerprint, "every": every}
        return train(self.loss_at, self.module, self.optimizer, steps=steps, folder=folder, **options)

    def state(self) -> dict[str, torch.Tensor]:
        return {k: t.clone() for k, t in checkpoint.pack(self.module, self.optimizer, self.ema).items()}


def uninterrupted(steps: int = STEPS) -> dict[str, torch.Tensor]:
    problem = Problem()
    list(problem.train(steps=steps))
    return problem.state()


def assert_same(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_equals_a_loop_written_out() -> None:
    problem, plain = Problem(), Problem()
    records = list(problem.train())
    schedule = cosine(STEPS, warmup=5)
    average = {k: v.clone() for k, v in plain.module.state_dict().items()}
    for step in range(STEPS):
        for group, lr in zip(plain.optimizer.param_groups, (1e-2, 1e-3), strict=True):
            group["lr"] = lr * schedule(step)
        plain.optimizer.zero_grad()
        loss = plain.loss_at(step)
        assert records[step].loss == loss.detach()
        loss.backward()
        plain.optimizer.step()
        weight = 0.1 if step else 1.0  # the average starts as a copy
        average = {k: torch.lerp(average[k], v, weight) for k, v in plain.module.state_dict().items()}
    torch.testing.assert_close(problem.module.state_dict(), plain.module.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(problem.ema.module.state_dict(), average)
    assert records[-1].loss < 0.6 * records[0].loss
    assert [r.step for r in records] == list(range(STEPS))
    assert all(a.seconds <= b.seconds for a, b in zip(records, records[1:], strict=False))


def test_yields_before_the_step() -> None:
    problem = Problem()
    before = problem.module["net"][0].weight.detach().clone()
    assert isinstance(record := next(problem.train()), Record)
    assert not record.loss.requires_grad
    assert torch.equal(problem.module["net"][0].weight, before)
    assert problem.module["net"][0].weight.grad.abs().max() > 0


def test_the_momentum_of_a_dead_weight_ends_at_zero_and_tiny_numbers_live_outside() -> None:
    weight = nn.Embedding(1, 4)
    optimizer = torch.optim.Adam(weight.parameters(), lr=1e-3, fused=True)
    for _ in train(lambda step: weight.weight.sum() * (step == 0), weight, optimizer, steps=1500):
        pass
    momentum = optimizer.state[weight.weight]["exp_avg"]
    assert not momentum.any(), f"{momentum.max()} left of a gradient of one, where 0.9^1500 rounds to zero"
    assert torch.full((4,), 1e-40).mul(0.5).all()


def test_randomness_of_a_step_is_its_own() -> None:
    draws = [torch.rand(3, generator=generator_at(*key)) for key in ((0, 1), (1, 0), (0, 2), (1, 1))]
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])
    assert torch.equal(draws[0], torch.rand(3, generator=generator_at(0, 1)))


def test_randomness_on_a_device_follows_that_of_the_step() -> None:
    draws = [torch.rand(4, generator=generator_on(torch.device("cpu"), generator_at(1, step))) for step in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    both = generator_at(1, 0)
    first, second = (torch.rand(4, generator=generator_on(torch.device("cpu"), both)) for _ in range(2))
    assert torch.equal(first, draws[0]) and not torch.equal(first, second)


def test_cosine_schedule() -> None:
    schedule = cosine(110, warmup=10)
    assert [schedule(s) for s in (0, 9, 10)] == [0.1, 1.0, 1.0]
    assert math.isclose(schedule(60), 0.5)
    assert math.isclose(schedule(110), 0.0, abs_tol=1e-12)


def test_autocast_follows_the_hardware() -> None:
    assert autocast_dtype("cpu") in (None, torch.bfloat16)
    assert autocast_dtype("meta") is None


def test_resumes_twice_exactly_and_rests_when_finished(tmp_path: Path) -> None:
    for stop in (10, 31, STEPS):
        problem = Problem()
        steps = [record.step for record in problem.train(tmp_path, stop)]
    assert steps == list(range(STEPS))  # those before the checkpoint are told again
    assert_same(problem.state(), uninterrupted())
    again = Problem()
    assert [record.step for record in again.train(tmp_path)] == list(range(STEPS))
    assert_same(again.state(), uninterrupted())


def test_abandoned_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    for record in Problem().train(tmp_path):
        if record.step == 22:
            break
    problem = Problem()
    assert [r.step for r in problem.train(tmp_path)] == list(range(STEPS))
    assert problem.calls == STEPS - 20
    assert_same(problem.state(), uninterrupted())


def test_checkpoints_that_take_long_are_fewer(tmp_path: Path, monkeypatch) -> None:
    kept, save = [], checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *parts: kept.append(parts[2]["step"]) or save(*parts))
    list(Problem().train(tmp_path / "often", steps=12))
    monkeypatch.setattr(loop, "FREE", 0.0)
    monkeypatch.setattr(loop, "SHARE", 0.0)
    list(Problem().train(tmp_path / "seldom", steps=12))
    assert kept == [4, 8, 12] + [4, 12]


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    list(Problem().train(tmp_path, 4))
    with pytest.raises(Failed, match="another configuration"):
        list(Problem().train(tmp_path, fingerprint="b"))


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    running = Problem().train(tmp_path)
    next(running)
    with pytest.raises(Failed, match="another run"):
        next(Problem().train(tmp_path))
    running.close()
    next(Problem().train(tmp_path))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path, bad: float) -> None:
    problem, seen = Problem(), []
    honest = problem.loss_at
    problem.loss_at = lambda step: honest(step) * (bad if step == 9 else 1)
    with pytest.raises(Failed, match="diverged by step 9"):
        seen += [record.step for record in problem.train(tmp_path)]
    tensors, facts = checkpoint.load(tmp_path, "a")
    assert facts["step"] == 8
    assert all(t.isfinite().all() for t in tensors.values())


def test_broken_weights_are_never_kept(tmp_path: Path) -> None:
    problem = Problem()
    with pytest.raises(Failed, match="diverged"):
        for record in problem.train(tmp_path):
            if record.step == 7:  # the loss was still finite
                problem.module["net"][0].weight.grad.fill_(math.nan)
    assert checkpoint.load(tmp_path, "a")[1]["step"] == 4


def run_slowly(folder: Path) -> None:
    torch.set_num_threads(1)
    for _ in Problem().train(folder, every=1):
        time.sleep(0.002)


def started(folder: Path) -> multiprocessing.Process:
    """A training process that has written at least one more checkpoint."""
    process, before = SPAWN.Process(target=run_slowly, args=(folder,)), sorted(folder.glob("*.json"))
    process.start()
    deadline = time.monotonic() + 60
    while sorted(folder.glob("*.json")) == before and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)
    return process


def test_killed_at_any_moment_it_ends_with_the_same_tensors(tmp_path: Path) -> None:
    moments = random.Random(0)
    interrupted = 0
    for _ in range(10):
        process = started(tmp_path)
        time.sleep(moments.uniform(0, 0.03))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        interrupted += process.exitcode == -signal.SIGKILL
    problem = Problem()
    list(problem.train(tmp_path))
    assert interrupted >= 3
    assert_same(problem.state(), uninterrupted())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_saves_and_exits(tmp_path: Path, number: int, code: int) -> None:
    def interrupted() -> None:
        for record in problem.train(tmp_path, every=1000):
            if record.step == 13:
                os.kill(os.getpid(), number)

    problem, handler = Problem(), signal.getsignal(number)
    with pytest.raises(SystemExit) as ending:
        interrupted()
    assert ending.value.code == code
    assert signal.getsignal(number) is handler
    assert checkpoint.load(tmp_path, "a")[1]["step"] == 14
    resumed = Problem()
    list(resumed.train(tmp_path))
    assert_same(resumed.state(), uninterrupted())


def test_too_little_memory_is_said_in_a_line() -> None:
    def loss_at(step: int) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    module = torch.nn.Linear(1, 1)
    with (
        pytest.warns(UserWarning, match="step 0"),
        pytest.raises(Failed, match="the device has too little memory: lower the batch"),
    ):
        list(train(loss_at, module, torch.optim.SGD(module.parameters()), steps=1))


def test_a_step_too_large_for_the_device_is_taken_with_less_memory_to_the_same_result(monkeypatch) -> None:
    problem, asked, spared = Problem(), [], []
    packed = torch.autograd.graph.saved_tensors_hooks(lambda t: spared.append(1) or t.clone(), torch.clone)
    monkeypatch.setattr(torch.autograd.graph, "save_on_cpu", lambda **_: packed)  # which copies nothing on a CPU
    plain = problem.loss_at

    def loss_at(step: int) -> torch.Tensor:
        asked.append(step)
        if asked.count(5) == 1 and step == 5:
            plain(step).backward()  # gradients are half done when memory ends
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return plain(step)

    problem.loss_at = loss_at
    with pytest.warns(UserWarning, match="step 5: too little memory on the device: activations wait in main memory"):
        list(problem.train())
    assert asked == [*range(6), *range(5, STEPS)] and len(spared) > STEPS - 5
    assert_same(problem.state(), uninterrupted())


def study(*, folder: Path, steps: int) -> tuple[dict[str, torch.Tensor], dict]:
    problem = Problem()
    list(problem.train(folder, steps=steps))
    return problem.state(), {}


study.__module__ = "flowsdf.models.deepsdf"  # whose source a fit can hash


def run_as(rank: int, port: int, folder: Path) -> None:
    """One of two processes, as `accelerate launch` starts them."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, ACCELERATE_USE_CPU="true")
    torch.set_num_threads(1)
    problem = Problem()
    list(problem.train(folder / "run", steps=5))
    first = torch.rand(1, generator=generator_at(7, 0))
    checkpoint.write(folder / f"{rank}.safetensors", {**problem.state(), "draw": first}, {})
    for _ in range(2):  # made, then found
        fit = fits.fit(study, store=folder / "store", name="both", parameters={"steps": 5}, inputs={})
    job = fits.Job(study, (), {"steps": 4}, {})
    both = fits.fit_all({"one": job, "two": job}, store=folder / "store")  # without workers of their own
    assert_same(fit.tensors, problem.state())
    assert_same(both["one"].tensors, both["two"].tensors)
    (folder / f"{rank}.fitted").touch()


def test_two_processes_draw_apart_and_step_together(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [SPAWN.Process(target=run_as, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    one, two = (checkpoint.read(tmp_path / f"{rank}.safetensors")[0] for rank in (0, 1))
    assert one.pop("draw") != two.pop("draw")
    assert_same(one, two)
    kept, _ = checkpoint.load(tmp_path / "run", "a")
    assert len(kept.pop("log")) == 5
    assert_same(kept, one)
    assert (tmp_path / "0.fitted").exists() and (tmp_path / "1.fitted").exists()
    assert not torch.equal(one["module.net.0.weight"], uninterrupted(5)["module.net.0.weight"])

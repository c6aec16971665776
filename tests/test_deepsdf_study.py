"""DeepSDF as an experiment: batches, a fit that learns, resumes bit for bit, and gives its shapes back."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from flowsdf.data.faults import Failed
from flowsdf.geometry.extract import extract_dense
from flowsdf.geometry.mesh import is_watertight, volume
from flowsdf.models.deepsdf import clamped_l1, field
from flowsdf.studies import deepsdf
from flowsdf.studies.deepsdf import batch_at

RADII = (0.4, 0.7)
NUMBERS = {
    "width": 32,
    "depth": 4,
    "steps": 300,
    "shapes_per_step": 2,
    "points_per_step": 256,
    "decoder_rate": 5e-3,
    "latent_rate": 2e-2,
    "ema": 0.97,
    "seed": 0,
}


def balls(radii=RADII, count: int = 3000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and distances of balls around the origin: half near each surface, half uniform."""
    rng, surface = np.random.default_rng(seed), np.array(radii)[:, None, None]
    near = rng.normal(size=(len(radii), count // 2, 3))
    near *= (surface + 0.05 * rng.normal(size=(len(radii), count // 2, 1))) / np.linalg.norm(
        near, axis=2, keepdims=True
    )
    points = np.concatenate([near, rng.uniform(-1, 1, (len(radii), count - count // 2, 3))], axis=1)
    return deepsdf.as_tensors(points, np.linalg.norm(points, axis=2) - surface[..., 0])


@pytest.fixture(scope="module")
def fitted() -> tuple[dict[str, torch.Tensor], dict]:
    tensors, facts = deepsdf.fit_decoder(*balls(), folder=None, **NUMBERS)
    return {name: tensor.detach() for name, tensor in tensors.items()}, facts


def test_an_epoch_visits_every_shape_once():
    for epoch in range(3):
        seen = torch.cat([batch_at(0, 5 * epoch + step, 20, 100, 4, 8)[0] for step in range(5)])
        assert sorted(seen.tolist()) == list(range(20))
    first, second = ([batch_at(0, 5 * e + s, 20, 100, 4, 8)[0].tolist() for s in range(5)] for e in (0, 1))
    assert first != second


def test_where_shapes_do_not_divide_none_comes_twice_and_all_come_in_the_end():
    seen = [batch_at(3, step, 7, 50, 3, 4)[0].tolist() for step in range(60)]  # two steps an epoch
    assert all(len({*a, *b}) == 6 for a, b in zip(seen[::2], seen[1::2], strict=True))
    visits = np.bincount(np.concatenate(seen), minlength=7)
    assert visits.min() > 0.6 * visits.mean()


def test_batches_follow_seed_and_step_only():
    shapes, chosen = batch_at(1, 7, 10, 1000, 4, 64)
    assert chosen.shape == (4, 64) and chosen.min() >= 0 and chosen.max() < 1000
    assert len(set(chosen.flatten().tolist())) > 200
    again = batch_at(1, 7, 10, 1000, 4, 64)
    assert torch.equal(again[0], shapes) and torch.equal(again[1], chosen)
    assert not torch.equal(batch_at(2, 7, 10, 1000, 4, 64)[1], chosen)
    assert not torch.equal(batch_at(1, 8, 10, 1000, 4, 64)[1], chosen)


def test_fewer_shapes_than_a_step_takes():
    shapes, chosen = batch_at(0, 5, 3, 10, 4, 6)
    assert sorted(shapes.tolist()) == [0, 1, 2] and chosen.shape == (3, 6)


def test_two_balls_are_learnt(fitted):
    tensors, facts = fitted
    decoder, latents = deepsdf.restore(tensors)
    errors = deepsdf.error_per_shape(decoder, latents, *balls(seed=1))
    assert errors.shape == (2,) and errors.max() < 0.006
    assert latents.shape == (2, 64) and not decoder.training
    curve = np.array(facts["curve"])
    assert curve[0, 0] == 0 and curve[-1, 0] == 299 and len(curve) == 61
    assert curve[-1, 2] < 0.15 * curve[0, 2] and (np.diff(curve[:, 1]) >= 0).all()


def test_error_per_shape_is_the_mean_over_all_points(fitted):
    decoder, latents = deepsdf.restore(fitted[0])
    points, sdf = balls(count=500, seed=2)
    expected = [clamped_l1(decoder(z, p), s).mean() for z, p, s in zip(latents, points, sdf, strict=True)]
    torch.testing.assert_close(deepsdf.error_per_shape(decoder, latents, points, sdf), torch.stack(expected))


def test_restore_finds_the_size_in_the_weights(fitted):
    decoder, latents = deepsdf.restore(fitted[0])
    assert len(decoder.hidden) == 4 and decoder.out.in_features == 32
    for name, weight in decoder.state_dict().items():
        assert torch.equal(weight.cpu(), fitted[0][f"decoder.{name}"].cpu())
    assert torch.equal(latents, fitted[0]["latents"])


def test_the_fitted_field_extracts_as_densely_evaluated(fitted):
    decoder, latents = deepsdf.restore(fitted[0])
    ours = deepsdf.surfaces(decoder, latents, 64)
    for surface, latent, radius in zip(ours, latents, RADII, strict=True):
        dense = extract_dense(field(decoder, latent), 64)
        np.testing.assert_array_equal(surface.mesh.faces, dense.mesh.faces)
        np.testing.assert_allclose(surface.mesh.vertices, dense.mesh.vertices, atol=1e-5)
        assert is_watertight(surface.mesh)
        assert volume(surface.mesh) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.1)


@pytest.mark.parametrize("count", [0, 1])
def test_one_shape_is_not_enough_for_a_space_of_codes(count):
    with pytest.raises(Failed, match=f"^{count} usable training shape.*add a second mesh"):
        deepsdf.enough(["only"] * count)
    assert deepsdf.enough(["a", "b"]) == ["a", "b"]


def test_the_path_is_straight_and_has_both_ends():
    a, b = torch.randn(2, 64)
    codes = deepsdf.path(a, b, 5)
    assert codes.shape == (5, 64)
    assert torch.equal(codes[0], a) and torch.equal(codes[-1], b)
    torch.testing.assert_close(codes[1:] - codes[:-1], ((b - a) / 4).expand(4, -1), atol=1e-6, rtol=0)


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np, torch
import torch._dynamo  # which an optimizer imports: for two seconds in every child, were it not here
from flowsdf.studies import deepsdf
from flowsdf.train import checkpoint, fits

torch.set_num_threads(1)
place, train = Path(sys.argv[1]), deepsdf.train
numbers = dict(width=16, depth=4, steps=160, shapes_per_step=2, points_per_step=64,
               decoder_rate=1e-3, latent_rate=1e-3, ema=0.97, seed=0)

def run(store):
    read, write = os.pipe()
    if child := os.fork():
        os.close(write)
        return child, read

    def told(loss_at, *rest, every, **settings):
        return train(lambda step: (os.write(write, b"."), loss_at(step))[1], *rest, every=10, **settings)

    deepsdf.train, sys.stderr = told, open(os.devnull, "w")
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform(-1, 1, (3, 500, 3)).astype(np.float32))
    sdf = points.norm(dim=-1) - torch.tensor([[0.3], [0.5], [0.7]])
    fits.fit(deepsdf.fit_decoder, points, sdf, store=store, name="smoke", parameters=numbers, inputs={})
    os._exit(0)

def finished(store):
    child, read = run(store)
    while os.read(read, 4096):
        pass
    assert os.waitpid(child, 0)[1] == 0
    return checkpoint.read(next(store.glob("smoke-*/result.safetensors")))

deepsdf.best_device()
moments, killed, resumed = random.Random(0), 0, 0
for _ in range(10):
    resumed += any((place / "killed").glob("smoke-*/checkpoints/*.json"))
    child, read = run(place / "killed")
    for _ in range(moments.randint(1, 32)):  # steps of this run
        os.read(read, 1)
    time.sleep(moments.uniform(0, 0.002))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    os.close(read)
(a, facts), (b, other) = finished(place / "killed"), finished(place / "whole")
same = a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
losses = [[(step, loss) for step, _, loss in run["curve"]] for run in (facts, other)]
print(killed, resumed, same, losses[0] == losses[1], facts["fingerprint"] == other["fingerprint"])
"""


def test_killed_at_ten_random_moments_it_ends_with_the_same_tensors(tmp_path: Path):
    """A smoke-sized fit, each run forked from one process that has imported everything."""
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    killed, resumed, *agreed = done.stdout.split()
    assert int(killed) == 10 and int(resumed) >= 5
    assert agreed == ["True", "True", "True"]

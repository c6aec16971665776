"""The search for the latent of an unseen shape: its derivatives, one step in closed form, and what it finds."""

import pickle

import numpy as np
import pytest
import torch
from test_deepsdf_study import NUMBERS, balls

from flowsdf.data.faults import Failed
from flowsdf.models.deepsdf import CLAMP, LATENT_PENALTY, DeepSDF, by_latent, clamped_l1
from flowsdf.studies import deepsdf, latent_benchmarks, latent_fit


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return deepsdf.fit_decoder(*balls(), folder=None, **NUMBERS)[0]


@pytest.fixture(scope="module")
def between(tensors) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The codes of one ball and of half both, and what the decoder makes of them at new points."""
    decoder, latents = deepsdf.restore(tensors)
    codes, (points, _) = torch.stack([latents[0], 0.5 * latents.sum(0)]), balls(seed=3)
    return codes.detach(), points, decoder(codes, points).detach()


@pytest.mark.parametrize("sizes", [(24, 3), (16, 5)])
def test_derivatives_by_the_latent_are_those_of_each_point_alone(sizes):
    torch.manual_seed(0)
    decoder, latent, points = DeepSDF(*sizes), 0.5 * torch.randn(64), torch.rand(9, 3) - 0.5
    values, slopes = by_latent(decoder, latent, points)
    assert values.shape == (9,) and slopes.shape == (9, 64) and not values.requires_grad
    for value, slope, point in zip(values, slopes, points, strict=True):
        own = latent.clone().requires_grad_()
        alone = decoder(own, point[None])
        torch.testing.assert_close(value, alone[0].detach())
        torch.testing.assert_close(slope, torch.autograd.grad(alone.sum(), own)[0], atol=1e-6, rtol=1e-4)
    assert torch.equal(torch.no_grad()(by_latent)(decoder, latent, points)[1], slopes)


def test_a_step_solves_the_weighted_squares(tensors):
    decoder, latents = deepsdf.restore(tensors)
    latents = latents.detach()
    start, (points, sdf) = latents[0] + 0.3 * (latents[1] - latents[0]), (part[0, ::7] for part in balls(seed=4))
    values, slopes = by_latent(decoder, start, points)
    within, damping = values.abs() < CLAMP, 0.2
    assert 50 < within.sum() < len(points)  # and beyond the clamp are others, of no weight
    error = (values.clamp(-CLAMP, CLAMP) - sdf.clamp(-CLAMP, CLAMP)).double().numpy()
    root = np.sqrt(within.numpy() / (np.abs(error) + latent_fit.EDGE) / len(points))
    rows, penalty = root[:, None] * slopes.double().numpy(), 2 * LATENT_PENALTY
    extra = damping * ((rows**2).sum() / 64 + penalty)  # the mean of the curvature's diagonal
    one, code = np.eye(64), start.double().numpy()
    system = np.concatenate([rows, np.sqrt(penalty) * one, np.sqrt(extra) * one])
    wanted = np.concatenate([-root * error, -np.sqrt(penalty) * code, np.zeros(64)])
    expected = code + np.linalg.lstsq(system, wanted, rcond=None)[0]
    after, before = latent_fit.improved(decoder, start, points, sdf, damping=damping)
    np.testing.assert_allclose(after.numpy(), expected, atol=2e-4)
    torch.testing.assert_close(before, clamped_l1(values, sdf))


def test_where_no_point_tells_anything_the_code_stays_finite_and_shrinks(tensors):
    decoder, latents = deepsdf.restore(tensors)
    far = torch.full((5, 3), 3.0)
    after, error = latent_fit.improved(decoder, latents[0], far, torch.ones(5), damping=0.3)
    assert torch.equal(error, torch.zeros(5)) and after.norm() < latents[0].norm()


def test_an_unseen_shape_gets_the_latent_that_decodes_to_it(tensors, between):
    decoder, latents = deepsdf.restore(tensors)
    _, points, truth = between
    found, facts = latent_fit.fit_latents(tensors, points, truth, folder=None, steps=30, seed=0)
    assert found["latents"].shape == (2, 64) and 0 < facts["loss"] < 0.005
    mean = latents.mean(0).repeat(2, 1)
    start, _ = latent_fit.fit_latents(tensors, points, truth, folder=None, steps=1, seed=0)
    torch.testing.assert_close(start["latents"], mean.detach())
    before = deepsdf.error_per_shape(decoder, mean, points, truth)
    after = deepsdf.error_per_shape(decoder, found["latents"], points, truth)
    assert before[0] > 0.01 and after[0] < 0.1 * before[0] and after[1] < 0.003
    for name, weight in decoder.state_dict().items():  # the decoder stays as it was
        assert torch.equal(weight.cpu(), tensors[f"decoder.{name}"].cpu())


def test_a_shape_s_latent_is_its_own_and_its_task_takes_no_other_s_points_along(tensors, monkeypatch):
    points, sdf = balls((0.3, 0.5, 0.6, 0.4, 0.7), seed=6)
    sent = []

    def elsewhere(search, tasks, *, label):
        sent.extend(pickle.dumps(task) for task in tasks)
        return [search(pickle.loads(task)) for task in sent]

    with monkeypatch.context() as patched:
        patched.setattr(latent_fit, "each", elsewhere)
        found, _ = latent_fit.fit_latents(tensors, points, sdf, folder=None, steps=6, seed=0)
    numbers = sum(t.numel() for t in tensors.values()) + 6 * latent_fit.POINTS * 4
    assert not found["latents"].requires_grad and max(map(len, sent)) < 4 * numbers + 20_000
    alone, _ = latent_fit.fit_latents(tensors, points[3:4], sdf[3:4], folder=None, steps=6, seed=0)
    torch.testing.assert_close(alone["latents"], found["latents"][3:4])


def test_a_step_too_far_is_taken_back_and_the_next_are_shorter(tensors, between, monkeypatch):
    _, points, truth = between
    real, asked = latent_fit.improved, []

    def wild_once(decoder, latent, at, sdf, *, damping):
        after, error = real(decoder, latent, at, sdf, damping=damping)
        asked.append((latent, damping))
        return (after + 9.0 if len(asked) == 3 else after), error

    monkeypatch.setattr(latent_fit, "improved", wild_once)
    found, facts = latent_fit.fit_latents(tensors, points[:1], truth[:1], folder=None, steps=20, seed=0)
    assert torch.equal(asked[4][0], asked[2][0]) and asked[3][0].norm() > 60
    usual = np.geomspace(*latent_fit.DAMPING, 20)
    np.testing.assert_allclose(
        [damping for _, damping in asked], usual * np.where(np.arange(20) < 4, 1, latent_fit.CAUTION)
    )
    assert facts["loss"] < 0.005 and found["latents"].norm() < 10


def test_distances_that_are_not_finite_are_said_in_a_line(tensors):
    points, sdf = balls(seed=7)
    sdf[1] = float("nan")
    with pytest.raises(Failed, match="the search for a latent diverged: are all distances of the shapes finite"):
        latent_fit.fit_latents(tensors, points, sdf, folder=None, steps=3, seed=0)


def test_it_ends_nearer_than_six_times_as_many_steps_of_adam(tensors):
    decoder, latents = deepsdf.restore(tensors)
    points, sdf = balls((0.5, 0.6, 0.3), seed=5)
    found, _ = latent_fit.fit_latents(tensors, points, sdf, folder=None, steps=30, seed=0)
    plain = latent_benchmarks.latents_by_adam(decoder, latents.mean(0), points, sdf, steps=180)
    ours, theirs = (deepsdf.error_per_shape(decoder, z, points, sdf) for z in (found["latents"], plain))
    assert ours.mean() < theirs.mean() and (ours < 1.05 * theirs).all()

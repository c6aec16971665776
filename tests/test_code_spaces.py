"""Spaces of codes: their losses in closed form, their paths, and the measures of what lies between two codes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flowsdf.conventions import Surface
from flowsdf.geometry.extract import isosurface
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.studies import code_spaces

SIZES = {"width": 16, "depth": 4, "steps": 4, "shapes_per_step": 2, "points_per_step": 32, "seed": 0}
SIZES |= {"decoder_rate": 1e-3, "latent_rate": 1e-3, "ema": 0.5}


def ball(radius: float, centre: float = 0.0, other: float | None = None) -> Surface:
    """A ball on the x axis, with a second one of the same size where ``other`` says."""
    axis = np.linspace(-1, 1, 32)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    centres = [centre] if other is None else [centre, other]
    grid = np.min([np.sqrt((x - c) ** 2 + y**2 + z**2) - radius for c in centres], axis=0)
    return Surface(isosurface(grid), grid)


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_spread = torch.randn(5, 64), torch.randn(5, 64)
    ours, standard = torch.distributions.Normal(mean, log_spread.exp()), torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(ours, standard).sum(-1)
    assert torch.allclose(code_spaces.kl_divergence(mean, log_spread), expected, rtol=1e-5)


class Made(DeepSDF):
    """A decoder whose field is a power of the code's first number, plus a plane."""

    def __init__(self, power: int) -> None:
        super().__init__(8, 4)
        self.power = power

    def forward(self, codes: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return 0.01 * (codes[:, :1] ** self.power + points.sum(-1))


def test_fields_that_are_linear_in_the_code_blend_without_loss() -> None:
    codes, others = torch.full((2, 64), 1.0), torch.full((2, 64), -1.0)
    half, none, points = torch.full((2, 1), 0.5), torch.zeros(2, 1), torch.rand(2, 20, 3)
    assert code_spaces.blend_loss(Made(1), codes, others, half, points) < 1e-8
    assert code_spaces.blend_loss(Made(2), codes, others, half, points) == pytest.approx(
        0.01
    )  # 1 at both ends, 0 between
    assert code_spaces.blend_loss(Made(2), codes, others, none, points) < 1e-8


def test_gaussian_codes_are_held_by_their_divergence_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def caught(model, *_, given, penalty, **__):
        seen.update(model=model, given=given, penalty=penalty)
        raise InterruptedError

    monkeypatch.setattr(code_spaces, "train_codes", caught)
    points = torch.rand(4, 100, 3)
    with pytest.raises(InterruptedError):
        code_spaces.fit_space(points, points[..., 0], folder=None, space="Gaussian", weight=5e-6, **SIZES)
    model = seen["model"]
    model.latents.weight.data.fill_(2.0)
    model.log_spread.weight.data.fill_(np.log(0.5))
    codes, extra = seen["given"](0, torch.arange(4), points)
    (extra + seen["penalty"] * codes.square().sum(-1).mean()).backward()  # with what the objective adds
    assert torch.allclose(4 * model.latents.weight.grad, torch.tensor(5e-6 * 2.0))
    assert torch.allclose(4 * model.log_spread.weight.grad, torch.tensor(5e-6 * (0.5**2 - 1)))


@pytest.mark.parametrize("space", code_spaces.SPACES)
def test_every_space_is_fitted_and_resumes(space: str, tmp_path: Path) -> None:
    points, sdf = torch.rand(4, 100, 3), 0.2 * torch.rand(4, 100) - 0.1
    fit = lambda folder: code_spaces.fit_space(points, sdf, folder=folder, space=space, weight=1e-3, **SIZES)[0]  # noqa: E731
    whole, again = fit(None), fit(tmp_path)
    assert all(torch.equal(whole[name], tensor) for name, tensor in again.items())
    norms = whole["latents"].norm(dim=-1)
    assert whole["latents"].shape == (4, 64) and torch.allclose(norms, torch.ones(4)) == (space == "sphere")
    assert not any("spread" in name for name in whole)


def test_another_space_is_refused() -> None:
    with pytest.raises(ValueError, match="no such space of codes"):
        code_spaces.fit_space(torch.rand(2, 9, 3), torch.rand(2, 9), folder=None, space="cube", weight=0.0, **SIZES)


def test_a_path_on_the_sphere_stays_there() -> None:
    a, b = torch.nn.functional.normalize(torch.randn(2, 64), dim=-1)
    on_sphere, straight = (code_spaces.between(a, b, 5, space) for space in ("sphere", "plain"))
    assert torch.allclose(on_sphere.norm(dim=-1), torch.ones(5)) and straight[2].norm() < 1
    assert torch.allclose(on_sphere[[0, -1]], torch.stack((a, b)), atol=1e-6)


def test_pairs_are_of_shapes_of_one_piece() -> None:
    pairs = code_spaces.single_pairs([1, 2, 1, 1, 3, 1], 5, seed=0)
    assert pairs.shape == (5, 2) and set(pairs.ravel()) == {0, 2, 3, 5} and (pairs[:, 0] != pairs[:, 1]).all()
    assert len(code_spaces.single_pairs([2, 1], 5, seed=0)) == 0


def test_a_path_that_jumps_has_its_whole_change_in_one_step() -> None:
    even = [ball(0.3, centre) for centre in (-0.6, -0.3, 0.0, 0.3, 0.6)]
    jump = [ball(0.3, -0.5)] * 3 + [ball(0.3, 0.5)] * 2
    assert code_spaces.largest_step(even) == pytest.approx(0.25, abs=0.01)
    assert code_spaces.largest_step(jump) == 1.0 and np.isnan(code_spaces.largest_step(jump[:2]))


def test_a_broken_middle_is_counted() -> None:
    whole = [ball(0.3, centre) for centre in (-0.5, 0.0, 0.5)]
    broken = [whole[0], ball(0.2, -0.5, 0.5), whole[2]]
    empty = [whole[0], ball(-0.1), whole[2]]
    line = code_spaces.path_line([whole, whole, broken, empty])
    assert line["ends"] == 1.0 and line["midpoints"] == 0.5 and line["midpoints low"] < 0.5 < line["midpoints high"]


def test_specks_do_not_break_a_piece() -> None:
    speck, half = ball(0.5), ball(0.3, -0.5, 0.5)
    speck.grid[1, 1, 1] = -0.1
    assert code_spaces.in_one_piece(speck) and not code_spaces.in_one_piece(half)
    table = code_spaces.one_piece({"a": [speck, half, half], "b": [half, speck, half]}, [True, True, False])
    assert table["one piece"].to_list() == [0.5, 0.5] and table.n.to_list() == [2, 2]


def test_the_error_of_the_mean_code_is_one() -> None:
    codes = torch.randn(500, 64)
    error = code_spaces.code_error(codes.mean(0).expand_as(codes), codes)
    assert np.sqrt((error**2).mean()) == pytest.approx(1.0, rel=1e-4) and not code_spaces.code_error(codes, codes).any()

"""Per-shape decoders: fitted side by side as alone, and what noise does to them."""

import numpy as np
import pytest
import torch

from flowsdf.evaluation import alignment
from flowsdf.geometry import implicit
from flowsdf.geometry.extract import extract
from flowsdf.studies import pershape
from flowsdf.studies.solids import on_tensors

torch.set_num_threads(1)
SMALL = {"width": 64, "depth": 2, "sine": False}
NUMBERS = {"steps": 600, "points_per_step": 256, "rate": 3e-3, "seed": 0}


@pytest.fixture(scope="module")
def balls() -> tuple[torch.Tensor, torch.Tensor]:
    points = torch.rand(2, 4000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fields = [on_tensors(implicit.sphere(radius)) for radius in (0.4, 0.7)]
    return points, torch.stack([field(at) for field, at in zip(fields, points, strict=True)])


def test_side_by_side_is_as_alone(balls: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The same start and points lead to the same weights, whoever is beside."""
    points, sdf = (part[:1].repeat(3, *[1] * (part.ndim - 1)) for part in balls)
    start = pershape.starts(1, seed=0, **SMALL)
    few = NUMBERS | {"steps": 5}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randint", lambda high, size, generator: torch.arange(size[1]).expand(size))
        three, facts = pershape.fit_decoders(points, sdf, start, folder=None, **SMALL, **few)
        alone, other = pershape.fit_decoders(points[:1], sdf[:1], start, folder=None, **SMALL, **few)
    assert three["vectors"].shape == (3, start.shape[1])
    torch.testing.assert_close(three["vectors"], alone["vectors"].expand_as(three["vectors"]), atol=1e-5, rtol=1e-3)
    assert facts["curve"][-1][2] == pytest.approx(other["curve"][-1][2], rel=0.01)


def test_starts_are_each_their_own_and_come_again() -> None:
    one, again = (pershape.starts(3, seed=4, **SMALL) for _ in range(2))
    assert torch.equal(one, again) and (one[0] - one[1]).norm() > 1
    assert not torch.equal(one, pershape.starts(3, seed=5, **SMALL))


@pytest.mark.parametrize("sine", [False, True])
def test_two_balls_are_learned_and_noise_destroys_them(balls: tuple[torch.Tensor, torch.Tensor], sine: bool) -> None:
    shape = SMALL | {"sine": sine}
    start = pershape.starts(2, seed=0, **shape)
    rate = 1e-3 if sine else 3e-3
    tensors, facts = pershape.fit_decoders(*balls, start, folder=None, **shape, **(NUMBERS | {"rate": rate}))
    decoders = pershape.restore(tensors["vectors"], **shape)
    error = pershape.error_per_shape(decoders, *balls)
    assert error.shape == (2,) and float(error.max()) < 0.012
    assert facts["curve"][-1][2] == pytest.approx(float(error.mean()), rel=1)
    radii = [np.linalg.norm(extract(f, 33).mesh.vertices, axis=1).mean() for f in pershape.fields(decoders)]
    assert radii == pytest.approx([0.4, 0.7], abs=0.03)
    errors = [float(pershape.error_per_shape(pershape.noisy(decoders, s, seed=0), *balls).mean()) for s in (0, 0.05, 1)]
    assert errors[0] == pytest.approx(float(error.mean())) and errors[0] < errors[1] < errors[2]


def test_noise_has_the_size_it_is_said_to_have() -> None:
    decoders = pershape.restore(
        pershape.starts(2, seed=0, width=128, depth=4, sine=False), width=128, depth=4, sine=False
    )
    changed = pershape.noisy(decoders, 0.3, seed=1)
    for part, other in zip(decoders.weights[:4], changed.weights[:4], strict=True):
        ratio = (other - part).flatten(1).norm(dim=1) / part.flatten(1).norm(dim=1)
        torch.testing.assert_close(ratio, torch.full_like(ratio, 0.3), atol=0.02, rtol=0)


def test_the_barrier_is_none_along_the_output_and_high_between_two_orders_of_units() -> None:
    """Fields that differ by their last bias interpolate; a decoder and itself in another order of units do not."""
    shape = {"width": 64, "depth": 2, "sine": False}
    sizes, points = (39, 64, 64, 1), torch.rand(500, 3, generator=torch.Generator().manual_seed(2)) * 2 - 1
    one = pershape.starts(1, seed=0, **shape)
    moved = one.clone()
    moved[0, -1] += 0.5
    layers = alignment.layers_of(one[0].numpy(), sizes)
    other = alignment.vector_of(alignment.shuffled(layers, np.random.default_rng(0)))
    other[-1] += 0.1
    vectors = torch.cat([one, moved, torch.from_numpy(other)[None]])
    barriers = pershape.barrier(pershape.restore(vectors, **shape), [(0, 1), (0, 2)], points)
    assert barriers[0] == pytest.approx(0, abs=1e-4) and barriers[1] > 0.2
    at_the_start = pershape.barrier(pershape.restore(vectors, **shape), [(0, 1)], points, half_way=one)
    assert at_the_start == pytest.approx(1, abs=1e-4)

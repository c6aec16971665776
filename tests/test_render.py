"""Rays and silhouettes: against closed forms, and the sparse loss against every sample differentiated."""

from functools import cache, partial

import numpy as np
import pytest
import torch

from flowsdf.conventions import CAMERA_DISTANCE
from flowsdf.data import procedural, views
from flowsdf.evaluation.scores import iou
from flowsdf.geometry import implicit
from flowsdf.geometry.distance import signed_distance
from flowsdf.geometry.mesh import normalise
from flowsdf.geometry.render import (
    CANDIDATES,
    least_of_all,
    rays_of,
    search,
    seen_from,
    silhouette_loss,
    sparse_silhouette_loss,
    trace,
    visible,
)
from flowsdf.models.deepsdf import evaluator
from flowsdf.models.flow_sdf import silhouette_decoder
from flowsdf.studies.silhouettes import thin_solids
from flowsdf.studies.solids import on_tensors
from flowsdf.train.loop import autocast_dtype

torch.set_num_threads(1)
DIRECTIONS = np.array([[0.64, 0.42, 0.64], [-0.3, -0.8, 0.52], [0.0, 0.0, 1.0]])
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
SOLIDS = {
    "ball": implicit.sphere(0.6),
    "box": implicit.box((0.8, 1.0, 0.5)),
    **dict(zip(("plate", "wire"), thin_solids(), strict=True)),
    "two": implicit.union([implicit.placed(implicit.sphere(0.2), offset=(x, 0.1, 0)) for x in (-0.5, 0.5)]),
}


def test_the_sphere_is_inscribed_and_samples_are_inside() -> None:
    rays = rays_of(64, 48)
    hit = rays.hit.reshape(64, 64)
    assert hit[31:33, [0, -1]].all() and hit[[0, -1], 31:33].all() and not hit[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert 0.77 < float(hit.float().mean()) < 0.8  # pi / 4
    assert rays.points.shape == (int(hit.sum()), 48, 3) and float(rays.points.norm(dim=-1).max()) < 1
    gaps = rays.points.diff(dim=1).norm(dim=-1)
    torch.testing.assert_close(gaps, gaps[:, :1].expand_as(gaps), atol=1e-5, rtol=0)
    assert (rays.points[:, 0, 2] > rays.points[:, -1, 2]).all()  # from near to far
    ends = rays.points[:, [0, -1]]
    steps = (rays.points[:, 1] - rays.points[:, 0])[:, None] / 2 * torch.tensor([-1.0, 1.0])[:, None]
    torch.testing.assert_close((ends + steps).norm(dim=-1), torch.ones(len(ends), 2), atol=1e-4, rtol=0)


def test_what_is_right_and_up_in_the_frame_is_so_in_the_image() -> None:
    rays = rays_of(32, 24)
    for offset, row, column in (((0.5, 0, 0), 16, 22), ((0, 0.5, 0), 9, 16)):
        ball = on_tensors(implicit.placed(implicit.sphere(0.1), offset=offset))
        image = torch.zeros(32 * 32, dtype=torch.bool)
        image[rays.hit] = least_of_all(ball, seen_from(rays, np.array([[0.0, 0.0, 1.0]])))[0] < 0
        rows, columns = image.reshape(32, 32).nonzero().float().mean(0).tolist()
        assert abs(rows - row) < 1.5 and abs(columns - column) < 1.5


def test_a_mesh_has_the_silhouette_that_a_rasteriser_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "FIELD_OF_VIEW", 2 * np.arcsin(1 / CAMERA_DISTANCE))
    mesh, _, _ = normalise(procedural.clean_mesh(procedural.training(4)))
    rays = rays_of(64, 48)
    seen = views.silhouettes(mesh, DIRECTIONS, size=64).reshape(len(DIRECTIONS), -1)
    for points, drawn in zip(seen_from(rays, DIRECTIONS), seen, strict=True):
        ours = least_of_all(on_tensors(partial(signed_distance, mesh=mesh)), points) < 0
        assert iou(ours.numpy(), drawn[rays.hit.numpy()]) > 0.95 and not drawn[~rays.hit.numpy()].any()


def test_a_ball_has_the_least_distances_of_its_closed_form() -> None:
    rays = rays_of(32, 48)
    points = seen_from(rays, DIRECTIONS)
    least = least_of_all(on_tensors(implicit.sphere(0.5)), points)
    start, step = points[:, :, 0], points[:, :, 1] - points[:, :, 0]
    along = step / step.norm(dim=-1, keepdim=True)
    closest = (start - (start * along).sum(-1, keepdim=True) * along).norm(dim=-1) - 0.5
    assert float((least - closest).abs().max()) < float(step.norm(dim=-1).max())
    assert (least >= closest - 1e-6).all()
    middle = closest > -0.2  # at the centre one sample lies half a spacing off; elsewhere the error is of second order
    assert float((least - closest)[middle].max()) < 0.002


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("name", SOLIDS)
def test_the_search_finds_the_least_sample_or_one_beside_it(name: str, scale: float) -> None:
    """Of the rays that a silhouette depends on, 2 % at most are off by more than a tenth of a sample's spacing."""
    rays, field = rays_of(64, 48), on_tensors(lambda points: scale * SOLIDS[name](points))
    for points in seen_from(rays, DIRECTIONS):
        index, least = search(field, points)
        torch.testing.assert_close(least, field(points[torch.arange(len(index)), index]), atol=0, rtol=0)
        truth = least_of_all(field, points)
        gap, near = (least - truth) / scale, truth.abs() < 0.1 * scale
        assert gap.min() >= 0 and gap.max() < 0.01 and (gap > 0.002)[near].float().mean() < 0.02


def test_the_search_leaves_settled_rays_to_the_grid() -> None:
    rays, asked = rays_of(32, 48), []

    def field(points: torch.Tensor) -> torch.Tensor:
        asked.append(len(points))
        return points.norm(dim=-1) - 0.5

    for enough in (-9.0, 9.0):  # all of them, none
        index, least = search(field, rays.points, settled=lambda low, high, e=enough: low > e)
        assert (least - least_of_all(field, rays.points)).abs().max() < 0.03 and index.max() < 48
        asked.pop()  # the oracle's
    assert asked[1] == 0 and asked[0] == asked[2] and asked[3] == CANDIDATES * len(rays.points)


def test_the_loss_has_the_gradient_of_its_finite_differences() -> None:
    rays = rays_of(8, 6)
    points, inside = seen_from(rays, DIRECTIONS[:1]).double(), torch.rand(1, int(rays.hit.sum())) > 0.5

    def loss(radius: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
        least = least_of_all(lambda p: (p - centre).norm(dim=-1) - radius, points)
        return silhouette_loss(least, inside, 0.3, pixels=64)

    given = torch.tensor(0.5, dtype=torch.float64), torch.tensor([0.1, -0.05, 0.02], dtype=torch.float64)
    assert torch.autograd.gradcheck(loss, tuple(value.requires_grad_() for value in given))


@cache
def trained_decoder(name: str) -> tuple:
    """A decoder and codes, fitted to a solid's distances for a hundred steps or so."""
    torch.manual_seed(0)
    decoder, codes = silhouette_decoder(), 0.04 * torch.randn(2, 128)
    if name != "untrained":
        optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-3)
        for _ in range(150):
            points = 2 * torch.rand(2, 500, 3) - 1
            truth = torch.stack([on_tensors(SOLIDS[name])(points[0]), on_tensors(SOLIDS["ball"])(points[1])])
            optimizer.zero_grad()
            (decoder(codes, points) - truth).abs().mean().backward()
            optimizer.step()
    return decoder, codes


@pytest.mark.parametrize("mask", [True, False])
def test_a_mask_of_one_kind_has_a_loss_and_a_gradient(mask: bool) -> None:
    rays = rays_of(16, 8)
    points, inside = rays.points[None], torch.full((1, len(rays.points)), mask)
    for radius in (0.5, 9.0):  # of the second every ray is inside, by far
        size = torch.tensor(radius, requires_grad=True)
        field = lambda p: p.norm(dim=-1) - size  # noqa: B023, E731
        loss = sparse_silhouette_loss(field, [(torch.no_grad()(field),) * 2], points, inside, 0.02, pixels=256)
        dense = silhouette_loss(least_of_all(field, points), inside, 0.02, pixels=256)
        assert loss.item() == pytest.approx(dense.item(), rel=1e-3, abs=1e-4)
        slopes = [float(torch.autograd.grad(value, size)[0]) for value in (loss, dense)]
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["untrained", "box", "plate"])
def test_the_sparse_loss_is_the_dense_one(name: str, half: bool) -> None:
    decoder, codes = trained_decoder(name)
    dtype = autocast_dtype(codes.device) if half else None
    rays = rays_of(28, 48)
    points = seen_from(rays, DIRECTIONS[:2])
    truth = [SOLIDS["plate" if name == "untrained" else name], SOLIDS["ball"]]
    inside = torch.stack([least_of_all(on_tensors(f), p) < 0 for f, p in zip(truth, points, strict=True)])
    results = []
    for sparse in (False, True):
        latents = codes.clone().requires_grad_()
        field = partial(decoder, latents)
        if sparse:
            looks = [(evaluator(decoder, code, autocast_dtype=dtype), evaluator(decoder, code)) for code in codes]
            loss = sparse_silhouette_loss(field, looks, points, inside, 0.02, pixels=28**2)
        else:
            loss = silhouette_loss(least_of_all(field, points), inside, 0.02, pixels=28**2)
        slopes = torch.autograd.grad(loss, [latents, *decoder.parameters()])
        results.append((loss.item(), torch.cat([slope.flatten() for slope in slopes])))
    (dense, slope), (ours, our_slope) = results
    assert ours == pytest.approx(dense, abs=1e-3 if half else 2e-5)
    assert torch.cosine_similarity(slope, our_slope, dim=0) > 0.999
    assert float(our_slope.norm()) == pytest.approx(float(slope.norm()), rel=0.01)


@pytest.mark.parametrize("name", ["ball", "box", "plate"])
def test_a_traced_ray_stops_on_the_surface(name: str) -> None:
    rays, field = rays_of(64, 192), on_tensors(SOLIDS[name])
    for points in seen_from(rays, DIRECTIONS):
        met, at = trace(field, points)
        least = least_of_all(field, points)
        assert met[least < 0].all() and not met[least > 0.02].any()
        assert field(at[met]).abs().max() < 2e-4
        before = torch.lerp(points[met, 0], at[met], 0.98)
        assert field(before).min() > 0  # nothing was passed on the way


def test_what_is_visible_is_found_on_the_grid() -> None:
    rays = rays_of(64, 48)
    points = seen_from(rays, DIRECTIONS[:1])[0]
    (met, at), (meets, exact) = visible(on_tensors(SOLIDS["ball"]), points), trace(on_tensors(SOLIDS["ball"]), points)
    assert (met != meets).float().mean() < 0.03
    assert (at - exact)[met & meets].norm(dim=-1).median() < 0.01

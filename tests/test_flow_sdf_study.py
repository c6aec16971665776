"""Flow-SDF's fits: too small to mean anything, but each part in its place."""

from functools import partial

import pytest
import torch

from flowsdf.geometry.render import rays_of
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.models.flow_sdf import CnnShapes, FlowShapes
from flowsdf.studies import flow_sdf, image_losses, silhouettes, solids

torch.set_num_threads(1)
SOLIDS = solids.training_solids(5, seed=0)[:2] + solids.lookalikes()[:1]
RAYS = rays_of(64, solids.DEPTHS)
LOSS = {"temperature": 0.05, "eikonal": 0.1, "shading": 0.0, "seed": 0, "folder": None, "rate": 1e-3, "batch": 1}


@pytest.fixture(scope="module")
def seen() -> solids.Renders:
    return solids.render_solids(SOLIDS)


@pytest.fixture(scope="module")
def start(seen: solids.Renders) -> flow_sdf.Tensors:
    return flow_sdf.untrained(seen.images, sphere=True, width=64, seed=0)


@pytest.mark.parametrize("sphere", [True, False])
def test_an_untrained_decoder_is_about_a_sphere(seen: solids.Renders, sphere: bool) -> None:
    random = torch.Generator().manual_seed(0)
    around = torch.nn.functional.normalize(torch.randn(3, 500, 3, generator=random), dim=-1)
    for seed in range(3):
        tensors = flow_sdf.untrained(seen.images, sphere=sphere, width=256, seed=seed)
        model = flow_sdf.restore(tensors)
        decoder, codes = model.decoder, flow_sdf.codes_of(model, seen.images, seed=0)
        within, on, beyond = (decoder(codes, radius * around) for radius in (0.1, flow_sdf.START_RADIUS, 0.8))
        assert (bool((within < 0).all() and (beyond > 0.1).all()) and abs(on.mean().item()) < 0.02) == sphere


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 4.0)])
def test_the_eikonal_loss_is_of_the_slope(slope: float, expected: float) -> None:
    loss = image_losses.eikonal_loss(lambda p: slope * p.norm(dim=-1), torch.randn(2, 50, 3))
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_training_starts_as_a_sphere_and_gets_better(seen: solids.Renders, start: flow_sdf.Tensors) -> None:
    tensors, facts = flow_sdf.fit_through_images(start, *seen, epochs=25, **LOSS)
    assert facts["steps"] == 75
    scores = []
    for fit in (start, tensors):
        model = flow_sdf.restore(fit)
        fields = image_losses.looks(model.decoder, flow_sdf.codes_of(model, seen.images, seed=0))
        scores.append(silhouettes.mask_ious(silhouettes.masks_of(fields, RAYS, seen.directions), seen.inside).mean())
    assert 0.2 < scores[0] < 0.75 < scores[1]


def test_shading_pulls_normals_to_those_of_the_image(seen: solids.Renders) -> None:
    """Of a ball's own field the loss is small, of one that is squashed it is not, and the slope says which way."""
    ball, sphere = SOLIDS[0], seen.images[:1, 0].flatten(1)[:, RAYS.hit]
    given = (RAYS, seen.directions[:1], seen.inside[:1], sphere, torch.Generator().manual_seed(0))

    class Squashed(DeepSDF):
        def __init__(self, by: float) -> None:
            super().__init__(8, 2)
            self.by = torch.nn.Parameter(torch.tensor(by))

        def forward(self, latents: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
            radius = float(-ball.field(torch.zeros(1, 3).numpy())[0])
            return torch.cat((points[..., :2], points[..., 2:] * self.by), dim=-1).norm(dim=-1) - radius

    losses, slopes = [], []
    for by in (1.0, 1.3):
        decoder = Squashed(by)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image_losses, "glances", lambda d, codes: [torch.no_grad()(partial(d, codes))])
            loss = image_losses.shading_loss(decoder, torch.zeros(1, 128), *given)
        losses.append(loss.item())
        slopes.append(torch.autograd.grad(loss, decoder.by)[0].item())
    assert losses[0] < 1e-3 < losses[1] and slopes[1] > 0


def test_the_flow_keeps_the_decoder_and_scales_its_noise(seen: solids.Renders, start: flow_sdf.Tensors) -> None:
    targets = 0.1 * torch.randn(3, 128) + 1
    kept = {"steps": 3, "batch": 3, "rate": 1e-3, "sampling": 1.0, "seed": 0, "folder": None}
    for scaled, expected in ((True, float(targets.std(0).square().mean().sqrt())), (False, 1.0)):
        flow, _ = flow_sdf.fit_flow(start, seen.images, targets, scaled=scaled, **kept)
        assert float(flow["scale"]) == pytest.approx(expected)
        decoder = flow_sdf.decoder_of(flow)
        assert all(torch.equal(tensor, decoder[name]) for name, tensor in flow_sdf.decoder_of(start).items())
    assert isinstance(flow_sdf.restore(flow), FlowShapes) and isinstance(flow_sdf.restore(start), CnnShapes)


def test_a_flow_trains_through_images_too(seen: solids.Renders, start: flow_sdf.Tensors) -> None:
    flow, _ = flow_sdf.fit_flow(
        start,
        seen.images,
        torch.randn(3, 128),
        steps=1,
        batch=3,
        rate=1e-3,
        scaled=True,
        sampling=0.0,
        seed=0,
        folder=None,
    )
    tuned, _ = flow_sdf.fit_through_images(flow, *seen, epochs=1, **LOSS | {"shading": 1.0})
    changed = {name.split(".")[0] for name, tensor in tuned.items() if not torch.equal(tensor, flow[name])}
    assert changed == {"conditioner", "velocity", "decoder"}  # the scale is no parameter


def test_distances_train_the_same_networks(seen: solids.Renders, start: flow_sdf.Tensors) -> None:
    points = torch.rand(3, 400, 3) * 2 - 1
    sdf = torch.stack([solids.on_tensors(s.field)(p) for s, p in zip(SOLIDS, points, strict=True)])
    given = {"steps": 100, "batch": 3, "points_per_step": 100, "rate": 1e-3, "seed": 0, "folder": None}
    tensors, facts = flow_sdf.fit_to_distances(start, seen.images, points, sdf, **given)
    assert tensors.keys() == start.keys() and facts["curve"][-1][2] < facts["curve"][0][2]

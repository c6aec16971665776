"""What the chapters of Flow-SDF measure: against solids whose answers are known."""

import threading

import numpy as np
import pandas as pd
import pytest
import torch

from flowsdf.geometry import implicit
from flowsdf.geometry.render import rays_of
from flowsdf.models.flow_sdf import CODE_DIM, FlowShapes
from flowsdf.studies import flow_sdf, flow_sdf_checks, silhouettes, solids
from flowsdf.studies.threads import side_by_side

torch.set_num_threads(1)
PAIRS = solids.lookalikes()
RAYS = rays_of(64, solids.DEPTHS)
EXACT = [solids.on_tensors(solid.field) for solid in PAIRS]


@pytest.fixture(scope="module")
def seen() -> solids.Renders:
    return solids.render_solids(PAIRS)


def test_exact_distances_are_right_from_everywhere_and_others_are_not(seen: solids.Renders) -> None:
    rows = {"exact": EXACT, "other": EXACT[1:] + EXACT[:1]}
    scores = silhouettes.view_scores(silhouettes.views_of(rows, PAIRS, RAYS, seen.directions), PAIRS)
    assert len(scores) == 2 * len(silhouettes.ANGLES) * len(PAIRS)
    assert silhouettes.seen_right(scores, "exact") == 1 and silhouettes.seen_right(scores, "other") == 0
    assert scores[scores.row == "exact"].iou.min() > 0.96
    table = silhouettes.by_angle(scores)
    assert len(table) == 10 and table.sphere.str.contains(r"\[").all() and not table.box.str.contains(r"\[").any()


def test_no_angle_shows_a_box_as_another_does() -> None:
    shapes = solids.solids(6, seed=3)
    seen = solids.render_solids(shapes)
    exact = [solids.on_tensors(shape.field) for shape in shapes]
    masks = silhouettes.views_of({"exact": exact}, shapes, RAYS, seen.directions).truth
    for one, shape in zip(masks, shapes, strict=True):
        alike = [(a != b).sum().item() for k, a in enumerate(one) for b in one[:k]]
        assert min(alike) >= (0 if shape.kind == "sphere" else 10)


def test_the_exact_distances_exceed_nothing(seen: solids.Renders) -> None:
    grown = [lambda p, f=field: f(p) - 0.1 for field in EXACT]
    table = silhouettes.training_views({"exact": EXACT, "grown": grown}, PAIRS, seen, RAYS, 0.02)
    met, other = table.to_dict("records")
    assert met["excess"] == 0 and met["silhouette loss"] > 0 and met["least mask IoU"] > 0.96
    assert other["run"] == "grown" and other["excess"] > 0.05


def test_masks_of_nothing_agree() -> None:
    none, one = torch.zeros(1, 5, dtype=torch.bool), torch.tensor([[True, True, False, False, False]])
    assert silhouettes.mask_ious(none, none)[0] == 1 and silhouettes.mask_ious(none, one)[0] == 0
    assert silhouettes.mask_ious(one, one.roll(1))[0] == pytest.approx(1 / 3)


def test_pictures_have_the_colours_of_the_difference(seen: solids.Renders) -> None:
    smaller = [lambda p, f=field: f(p) + 0.1 for field in EXACT]
    views = silhouettes.views_of({"smaller": smaller}, PAIRS, RAYS, seen.directions)
    pictures, titles = silhouettes.angle_pictures(views, "smaller", PAIRS, RAYS)
    assert len(pictures) == len(titles) == 3 * len(silhouettes.ANGLES) and titles[0] == "sphere, training view"
    picture = pictures[0]
    colours = {tuple(int(v) for v in colour) for colour in np.unique(picture.reshape(-1, 3), axis=0)}
    assert colours == {(0, 0, 0), (255, 255, 255), (0, 0, 255)}


def test_nearness_of_the_targets_themselves_and_of_their_opposites() -> None:
    targets = torch.randn(20, CODE_DIM, generator=torch.Generator().manual_seed(0)) + 3
    same = flow_sdf_checks.nearness(targets, targets)
    assert same["cosine"] == pytest.approx(1) and same["centred cosine"] == pytest.approx(1)
    mirrored = flow_sdf_checks.nearness(2 * targets.mean(0) - targets, targets)
    assert mirrored["centred cosine"] == pytest.approx(-1) and mirrored["cosine"] > 0.7
    assert same["cosine of the mean code"] == pytest.approx(0.95, abs=0.02)


def test_samples_differ_where_they_do() -> None:
    codes = torch.randn(500, CODE_DIM, generator=torch.Generator().manual_seed(0))
    assert flow_sdf_checks.spread(codes) == pytest.approx(CODE_DIM**0.5, rel=0.02)
    targets = torch.zeros(2, CODE_DIM)
    targets[0, 0], targets[1, 0] = 5, -5
    assert flow_sdf_checks.share_of_first(codes, targets) == pytest.approx(0.5, abs=0.1)


def test_shapes_are_apart_by_what_they_do_not_share(monkeypatch: pytest.MonkeyPatch) -> None:
    balls = [lambda p, r=radius: p.norm(dim=1) - r for radius in (0.5, 0.8, 0.8)]
    monkeypatch.setattr(flow_sdf_checks, "looks", lambda decoder, codes: balls[: len(codes)])
    decoder, codes = FlowShapes().decoder, torch.zeros(3, CODE_DIM)
    gap = 1 - (0.5 / 0.8) ** 3
    assert flow_sdf_checks.apart(decoder, codes[:2], points=100_000) == pytest.approx(gap, abs=0.01)
    assert flow_sdf_checks.apart(decoder, codes, points=100_000) == pytest.approx(2 / 3 * gap, abs=0.01)


def test_gradients_reach_all_parts_and_decoders_are_told_apart(seen: solids.Renders) -> None:
    torch.manual_seed(0)
    flow = {name: tensor.detach() for name, tensor in FlowShapes(0.03).state_dict().items()}
    given = (seen.images[:1], RAYS, seen.directions[:1], seen.inside[:1])
    norms = flow_sdf_checks.gradient_norms(flow, *given, temperature=0.02)
    assert min(norms[part] for part in flow_sdf_checks.PARTS) > 0
    other = flow | {"decoder.out.bias": flow["decoder.out.bias"] + 1}
    assert flow_sdf_checks.same_decoder(flow, dict(flow)) == 1 and flow_sdf_checks.same_decoder(flow, other) == 0
    model = flow_sdf.restore(flow)
    one, again = (flow_sdf_checks.sampled({"flow": model}, seen.images[0], 3, seed=0) for _ in range(2))
    assert torch.equal(one["flow"], again["flow"]) and flow_sdf_checks.spread(one["flow"]) > 0
    assert not torch.equal(one["flow"], one["flow, half covered"])
    assert flow_sdf_checks.inference_seconds(model, seen.images[:1], rounds=2) > 0


def test_a_flow_shown_one_image_with_two_codes_finds_both(seen: solids.Renders) -> None:
    targets = torch.zeros(2, CODE_DIM)
    targets[0, :64], targets[1, 64:] = 0.3, 0.3
    start = flow_sdf.untrained(seen.images, sphere=True, width=256, seed=0)
    job = flow_sdf_checks.ambiguous_job(start, seen.images[0], targets, {"steps": 150, "seed": 0}, inputs={})
    flow, _ = flow_sdf.fit_flow(*job.data, folder=None, **job.parameters)
    codes = flow_sdf_checks.sampled({"flow": flow_sdf.restore(flow)}, seen.images[0], 64, seed=0)["flow"]
    assert 0.2 < flow_sdf_checks.share_of_first(codes, targets) < 0.8
    assert flow_sdf_checks.spread(codes) > 0.5 * flow_sdf_checks.spread(targets)


def test_misses_are_none_for_a_ball_and_counted_for_what_the_grid_cannot_see() -> None:
    directions = torch.tensor([[0.0, 0.0, 1.0]])
    dust = solids.on_tensors(lambda p: np.abs(np.sin(60 * p)).sum(1) - 0.2)
    table = silhouettes.misses({"ball": [solids.on_tensors(implicit.sphere(0.5))], "dust": [dust]}, RAYS, directions)
    ball, other = table.set_index("row").missed
    assert ball == 0 and other > 0.3 and (table.rays > 50).all()


def test_a_walk_along_the_straight_line_has_no_distance_from_it(seen: solids.Renders) -> None:
    """With the velocity target - noise, whatever the point and the time, eight steps end at the target."""
    target, noise = torch.randn(CODE_DIM), torch.randn(1, CODE_DIM)
    model = FlowShapes()
    line = target - noise[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlowShapes, "velocity_of", lambda self, images: lambda z, t: line.expand(len(z), -1))
        walk = flow_sdf_checks.walk(model, seen.images[0], target, noise, RAYS, seen.directions[0])
    assert walk["masks"].shape == (9, 64, 64)
    np.testing.assert_allclose(
        walk["towards"], [*(line.norm() * torch.arange(9) / 8), line.norm()], rtol=1e-4, atol=1e-4
    )
    assert walk["aside"].max() < 1e-3 and walk["cosine"][-1] == pytest.approx(1, abs=1e-5)


def test_samples_differ_only_if_they_agree_with_their_image() -> None:
    table = pd.DataFrame({"run": ["noise", "one", "two"], "apart": [0.9, 0.0, 0.9], "agreement": [0.4, 1.0, 0.95]})
    assert flow_sdf_checks.differ(table) == {"noise": 0.0, "one": 0.0, "two": 1.0}


def test_side_by_side_runs_two_at_once_in_order_and_gives_torch_its_threads_back() -> None:
    before, both = torch.get_num_threads(), threading.Barrier(2)

    def meet(task: int) -> tuple[int, int]:
        both.wait(20)
        return task, torch.get_num_threads()

    try:
        torch.set_num_threads(2)
        assert side_by_side(meet, range(6), label="meeting") == [(task, 1) for task in range(6)]
        with pytest.raises(ZeroDivisionError):
            side_by_side(lambda task: 1 // task, [1, 0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

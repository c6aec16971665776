"""Weights from views: the switches of the phases, what a fit gives back, the field loss, modulations, and answers."""

import numpy as np
import pytest
import torch

from flowsdf.data.manifest import Entry
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.models.modulated import Modulated
from flowsdf.models.pershape import PerShape
from flowsdf.models.weight_dit import WeightDiT
from flowsdf.studies import (
    image_to_latent,
    modulations,
    pershape,
    repairs,
    weight_answers,
    weight_diffusion,
    weight_shapes,
    weight_surfaces,
)
from flowsdf.studies.weight_diffusion import PHASES, scaled, switches
from flowsdf.train.fits import Fit

torch.set_num_threads(1)
SIZE = {"width": 12, "depth": 2, "sine": False}
SHAPES, VIEWS, FEATURES = 4, 10, 12
NUMBERS = {"width": 48, "layers": 2, "heads": 3, "batch": 16, "rate": 5e-3, "ema": 0.95, "seed": 0, "folder": None}


@pytest.fixture(scope="module")
def balls() -> tuple[torch.Tensor, torch.Tensor]:
    """Points and distances of balls of four sizes."""
    points = 2 * torch.rand(SHAPES, 2000, 3, generator=torch.Generator().manual_seed(0)) - 1
    return points, points.norm(dim=-1) - torch.linspace(0.45, 0.9, SHAPES)[:, None]


@pytest.fixture(scope="module")
def shapes(balls: tuple[torch.Tensor, torch.Tensor]) -> weight_shapes.Shapes:
    """Decoders of the balls, and views that tell them apart but for some noise."""
    start = pershape.starts(1, seed=0, **SIZE)
    numbers = {"folder": None, "steps": 300, "points_per_step": 128, "rate": 1e-2, "seed": 0}
    fitted, _ = pershape.fit_decoders(*balls, start, **numbers, **SIZE)
    random = torch.Generator().manual_seed(1)
    marks = torch.randn(SHAPES, 1, FEATURES, generator=random)
    features = marks + 0.1 * torch.randn(SHAPES, VIEWS, FEATURES, generator=random)
    cameras = torch.as_tensor(fibonacci_sphere(VIEWS), dtype=torch.float32)
    return weight_shapes.Shapes([], fitted["vectors"], features, cameras, SIZE, {})


def test_the_phases_differ_by_one_switch_each() -> None:
    assert switches(PHASES["06"], PHASES["07"]) == ["views"]
    assert switches(PHASES["07"], PHASES["08"]) == ["scaling"]
    assert switches(PHASES["07"], PHASES["09"]) == ["dropout"]
    assert switches(PHASES["07"], PHASES["07"]) == []


@pytest.mark.parametrize("scaling", ["each", "one", "none"])
def test_scaled_weights_go_back(scaling: str, shapes: weight_shapes.Shapes) -> None:
    codes, mean, deviation = scaled(shapes.vectors, scaling)
    torch.testing.assert_close(codes * deviation + mean, shapes.vectors, atol=1e-5, rtol=1e-4)
    if scaling == "one":
        assert codes.square().mean().item() == pytest.approx(1, abs=1e-4) and len(deviation.unique()) == 1
    with pytest.raises(ValueError, match="use each, one or none"):
        scaled(shapes.vectors, "both")


def test_a_small_network_learns_the_weights_of_four_balls(shapes: weight_shapes.Shapes) -> None:
    """The positive control of the chapters: no architecture that cannot do this proves anything."""
    setup = PHASES["09"]._asdict()
    data = (shapes.vectors, shapes.features, shapes.cameras)
    fit = Fit(*weight_diffusion.fit_weights(*data, steps=500, **NUMBERS, **setup))
    models, given, codes = weight_answers.answers({"all": fit}, shapes, heads=3, views=8, seed=0)
    assert isinstance(models["all"].network, WeightDiT) and given.mask.all()
    gaps = torch.cdist(codes["all"], shapes.vectors)
    assert gaps.argmin(1).tolist() == [0, 1, 2, 3]
    own = weight_answers.field_ious(codes["all"], shapes.vectors, shapes)
    assert own.min() > 0.7
    table = weight_answers.by_count({2: fit, 4: fit}, shapes, heads=3, views=8, seed=0)
    assert table.shapes.tolist() == [2, 4] and table["by chance"].tolist() == [0.5, 0.25]
    assert (table.own == 1).all() and (table.direction > 0.7).all() and (table.IoU > table["IoU of the mean"]).all()
    assert table.IoU[1] == pytest.approx(own.mean())


def test_the_field_loss_of_the_mean_is_one_and_training_lowers_it(
    shapes: weight_shapes.Shapes, balls: tuple[torch.Tensor, torch.Tensor]
) -> None:
    data = (shapes.vectors, shapes.features, shapes.cameras, *balls)
    numbers = NUMBERS | {"size": SIZE, "points_per_step": 256, "steps": 150}
    tensors, facts = weight_diffusion.fit_weights_by_field(*data, **numbers)
    curve = np.array(facts["curve"])
    assert curve[0, 2] == pytest.approx(1, abs=0.5) and curve[-1, 2] < 0.6
    predictor = image_to_latent.restore_predictor(tensors, heads=3)
    assert predictor.mean.shape == shapes.vectors[0].shape


def test_the_nearest_weights_are_named_in_order(shapes: weight_shapes.Shapes) -> None:
    entries = [Entry(i, f"{i}", "ball", "CC0", True, "made", f"{i}.ply", "", "train", {}) for i in range(SHAPES)]
    named = shapes._replace(entries=entries)
    mixed = 0.6 * named.vectors + 0.4 * named.vectors.roll(1, 0)
    table = weight_answers.nearest(mixed, named, count=2)
    assert list(table) == ["answer to", "1", "2"] and len(table) == SHAPES
    for i, (name, first, second) in enumerate(table.itertuples(index=False)):
        similar = torch.nn.functional.cosine_similarity(mixed[i].double(), named.vectors.double())
        best, next_best = similar.argsort(descending=True)[:2].tolist()
        assert name == f"obj_{i:04d} (ball)" and first == f"obj_{best:04d} (ball) {similar[best]:.4f}"
        assert second == f"obj_{next_best:04d} (ball) {similar[next_best]:.4f}"


def test_the_iou_of_balls_is_the_ratio_of_their_volumes(shapes: weight_shapes.Shapes) -> None:
    same = weight_answers.field_ious(shapes.vectors, shapes.vectors, shapes)
    assert (same == 1).all()
    others = weight_answers.field_ious(shapes.vectors[[2]], shapes.vectors[[3]], shapes, points=50_000)
    assert others[0] == pytest.approx((0.75 / 0.9) ** 3, abs=0.05)
    changed = shapes.vectors.clone()
    changed[0] = changed[1]  # in place: what is remembered is the content
    assert (weight_answers.field_ious(changed, shapes.vectors, shapes) == 1).tolist() == [False, True, True, True]


def test_a_modulated_anchor_starts_at_the_anchor_and_fits_the_balls(balls: tuple[torch.Tensor, torch.Tensor]) -> None:
    anchor = PerShape(1, 12, 2).vectors().detach()
    network = Modulated(anchor, code_dim=4, rank=2, **SIZE)
    torch.testing.assert_close(network(torch.zeros(3, 4)), anchor.expand(3, -1))
    one, both = network(torch.tensor([[1.0, 0, 0, 0], [2.0, 0, 0, 0]])) - anchor
    torch.testing.assert_close(2 * one, both)  # linear in the code
    numbers = {"code_dim": 4, "rank": 2, "steps": 400, "points_per_step": 256, "rate": 5e-3, "seed": 0}
    tensors, facts = modulations.fit_modulations(*balls, anchor, folder=None, size=SIZE, **numbers)
    assert facts["curve"][-1][2] < 0.1 * facts["curve"][0][2]
    again = modulations.restore(tensors, size=SIZE)(tensors["codes"])
    torch.testing.assert_close(again, tensors["vectors"])
    assert torch.linalg.matrix_rank(again - again.mean(0)) <= 4


def test_the_repairs_take_the_first_shapes_alone(
    shapes: weight_shapes.Shapes, balls: tuple[torch.Tensor, torch.Tensor]
) -> None:
    few = weight_shapes.first(shapes, 3)
    field = repairs.by_field(few, *balls, {"steps": 1})
    assert [len(part) for part in field.data] == [3, 3, VIEWS, 3, 3] and field.inputs["shapes"] == "3"
    torch.testing.assert_close(field.data[4], balls[1][:3])
    numbers = {"code_dim": 4, "rank": 2, "steps": 400, "points_per_step": 256, "rate": 5e-3, "seed": 0}
    of_codes = repairs.modulated(few, *balls, numbers)
    codes = Fit(*of_codes.study(*of_codes.data, folder=None, **of_codes.parameters))
    codes.facts["fingerprint"] = "codes"
    views = weight_shapes.code_job(few, codes, NUMBERS | {"steps": 500})
    predictor = Fit(*views.study(*views.data, **views.parameters))
    answered = repairs.answers(codes, predictor, few, heads=3, views=8, seed=0)
    assert weight_answers.field_ious(answered, few.vectors, few).min() > 0.7


def test_runs_side_by_side_are_read_each_for_itself(shapes: weight_shapes.Shapes) -> None:
    other = shapes.vectors.roll(1, 1)
    runs = {"truth": shapes.vectors, "mean": shapes.vectors.mean(0).expand_as(shapes.vectors), "moved": other}
    table = weight_answers.side_by_side(runs, shapes, among={"moved": other}).set_index("run")
    assert list(table.index) == ["mean", "moved", "truth"]
    assert table.kind["truth"] == table.kind["moved"] == "recall" and table.kind["mean"] in ("collapse", "constant")
    assert table.own["moved"] == 1 and table.IoU["truth"] == 1 and table.IoU["mean"] < 1


def test_the_made_up_answers_are_read_as_they_deserve(shapes: weight_shapes.Shapes) -> None:
    told = weight_answers.controls(shapes, seed=0)
    assert told["collapse_negative_control"] == 0
    table = weight_answers.kinds(shapes, seed=0)
    assert list(table.deserved) == ["collapse", "noise", "recall", "noise", "retrieval", "follows"]


def test_the_error_of_noise_says_what_a_field_is_worth_and_chance_does_not(shapes: weight_shapes.Shapes) -> None:
    many = shapes.vectors.repeat(5, 1)
    told = weight_answers.error_against_iou(many, many.roll(1, 0), shapes, seed=0, points=500).set_index("pairs")
    assert told.high["noise of many sizes"] < -0.3
    assert told.low["nothing to do with each other"] > -0.3 and told.high["nothing to do with each other"] < 0.3


def test_holes_are_counted_with_an_error_as_it_is_and_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two decoders, one holed and one whole, any error of more than 1e-5 fills the hole."""

    def genera(of: torch.Tensor, shapes: object, resolution: int) -> list[float]:
        return [float(of[0].square().mean() < 1.1e-5), 0.0]

    monkeypatch.setattr(weight_surfaces, "genera", genera)
    wrong = {"small": torch.full((2, 8), 1e-3), "large": torch.full((2, 8), 1e-1)}
    none = weight_shapes.Shapes([], torch.zeros(2, 8), torch.zeros(2, 1, 3), torch.zeros(1, 3), {}, {})
    table = weight_surfaces.holes(none.vectors, wrong, none, holed=1, resolution=8)
    assert len(table) == 10 and (table.whole == 1).all()
    assert table[table["as it is"]].set_index("error").holed.to_dict() == {"small": 1, "large": 0}
    assert table[table["as it is"]].mse.tolist() == pytest.approx([1e-6, 1e-2])
    stretched = table[~table["as it is"]].set_index(["error", "mse"]).holed
    assert stretched["large"].tolist() == stretched["small"].tolist() == [1, 1, 1, 0]

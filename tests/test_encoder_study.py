"""Self-distillation: its answers, its spreading term, its crops, and that a short run gives an encoder."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from flowsdf.data.features import IMAGENET_MEAN, IMAGENET_STD, load_encoder
from flowsdf.studies import encoder
from flowsdf.studies.encoder import TEMPERATURE, crops, koleo, told_apart


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_told_apart_in_closed_form():
    unit = torch.eye(4)
    right = -math.log(math.exp(1 / TEMPERATURE) / (math.exp(1 / TEMPERATURE) + 3))
    assert told_apart(unit, unit).item() == pytest.approx(right, rel=1e-3)
    assert told_apart(unit, unit.roll(1, 0)).item() == pytest.approx(right + 1 / TEMPERATURE, rel=1e-4)
    assert told_apart(unit[:1].expand(4, 4), unit).item() > told_apart(unit, unit).item()  # one answer for all


def test_koleo_of_known_points():
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert koleo(3 * square).item() == pytest.approx(-math.log(math.sqrt(2)))  # blind to length
    assert koleo(torch.tensor([[1.0, 0], [-1, 0]])).item() == pytest.approx(-math.log(2))
    angle = torch.tensor([0.0, 0.1, 2.0])  # nearest gaps: two of 2 sin 0.05, one of 2 sin 0.95
    points = torch.stack([angle.cos(), angle.sin()], 1)
    expected = -(2 * math.log(2 * math.sin(0.05)) + math.log(2 * math.sin(0.95))) / 3
    assert koleo(points).item() == pytest.approx(expected, rel=1e-4)


def test_koleo_of_equal_points_is_finite_and_its_gradient_spreads():
    assert torch.isfinite(koleo(torch.ones(4, 3)))
    angle = torch.tensor([0.0, 0.1], requires_grad=True)
    koleo(torch.stack([angle.cos(), angle.sin()], 1)).backward()
    assert angle.grad is not None and angle.grad[0] > 0 > angle.grad[1]  # descent moves them apart


def test_crops_have_their_size_and_follow_their_seed():
    images = torch.randint(0, 256, (3, 4, 28, 28, 3), generator=random(), dtype=torch.uint8)
    shapes, views = torch.tensor([2, 0]), torch.tensor([1, 3])
    first, same, other = (crops(images, shapes, views, 14, random(seed)) for seed in (0, 0, 1))
    assert first.shape == (2, 3, 14, 14) and first.dtype == torch.float32
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_crops_show_their_own_shape_and_view_inside_its_frame():
    images = torch.zeros(3, 2, 24, 24, 3, dtype=torch.uint8)
    images[0, 1], images[1, 1], images[2, 1] = 100, 150, 200  # the other view is black
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    for seed in range(8):
        cut = crops(images, torch.tensor([1, 2, 0]), torch.tensor([1]), 12, random(seed)) * std + mean
        levels = cut.flatten(1).median(1).values * 255 / torch.tensor([150.0, 200, 100])
        assert levels.min() > 0.69 and levels.max() < 1.31  # the gain
        inner = cut[:, :, 1:-1, 1:-1].flatten(1)
        torch.testing.assert_close(inner.amin(1), inner.amax(1), atol=1e-4, rtol=0)  # nothing from outside the image


def test_a_crop_is_never_mirrored():
    ramp = torch.arange(16, dtype=torch.uint8) * 8 + 60
    image = ramp[None, :, None].expand(16, 16, 3)[None, None]
    for seed in range(12):
        cut = crops(image, torch.tensor([0]), torch.tensor([0]), 16, random(seed))[0, 0, 8]
        steps = cut.diff()[1:-1]
        assert (steps > 0).all() and steps.std() < 0.3 * steps.mean()


def test_training_views_are_images_of_training_shapes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encoder, "map_tasks", lambda function, tasks, label: [function(task) for task in tasks])
    monkeypatch.setattr(encoder, "VIEWS", 2)
    images = encoder.training_views(1)
    assert images.shape == (1, 2, 112, 112, 3) and images.dtype == torch.uint8
    assert all(image.any() for image in images[0])
    assert torch.equal(images, encoder.training_views(1))


def test_a_short_run_gives_an_encoder_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shape = {"hidden_size": 192, "num_hidden_layers": 1, "num_attention_heads": 3, "image_size": 28, "patch_size": 14}
    monkeypatch.setattr(encoder, "small_encoder", lambda: Dinov2Model(Dinov2Config(**shape)))
    monkeypatch.setattr(encoder, "VIEWS", 4)
    images = torch.randint(0, 256, (6, 4, 28, 28, 3), generator=random(), dtype=torch.uint8)
    numbers = {"folder": None, "size": 14, "steps": 3, "batch": 4, "rate": 1e-3, "seed": 0}
    state, facts = encoder.distil(images, **numbers)
    again, _ = encoder.distil(images, **numbers)
    assert np.isfinite(facts["curve"]).all() and all(torch.equal(tensor, again[name]) for name, tensor in state.items())
    resumed, _ = encoder.distil(images, state, **numbers | {"size": 28, "steps": 1, "rate": 0.0})
    torch.testing.assert_close(resumed, state)  # the second part starts from the first
    weights = {name.removeprefix("encoder."): t for name, t in state.items() if name.startswith("encoder.")}
    encoder.save_encoder(weights, tmp_path / "new")
    monkeypatch.setenv("ENCODER", str(tmp_path / "new"))
    loaded = load_encoder().model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in weights.items())

"""Self-distillation: its targets, its spreading term, its crops, and that a short run gives an encoder."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from flowsdf.data.features import IMAGENET_MEAN, IMAGENET_STD, load_encoder
from flowsdf.studies import encoder
from flowsdf.studies.encoder import balanced, crops, koleo


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_balanced_assignments_use_every_prototype_equally():
    scores = 0.05 * torch.randn(64, 8, generator=random()) + torch.linspace(0, 0.2, 8)  # the last one is favoured
    plain, even = balanced(scores, rounds=0), balanced(scores, rounds=10)
    torch.testing.assert_close(even.sum(1), torch.ones(64))
    torch.testing.assert_close(even.sum(0), torch.full((8,), 8.0), atol=0.1, rtol=0)
    share = plain.sum(0) / plain.sum()
    assert share.max() > 3 * share.min()
    torch.testing.assert_close(balanced(scores).sum(1), torch.ones(64))
    assert (even >= 0).all()


def test_balanced_keeps_the_order_within_equal_prototypes():
    scores = torch.eye(4)
    assert balanced(scores).argmax(1).tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(balanced(scores + 100), balanced(scores))


def test_more_prototypes_than_samples_and_every_cosine():
    targets = balanced(torch.rand(3, 50, generator=random()) * 2 - 1)
    assert torch.isfinite(targets).all()
    torch.testing.assert_close(targets.sum(1), torch.ones(3))


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
    images = torch.randint(0, 256, (3, 4, 20, 20, 3), generator=random(), dtype=torch.uint8)
    shapes = torch.tensor([2, 0])
    first, same, other = (crops(images, shapes, 14, (0.3, 1.0), random(seed)) for seed in (0, 0, 1))
    assert first.shape == (2, 3, 14, 14) and first.dtype == torch.float32
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_crops_show_their_own_shape_inside_its_frame():
    images = torch.zeros(3, 2, 24, 24, 3, dtype=torch.uint8)
    images[0], images[1], images[2] = 100, 150, 200
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    for seed in range(8):
        shapes = torch.tensor([1, 2, 0])
        cut = crops(images, shapes, 12, (0.1, 1.0), random(seed)) * std + mean
        levels = cut.flatten(1).median(1).values * 255 / torch.tensor([150.0, 200, 100])
        assert levels.min() > 0.69 and levels.max() < 1.31  # the gain
        inner = cut[:, :, 1:-1, 1:-1].flatten(1)
        torch.testing.assert_close(inner.amin(1), inner.amax(1), atol=1e-4, rtol=0)  # nothing from outside the image


def test_a_whole_crop_is_the_image_or_its_mirror():
    ramp = torch.arange(16, dtype=torch.uint8) * 8 + 60
    image = ramp[None, :, None].expand(16, 16, 3)[None, None]
    mirrored = set()
    for seed in range(12):
        cut = crops(image, torch.tensor([0]), 16, (1.0, 1.0), random(seed))[0, 0, 8]
        rising = bool(cut[-1] > cut[0])
        mirrored.add(rising)
        steps = cut.diff() if rising else -cut.diff()
        assert (steps > 0).all() and steps.std() < 0.02 * steps.mean()
    assert mirrored == {True, False}


def test_training_views_are_images_of_training_shapes():
    images = encoder.training_views(1, 3)
    assert images.shape == (1, 3, 112, 112, 3) and images.dtype == torch.uint8
    assert all(image.any() for image in images[0])
    assert torch.equal(images, encoder.training_views(1, 3))


def test_a_short_run_gives_an_encoder_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shape = {"hidden_size": 192, "num_hidden_layers": 1, "num_attention_heads": 3, "image_size": 28, "patch_size": 14}
    monkeypatch.setattr(encoder, "small_encoder", lambda: Dinov2Model(Dinov2Config(**shape)))
    monkeypatch.setattr(encoder, "IMAGE", 28)
    monkeypatch.setattr(encoder, "LOCAL", 14)
    images = torch.randint(0, 256, (6, 3, 28, 28, 3), generator=random(), dtype=torch.uint8)
    numbers = {"folder": None, "steps": 3, "batch": 4, "rate": 1e-3, "seed": 0}
    weights, facts = encoder.distil(images, **numbers)
    again, _ = encoder.distil(images, **numbers)
    assert np.isfinite(facts["curve"]).all() and all(
        torch.equal(tensor, again[name]) for name, tensor in weights.items()
    )
    encoder.save_encoder(weights, tmp_path / "new")
    monkeypatch.setenv("ENCODER", str(tmp_path / "new"))
    loaded = load_encoder().model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in weights.items())

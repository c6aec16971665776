"""The image encoder: which one is loaded, from where, under which hash, and what it makes of images."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model

from flowsdf.data.encoders import SHIPPED, encoder_hash, encoder_key
from flowsdf.data.faults import Failed
from flowsdf.data.features import Encoder, encode, input_size, load_encoder, normalise, small_encoder

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 56, 56, 3), np.uint8)


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """An untrained encoder of 12 numbers at 28 pixels, as transformers saves one."""
    torch.manual_seed(seed)
    shape = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**shape, image_size=28, patch_size=14)).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.delenv("ENCODER", raising=False)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    monkeypatch.setenv("ENCODER", str(save_tiny(tmp_path / "tiny")))
    return load_encoder()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_named_folder_is_loaded_frozen_under_its_hash(tiny: Encoder, tmp_path: Path):
    assert tiny.name == "tiny"
    assert tiny.sha256 == encoder_hash() == sha256(tmp_path / "tiny" / "model.safetensors")
    assert not tiny.model.training and not any(p.requires_grad for p in tiny.model.parameters())
    assert input_size(tiny) == 28


def test_the_cache_gives_dinov2_base_without_a_network(tmp_path: Path):
    snapshot = tmp_path / "huggingface/hub/models--facebook--dinov2-base/snapshots/f9e44c8"
    encoder_file = save_tiny(snapshot, seed=1) / "model.safetensors"
    encoder = load_encoder()
    assert encoder.name == "facebook/dinov2-base"
    assert encoder.sha256 == encoder_hash() == sha256(encoder_file)


def test_a_named_folder_comes_before_the_cache(tiny: Encoder, tmp_path: Path):
    save_tiny(tmp_path / "huggingface/hub/models--facebook--dinov2-base/snapshots/a", seed=1)
    assert load_encoder().sha256 == tiny.sha256 == encoder_hash()


def test_otherwise_the_shipped_one():
    if not (SHIPPED / "config.json").is_file():
        pytest.skip("no encoder is shipped yet")
    encoder = load_encoder()
    assert encoder.name == "flowsdf-small"
    assert encoder.sha256 == encoder_hash() == sha256(SHIPPED / "model.safetensors")
    assert encode(IMAGES, encoder).shape == (5, encoder.model.config.hidden_size)
    assert encoder.model.config.to_diff_dict().get("image_size") == small_encoder().config.image_size
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 12e6


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors"])
def test_a_folder_without_an_encoder_is_one_line(lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (save_tiny(tmp_path / "hollow") / lost).unlink()
    for folder in ("hollow", "absent"):
        monkeypatch.setenv("ENCODER", str(tmp_path / folder))
        with pytest.raises(Failed, match=f"encoder .*{folder}: no .* there; set ENCODER") as failed:
            load_encoder()
        assert "\n" not in str(failed.value)
    assert encoder_hash() == ""


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_truncated_encoder_is_one_line(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENCODER", str(save_tiny(tmp_path / "cut")))
    path = tmp_path / "cut" / file
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Failed, match="encoder .*cut: not readable by transformers .*; save it there again") as failed:
        load_encoder()
    assert "\n" not in str(failed.value)


def test_an_encoder_that_lacks_weights_is_not_filled_up_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENCODER", str(save_tiny(tmp_path / "partial")))
    path = tmp_path / "partial" / "model.safetensors"
    weights = load_file(path)
    gone = [name for name in weights if ".layer.1." in name]
    save_file({name: weights[name] for name in weights if name not in gone}, path, metadata={"format": "pt"})
    with pytest.raises(Failed, match=f"lacks {len(gone)} tensors, as encoder.layer.1.*; save it there again"):
        load_encoder()


def test_the_same_weights_read_with_other_settings_are_another_encoder(tiny: Encoder, tmp_path: Path):
    before, settings = encoder_key(), tmp_path / "tiny" / "config.json"
    settings.write_text(settings.read_text().replace('"num_attention_heads": 2', '"num_attention_heads": 3'))
    assert encoder_key() != before and encoder_hash() == tiny.sha256


def test_the_class_token_of_each_image_whatever_the_batch(tiny: Encoder):
    tokens = encode(IMAGES, tiny)
    assert tokens.shape == (5, 12) and tokens.dtype == np.float32
    np.testing.assert_allclose(encode(IMAGES, tiny, batch=2), tokens, atol=1e-5)
    np.testing.assert_allclose(encode(IMAGES[::-1].copy(), tiny), tokens[::-1], atol=1e-5)
    direct = tiny.model(pixel_values=normalise(torch.from_numpy(IMAGES), 28)).last_hidden_state[:, 0]
    np.testing.assert_allclose(tokens, direct.numpy(), atol=1e-5)
    assert np.abs(tokens[0] - tokens[1]).max() > 1e-4


def test_pixels_are_averaged_and_normalised_as_imagenet():
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, :2, :2] = 255  # one quarter white
    pixels = normalise(torch.from_numpy(image), 2)[0]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(pixels[:, 0, 0], (1 - mean) / std, rtol=1e-5)
    np.testing.assert_allclose(pixels[:, 1, 1], -mean / std, rtol=1e-5)
    halves = np.broadcast_to(np.array([0, 255], np.uint8)[:, None], (1, 2, 2, 3))
    np.testing.assert_allclose(normalise(torch.from_numpy(halves.copy()), 1)[0, :, 0, 0], (0.5 - mean) / std, rtol=1e-5)


def test_features_that_are_not_finite_are_refused(tiny: Encoder):
    with torch.no_grad():
        tiny.model.embeddings.cls_token[..., 0] = torch.nan
    with pytest.raises((Failed, ValueError), match="tiny gave features that are not finite"):
        encode(IMAGES, tiny)

"""One image feature per view: the class token of a DINOv2 encoder, through transformers."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import Dinov2Config, Dinov2Model
from transformers.utils import logging as transformers_logging

from flowsdf.data.encoders import SETTINGS, WEIGHTS, encoder_hash, encoder_in_force
from flowsdf.data.faults import Failed

transformers_logging.disable_progress_bar()  # of loading a few megabytes, which would stand on a chapter's page
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Encoder(NamedTuple):
    """A frozen image encoder, the name a page shows for it, and the hash of its weights."""

    model: Dinov2Model
    name: str
    sha256: str


def load_encoder() -> Encoder:
    """The encoder in force (``encoders.encoder_in_force``); Failed where its folder does not hold a whole one."""
    folder, name = encoder_in_force()
    missing = [file for file in (SETTINGS, WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise Failed(f"encoder {folder}: no {missing[0]} there; set ENCODER to a folder saved by transformers")
    try:
        loaded: tuple[Dinov2Model, dict] = Dinov2Model.from_pretrained(
            folder, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Failed(f"encoder {folder}: not readable by transformers ({reason}); save it there again") from None
    model, found = loaded
    if lost := sorted(found["missing_keys"]):  # which transformers would draw at random
        raise Failed(f"encoder {folder}: {WEIGHTS} lacks {len(lost)} tensors, as {lost[0]}; save it there again")
    return Encoder(model.eval().requires_grad_(False), name, encoder_hash())


def small_encoder() -> Dinov2Model:
    """The architecture of the shipped encoder, untrained: 2.8 M parameters, 112 pixels in patches of 14."""
    return Dinov2Model(
        Dinov2Config(hidden_size=192, num_hidden_layers=6, num_attention_heads=3, image_size=112, patch_size=14)
    )


@torch.inference_mode()
def encode(
    images: UInt8[np.ndarray, "n h w 3"], encoder: Encoder, *, batch: int = 64, dtype: torch.dtype | None = None
) -> Float[np.ndarray, "n d"]:
    """Class tokens of RGB images, float32; ``dtype`` runs the network in bfloat16 where the hardware has it."""
    device = encoder.model.device
    tokens = []
    for chunk in np.array_split(images, max(1, -(-len(images) // batch))):
        pixels = normalise(torch.from_numpy(chunk).to(device), input_size(encoder))
        with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            tokens.append(encoder.model(pixel_values=pixels).last_hidden_state[:, 0].float().cpu())
    features = torch.cat(tokens).numpy()
    if not np.isfinite(features).all():
        raise Failed(f"encoder {encoder.name} gave features that are not finite")
    return features


def normalise(images: UInt8[Tensor, "n h w 3"] | Float[Tensor, "n h w 3"], size: int) -> Float[Tensor, "n 3 s s"]:
    """ImageNet-normalised pixels at ``size``, nothing cropped: the published crop would cut an eighth off a view."""
    pixels = images.permute(0, 3, 1, 2).float() / 255
    if pixels.shape[-1] != size:
        pixels = functional.interpolate(pixels, size=(size, size), mode="area")
    mean, std = (pixels.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std


def input_size(encoder: Encoder) -> int:
    """Pixels a side that the encoder is fed: its own size, 224 at most."""
    return min(encoder.model.config.image_size, 224)

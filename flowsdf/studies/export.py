"""The shipped model: a small decoder and predictor in half precision, and from images to a mesh with them.

``make checkpoint`` makes it again from a finished ``make report`` and writes ``flowsdf/checkpoint``.
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from flowsdf.conventions import Mesh
from flowsdf.data.artefacts import read_features, usable_shapes
from flowsdf.data.encoders import SHIPPED, encoder_hash
from flowsdf.data.faults import Failed
from flowsdf.data.features import Encoder, encode, load_encoder
from flowsdf.data.files import sha256_of
from flowsdf.data.manifest import Entry
from flowsdf.data.stages import features_key
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.studies.deepsdf import restore, surface
from flowsdf.studies.image_to_latent import (
    MAX_VIEWS,
    Predictor,
    choose_views,
    fit_predictor,
    predict,
    restore_predictor,
)
from flowsdf.train import checkpoint
from flowsdf.train.fits import fit

FOLDER = Path(__file__).parents[1] / "checkpoint"
FILE = "image_to_mesh.safetensors"
LARGEST = 14_000_000  # bytes: with the encoder's 11 MB no more than 25 MB
KEPT_WHOLE = ("latents", "mean", "deviation")  # small, and every rounding of theirs would shift every code
SETTINGS = {"width": 256, "layers": 4, "heads": 4, "steps": 4000, "batch": 64, "rate": 5e-4, "ema": 0.995, "seed": 0}


class Model(NamedTuple):
    """A decoder with the latents of its training shapes, a predictor of latents, and the facts of both."""

    decoder: DeepSDF
    latents: Float[Tensor, "s 64"]
    predictor: Predictor
    facts: dict


def save_model(folder: Path, tensors: dict[str, Tensor], facts: dict) -> None:
    """Store ``decoder.*``, ``latents``, ``network.*``, ``mean`` and ``deviation``, the networks in half precision.

    ``facts`` name at least the predictor's ``heads`` and the ``encoder_hash`` of the features it was fitted to.
    """
    small = halved(tensors)
    size = sum(tensor.numel() * tensor.element_size() for tensor in small.values())
    if size > LARGEST:
        raise Failed(f"{FILE}: {size / 1e6:.1f} MB, at most {LARGEST / 1e6:.0f}: lower the predictor's width")
    checkpoint.write(folder / FILE, small, facts)


def load_model(folder: Path = FOLDER) -> Model:
    """The model that ``save_model`` stored, in single precision; Failed when it is absent or damaged."""
    path = folder / FILE
    if not path.exists():
        raise Failed(f"{path}: there is no such model: make checkpoint")
    try:
        return restored(*checkpoint.read(path))
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise Failed(f"{path}: not an image-to-mesh model ({reason}): make checkpoint") from None


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they are stored."""
    return {name: t.detach().float() if name in KEPT_WHOLE else t.detach().half() for name, t in tensors.items()}


def restored(tensors: dict[str, Tensor], facts: dict) -> Model:
    """The model of stored tensors, in single precision."""
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    return Model(*restore(tensors), restore_predictor(tensors, heads=facts["heads"]), facts)


def encoder_of(facts: dict) -> Encoder:
    """The encoder whose features the predictor was fitted to; Failed, before any use, when another one is in force.

    Where ``ENCODER`` names none, the shipped one is taken if it is the right one, whatever else is installed.
    """
    wanted = facts.get("encoder_hash", "")
    try:
        if not os.environ.get("ENCODER") and sha256_of(SHIPPED / "model.safetensors") == wanted:
            os.environ["ENCODER"] = str(SHIPPED)
        found = encoder_hash()
    except OSError as error:
        raise Failed(f"encoder {error.filename}: {error.strerror}: name another one by ENCODER=folder") from None
    if found != wanted:
        known = f"{facts.get('encoder', 'an encoder')} ({wanted[:12]})"
        here = found[:12] or "not found"
        raise Failed(f"encoder {here}: the model knows only {known}: name that one by ENCODER=folder")
    return load_encoder()


def mesh_from_images(
    model: Model,
    encoder: Encoder,
    images: UInt8[np.ndarray, "n h w 3"],
    directions: Float[np.ndarray, "n 3"],
    *,
    resolution: int = 128,
    seed: int = 0,
    dtype: torch.dtype | None = None,
) -> Mesh:
    """The mesh of the object that the images show from ``directions``; no faces where the field has no zero.

    ``dtype`` runs the encoder and all but the finest level of the extraction in that precision.
    """
    tokens = torch.as_tensor(encode(images, encoder, dtype=dtype))[None]
    cameras = torch.as_tensor(directions, dtype=torch.float32)
    every = torch.arange(len(images))[None]
    code = predict(model.predictor, choose_views(tokens, cameras, every, torch.tensor([len(images)])), seed=seed)[0]
    return surface(model.decoder, code, resolution, dtype=dtype).mesh


def main(run: Path = Path("artifacts/procedural-laptop"), folder: Path = FOLDER) -> None:
    """Fit a predictor that is small enough to the codes of a finished run, and replace the shipped model."""
    decoder, origin = checkpoint.read(run / "11_deepsdf" / "all.safetensors")
    latents = decoder["latents"]
    entries = usable_shapes(run / "00_data", "train")[: len(latents)]
    _check_features(entries, len(latents))
    seen = torch.as_tensor(read_features(run / "00_data", entries))
    cameras = torch.tensor(fibonacci_sphere(seen.shape[1]), dtype=torch.float32)
    keys = {e.name: e.stages["features"].key for e in entries} | {"decoder": origin["fingerprint"]}
    settings = SETTINGS | {"deterministic": False}
    found = fit(
        fit_predictor, latents, seen, cameras, store=run / "checkpoint", name="small", parameters=settings, inputs=keys
    )
    tensors = decoder | found.tensors
    facts = {"heads": SETTINGS["heads"], "shapes": len(latents), "predictor": SETTINGS, "loss": found.facts["loss"]}
    facts |= {"encoder": load_encoder().name, "encoder_hash": encoder_hash(), "decoder_fit": origin["fingerprint"]}
    facts["recall_cosine"] = recall(restored(halved(tensors), facts), seen, cameras)
    save_model(folder, tensors, facts)


def recall(model: Model, features: Float[Tensor, "s v d"], cameras: Float[Tensor, "v 3"]) -> float:
    """The mean cosine between the training codes and those predicted from the first eight views of each shape."""
    count = len(features)
    views = choose_views(features, cameras, torch.arange(MAX_VIEWS).expand(count, -1), torch.full((count,), MAX_VIEWS))
    return float(torch.cosine_similarity(predict(model.predictor, views), model.latents).mean())


def _check_features(entries: list[Entry], count: int) -> None:
    """Whether there are features of every latent's shape, by the encoder in force."""
    if len(entries) != count:
        raise Failed(f"{len(entries)} usable training shapes for {count} latents: make report first")
    if any(features_key(entry) != entry.stages["features"].key for entry in entries):
        raise Failed("the features are of another encoder or of older code: make report first")

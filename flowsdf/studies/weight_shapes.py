"""What the weight-space chapters share: shapes with the weights of their decoders and the features of their views."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.data import artefacts
from flowsdf.data.manifest import Entry
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.studies.image_to_latent import fit_predictor
from flowsdf.studies.weight_diffusion import fit_weights
from flowsdf.train import checkpoint
from flowsdf.train.fits import Fit, Job


class Shapes(NamedTuple):
    """Training shapes with the weights of their decoders and the features of their views."""

    entries: list[Entry]
    vectors: Float[Tensor, "s w"]
    features: Float[Tensor, "s v f"]
    cameras: Float[Tensor, "v 3"]
    size: dict  # width, depth and kind of the decoders
    keys: dict[str, str]  # what a fit on them depends on


def shapes_of(prepared: Path, decoders: Path, *, most: int = 0, run: str = "warm") -> Shapes:
    """The shapes whose decoders chapter 01 left in ``decoders``, with their features in ``prepared``; 0 for all.

    ``run`` is one of its fits: warm, independent or siren.
    """
    tensors, facts = checkpoint.read(decoders / f"{run}.safetensors")
    vectors = tensors["vectors"][: most or None].clone()
    entries = artefacts.usable_shapes(prepared, "train")[: len(vectors)]
    features = torch.as_tensor(artefacts.read_features(prepared, entries))
    cameras = torch.tensor(fibonacci_sphere(features.shape[1]), dtype=torch.float32)
    size = {name: facts["parameters"][name] for name in ("width", "depth", "sine")}
    keys = {f"{stage} of {e.name}": e.stages[stage].key for e in entries for stage in ("features", "sdf")}
    keys |= {"decoders": facts["fingerprint"]}
    return Shapes(entries, vectors, features, cameras, size, keys)


def labels(entries: Sequence[Entry]) -> list[str]:
    """The name and category of each shape, as tables give them."""
    return [f"{entry.name} ({entry.category})" for entry in entries]


def first(shapes: Shapes, count: int) -> Shapes:
    """The first of the shapes: a control that a network must be able to overfit."""
    kept = {"entries": shapes.entries[:count], "vectors": shapes.vectors[:count], "features": shapes.features[:count]}
    return shapes._replace(**kept, keys=shapes.keys | {"shapes": str(count)})


def blind(shapes: Shapes) -> Shapes:
    """The shapes with one view each that says nothing: a control that no image can help."""
    nothing = torch.zeros_like(shapes.features[:, :1])
    return shapes._replace(features=nothing, cameras=shapes.cameras[:1], keys=shapes.keys | {"views": "none"})


def job(shapes: Shapes, parameters: dict) -> Job:
    """The fit of a diffusion transformer to these shapes."""
    return Job(fit_weights, (shapes.vectors, shapes.features, shapes.cameras), parameters, shapes.keys)


def code_job(shapes: Shapes, coded: Fit, parameters: dict) -> Job:
    """The fit of a diffusion transformer from the views of these shapes to their ``codes`` in another fit."""
    keys = shapes.keys | {"codes": coded.facts["fingerprint"]}
    data = coded.tensors["codes"], shapes.features, shapes.cameras
    return Job(fit_predictor, data, parameters | {"deterministic": False}, keys)

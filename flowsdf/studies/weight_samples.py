"""Weights drawn without any image: samples of a diffusion, trivial ones beside them, and their generative scores."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.conventions import Mesh
from flowsdf.evaluation.generative import generative_scores, memorisation, pairwise_chamfer
from flowsdf.geometry.mesh import sample_surface
from flowsdf.models.encoding import POSE_DIM
from flowsdf.studies.image_to_latent import Predictor, Views, predict
from flowsdf.studies.scoring import clouds
from flowsdf.studies.weight_answers import surfaces
from flowsdf.studies.weight_shapes import Shapes

CORNER = 1.0  # of the frame: where all points of a sample without a surface are put


def blind(shapes: Shapes) -> Shapes:
    """The shapes with one view each that says nothing."""
    nothing = torch.zeros_like(shapes.features[:, :1])
    return shapes._replace(features=nothing, cameras=shapes.cameras[:1], keys=shapes.keys | {"views": "none"})


def drawn(predictor: Predictor, shapes: Shapes, count: int, *, seed: int) -> Float[Tensor, "n w"]:
    """Weight vectors from noise, by a network that was trained on ``blind`` shapes."""
    features = torch.zeros(count, 1, shapes.features.shape[-1])
    views = Views(features, torch.zeros(count, 1, POSE_DIM), torch.ones(count, 1, dtype=torch.bool))
    return predict(predictor, views, seed=seed).cpu()


def trivial(vectors: Float[Tensor, "s w"], count: int, *, seed: int) -> dict[str, Float[Tensor, "n w"]]:
    """What needs no network, at most as many as there are: copies, means of two, noisy copies, weights drawn alone."""
    random = torch.Generator().manual_seed(seed)
    one, other = (vectors[torch.randperm(len(vectors), generator=random)[:count]] for _ in range(2))
    noise = vectors.std(0) * torch.randn(one.shape, generator=random)
    return {
        "training shapes": one,
        "means of two": (one + other) / 2,
        "training shapes and noise": one + noise,
        "every weight for itself": vectors.mean(0) + noise,
    }


def scores(
    rows: Mapping[str, Float[Tensor, "n w"]], shapes: Shapes, prepared: Path, *, resolution: int, points: int, seed: int
) -> pd.DataFrame:
    """Per row: MMD, COV and 1-NNA against as many training shapes, how many samples failed, and how new they are.

    ``new`` is the distance to the nearest training shape over the training shapes' own: 0 is a copy.
    """
    random = np.random.default_rng(seed)
    training = np.stack(clouds(prepared, shapes.entries, points=points))
    among, table = pairwise_chamfer(training, training), []
    for name, vectors in rows.items():
        count = len(vectors)
        chosen = np.sort(random.permutation(len(training))[:count])
        full = [surface.mesh for surface in surfaces(vectors, shapes, resolution)]
        failed = sum(not len(mesh.faces) for mesh in full)
        generated = np.stack([_cloud(mesh, points) for mesh in full])
        to_training = pairwise_chamfer(generated, training)
        among_own = pairwise_chamfer(generated, generated)
        told = generative_scores(among_own, to_training[:, chosen], among[np.ix_(chosen, chosen)], seed=seed)
        new = memorisation(to_training, among)
        intervals = {f"{score} {end}": told[end][score] for score in told.index for end in ("mean", "low", "high")}
        table.append({"row": name, "n": count, "failed": failed, **intervals, "new": float(np.median(new))})
    return pd.DataFrame(table)


def _cloud(mesh: Mesh, points: int) -> Float[np.ndarray, "p 3"]:
    if not len(mesh.faces):
        return np.full((points, 3), CORNER)
    return sample_surface(mesh, points, np.random.default_rng(0)).points

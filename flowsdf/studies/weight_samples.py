"""Weights drawn by diffusion: without any image, trivial ones beside them and their scores; what views change."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.conventions import Mesh
from flowsdf.evaluation.generative import generative_scores, memorisation, pairwise_chamfer
from flowsdf.generative.diffusion import Denoiser
from flowsdf.geometry.mesh import sample_surface
from flowsdf.studies.image_to_latent import Predictor, Views, choose_views, condition_strength, first, predict
from flowsdf.studies.scoring import clouds
from flowsdf.studies.weight_shapes import Shapes
from flowsdf.studies.weight_surfaces import meshes, surfaces

CORNER = 1.0  # of the frame: where all points of a sample without a surface are put


def drawn(predictor: Predictor, shapes: Shapes, count: int, *, seed: int) -> Float[Tensor, "n w"]:
    """Weight vectors from noise, by a network that was trained on blind shapes."""
    return predict(predictor, _unseeing(shapes, count), seed=seed).cpu()


def ideal(codes: Float[Tensor, "s d"], alpha_bar: Float[Tensor, " t"]) -> Denoiser:
    """What x0-prediction tends to with a boundless network: the mean of the equally likely ``codes``, given x_t."""

    def x0(noisy: Tensor, t: Tensor) -> Tensor:
        signal = alpha_bar[t][:, None]
        evidence = signal.sqrt() * noisy @ codes.T - signal * codes.square().sum(1) / 2
        return (evidence / (1 - signal)).softmax(1) @ codes

    return x0


def begun(predictor: Predictor, shapes: Shapes, count: int, *, until: int, seed: int) -> Float[Tensor, "n w"]:
    """``drawn``, but down to time ``until`` the ``ideal`` denoiser of the shapes answers, and the network below it."""
    known = (shapes.vectors.to(predictor.mean.device) - predictor.mean) / predictor.deviation
    knowing = ideal(known, predictor.alpha_bar.to(known.device))

    def network(noisy: Tensor, t: Tensor, *views: Tensor) -> Tensor:
        return knowing(noisy, t) if t[0] >= until else predictor.x0(noisy, t, views)

    both = predictor._replace(network=network, of_noise=False)
    return predict(both, _unseeing(shapes, count), seed=seed).cpu()


def _unseeing(shapes: Shapes, count: int) -> Views:
    nothing, first = torch.zeros(count, 1, shapes.features.shape[-1]), torch.zeros(count, 1, dtype=torch.long)
    return choose_views(nothing, shapes.cameras[:1], first, torch.ones(count, dtype=torch.long))


def trivial(vectors: Float[Tensor, "s w"], count: int, *, seed: int) -> dict[str, Float[Tensor, "n w"]]:
    """What needs no network, ``count`` of each or as many as there are shapes.

    Copies, means of two different shapes, noisy copies, and every weight drawn for itself.
    """
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(vectors), generator=random)
    one, other = vectors[order[:count]], vectors[order.roll(1)[:count]]
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

    ``new`` is the median distance of the samples with a surface to the nearest training shape, the root of CD-L2, over
    the training shapes' own median; a copy has less than 1, the gap between two draws of points. NaN where no sample
    has a surface.
    """
    random = np.random.default_rng(seed)
    training = np.stack(clouds(prepared, shapes.entries, points=points))
    among, order, table = pairwise_chamfer(training, training), random.permutation(len(training)), []
    for name, vectors in rows.items():
        count = len(vectors)
        chosen = np.sort(order[:count])
        full = [surface.mesh for surface in surfaces(vectors, shapes, resolution)]
        whole = [i for i, mesh in enumerate(full) if len(mesh.faces)]
        generated = np.stack([_cloud(mesh, points) for mesh in full])
        to_training = pairwise_chamfer(generated, training)
        among_own = pairwise_chamfer(generated, generated)
        told = generative_scores(among_own, to_training[:, chosen], among[np.ix_(chosen, chosen)])
        new = np.median(memorisation(np.sqrt(to_training[whole]), np.sqrt(among))) if whole else np.nan
        intervals = {f"{score} {end}": told[end][score] for score in told.index for end in ("mean", "low", "high")}
        table.append({"row": name, "n": count, "failed": count - len(whole), **intervals, "new": float(new)})
    return pd.DataFrame(table)


def good(table: pd.DataFrame) -> pd.Series:
    """Which rows of ``scores`` are good: fewer than a tenth failed, hard to tell from shapes, and near to some."""
    return (table.failed < 0.1 * table.n) & (table["1-nna mean"] < 0.75) & (table.new < 1.25)


def strengths(models: Mapping[str, Predictor], views: Views, *, seed: int) -> pd.DataFrame:
    """What the views change in each network's answers about the first 32 objects, as ``condition_strength`` has it."""
    told = {name: condition_strength(model, first(views, 32), seed=seed) for name, model in models.items()}
    return pd.DataFrame(told).T.rename_axis("run").reset_index()


def gallery(
    rows: Mapping[str, Float[Tensor, "n w"]], shapes: Shapes, *, count: int, resolution: int
) -> tuple[list[Mesh], list[str], int]:
    """The meshes of the first ``count`` samples of every row or of as many as there are, their titles, the columns."""
    few = range(min(count, *map(len, rows.values())))
    drawn = meshes(rows, shapes, few, resolution)
    return drawn, titled([f"{name}, {i + 1}" for name in rows for i in few], drawn), len(few)


def titled(titles: Sequence[str], drawn: Sequence[Mesh]) -> list[str]:
    """The titles of meshes in a picture; those that would stand over nothing say so."""
    return [t if len(m.faces) else f"{t}\nno surface" for t, m in zip(titles, drawn, strict=True)]


def _cloud(mesh: Mesh, points: int) -> Float[np.ndarray, "p 3"]:
    if not len(mesh.faces):
        return np.full((points, 3), CORNER)
    return sample_surface(mesh, points, np.random.default_rng(0)).points

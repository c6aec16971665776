"""What predicted weights are worth: rankings three ways, losses by time, and what the views change."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowsdf.evaluation import collapse
from flowsdf.evaluation.correlation import correlation_bootstrap
from flowsdf.evaluation.diagnostics import cosine, derangement, diagnose
from flowsdf.evaluation.weight_cloud import ious, ious_of_pairs
from flowsdf.generative.diffusion import implied_noise_mse
from flowsdf.studies import image_to_latent, pershape, scoring, weight_shapes
from flowsdf.studies.image_to_latent import Predictor, Views
from flowsdf.studies.unseen import inputs
from flowsdf.studies.weight_autoencoder import errors
from flowsdf.studies.weight_shapes import Shapes
from flowsdf.studies.weight_surfaces import surfaces
from flowsdf.train.fits import Fit

TOGETHER = 16  # decoders that are evaluated at once
CLOUD = 300  # points of a surface where every answer is held against every training shape
TIMES = [0, 50, 100, 150, 200, 250, 300, 350, 400, 450]
THESIS_LOSS = {0: 0.18912, 50: 0.18286, 100: 0.18700, 200: 0.18563, 300: 0.19423, 450: 0.19252}  # what it prints of ten
_decoded: dict[tuple, Bool[Tensor, "n p"]] = {}  # which points are inside, by the decoders' weights


def answers(
    fitted: Mapping[str, Fit], shapes: Shapes, *, heads: int, views: int, seed: int
) -> tuple[dict[str, Predictor], Views, dict[str, Float[Tensor, "s w"]]]:
    """The networks of some fits, the views of every training shape that they are asked about, and their answers."""
    models = {name: image_to_latent.restore_predictor(fit.tensors, heads=heads) for name, fit in fitted.items()}
    given = inputs(shapes.features, shapes.cameras, views=views, seed=seed).several
    return models, given, {n: image_to_latent.predict(model, given, seed=seed).cpu() for n, model in models.items()}


def by_count(fitted: Mapping[int, Fit], shapes: Shapes, **asked: int) -> pd.DataFrame:
    """How well networks of the first so many shapes answer those shapes' views; ``asked`` as ``answers`` has it.

    ``own`` is the share whose own shape is nearest once the mean is subtracted, ``direction`` the cosine then.
    """
    rows = []
    for count, fit in fitted.items():
        some = weight_shapes.first(shapes, count)
        codes = answers({"": fit}, some, **asked)[2][""]
        told = collapse.following(codes.numpy(), some.vectors.numpy(), np.arange(count))
        pair = {"IoU": codes, "IoU of the mean": some.vectors.mean(0).expand_as(some.vectors)}
        told |= {name: float(field_ious(of, some.vectors, some).mean()) for name, of in pair.items()}
        rows.append({"shapes": count, "by chance": 1 / count, **told})
    return pd.DataFrame(rows)


def count_metrics(table: pd.DataFrame) -> dict[str, float]:
    """How often the own shape is first, for each count of a table ``by_count``; all of its second count, ``fewer``."""
    fewer = table.iloc[1 % len(table)]
    told = {"fewer_own": fewer.own, "fewer_iou": fewer.IoU, "fewer_mean_iou": fewer["IoU of the mean"]}
    told |= {f"own_first_of_{count}": own for count, own in zip(table.shapes, table.own, strict=True)}
    return {"fewer_shapes": int(fewer.shapes)} | {name: float(value) for name, value in told.items()}


def judged(
    codes: Mapping[str, Float[Tensor, "s w"]], shapes: Shapes, prepared: Path, *, resolution: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ``rankings`` of several runs: the table of ranks, and that of collapse."""
    clouds = scoring.clouds(prepared, shapes.entries, points=CLOUD)
    found = {name: rankings(of, shapes, clouds, resolution=resolution) for name, of in codes.items()}
    ranks = pd.concat(table.assign(run=n).rename_axis("ranking").reset_index() for n, (table, _) in found.items())
    return ranks.set_index("run").reset_index(), pd.DataFrame([{"run": n, **facts} for n, (_, facts) in found.items()])


def rankings(
    codes: Float[Tensor, "n w"], shapes: Shapes, clouds: Sequence[Float[np.ndarray, "p 3"]], *, resolution: int
) -> tuple[pd.DataFrame, dict[str, float | str]]:
    """How the own shape ranks by cosine, centred cosine and surface; and collapse.

    ``codes`` are the answers to the training shapes' own views, ``clouds`` points on these shapes.
    """
    predictions, training, own = codes.numpy(), shapes.vectors.numpy(), np.arange(len(codes))
    distances = scoring.surface_distances(surfaces(codes, shapes, resolution), clouds, points=CLOUD)
    table = diagnose(predictions, training, own, surface_distances=distances)
    facts = collapse.collapse(predictions, training, own) | collapse.following(predictions, training, own)
    iou = float(field_ious(codes, shapes.vectors, shapes).mean())
    return table, facts | {"kind": collapse.kind(predictions, training, own), "IoU": iou}


def side_by_side(
    runs: Mapping[str, Float[Tensor, "n w"]], shapes: Shapes, *, among: Mapping[str, Float[Tensor, "n w"]]
) -> pd.DataFrame:
    """Collapse, kind and IoU of the answers of many runs to the same images; ``among`` where they are ranked apart."""
    rows, own = [], np.arange(len(shapes.vectors))
    for name, of in sorted(runs.items()):
        codes, known = of.numpy(), among.get(name, shapes.vectors).numpy()
        ranked = {"kind": collapse.kind(codes, known, own), **collapse.collapse(codes, known, own)}
        iou = field_ious(of, shapes.vectors, shapes).mean()
        rows.append({"run": name, **ranked, **collapse.following(codes, known, own), "IoU": iou})
    return pd.DataFrame(rows)


def field_ious(
    codes: Float[Tensor, "n w"], truth: Float[Tensor, "n w"], shapes: Shapes, *, points: int = 4000, seed: int = 0
) -> Float[np.ndarray, " n"]:
    """The IoU of decoders with the decoders of other weights, at uniform points of the cube; 1 where both are empty.

    What was decoded once is remembered by its content: the truth is asked about again and again.
    """
    return ious(*(_occupied(of, shapes, points, seed).numpy() for of in (codes, truth)))


def nearest_ious(
    codes: Float[Tensor, "n w"], training: Float[Tensor, "s w"], shapes: Shapes, *, points: int = 4000, seed: int = 0
) -> Float[np.ndarray, " n"]:
    """The IoU of each decoder with the one of the training decoders that it overlaps most, as ``field_ious`` has it."""
    return ious_of_pairs(*(_occupied(of, shapes, points, seed).numpy() for of in (codes, training))).max(1)


def _occupied(codes: Float[Tensor, "n w"], shapes: Shapes, points: int, seed: int) -> Bool[Tensor, "n p"]:
    """Which of the same uniform points of the cube are inside each decoder's shape."""
    key = hashlib.sha256(codes.detach().contiguous().numpy()).digest(), codes.shape, *shapes.size.items(), points, seed
    if key not in _decoded:
        at = 2 * torch.rand(points, 3, generator=torch.Generator().manual_seed(seed)) - 1
        with torch.no_grad():
            parts = [pershape.restore(of, **shapes.size)(at.expand(len(of), -1, -1)) for of in codes.split(TOGETHER)]
        _decoded[key] = torch.cat(parts) < 0
    return _decoded[key]


def error_against_iou(
    vectors: Float[Tensor, "s w"], back: Float[Tensor, "s w"], shapes: Shapes, *, seed: int, points: int = 20_000
) -> pd.DataFrame:
    """The rank correlation over shapes of a reconstruction's weight error with the IoU of its field, with intervals.

    Beside it two whose answer is known: noise of very different sizes, and numbers that know nothing of each other.
    """
    random = np.random.default_rng(seed)
    scales = torch.logspace(-2, 0, len(vectors))[:, None] * vectors.square().mean(1, keepdim=True).sqrt()
    noisy = vectors + scales * torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    iou, iou_of_noise = (field_ious(of, vectors, shapes, points=points) for of in (back, noisy))
    error, of_noise = errors(vectors, back), errors(vectors, noisy)
    pairs = {
        "squared error": (error["mse"], iou),
        "cosine": (error["cosine"], iou),
        "noise of many sizes": (of_noise["mse"], iou_of_noise),
        "nothing to do with each other": tuple(random.normal(size=(2, 1000))),
    }
    return pd.DataFrame(
        {"pairs": name, **correlation_bootstrap(a, b, seed=seed)._asdict()} for name, (a, b) in pairs.items()
    )


def by_time(predictor: Predictor, shapes: Shapes, views: Views, *, seed: int) -> pd.DataFrame:
    """The x0 loss at TIMES with the right views and with another shape's, and the noise loss that it implies."""
    other = torch.as_tensor(derangement(len(shapes.vectors), np.random.default_rng(seed)))
    wrong = Views(*(part[other] for part in views))
    right, shuffled = (
        image_to_latent.loss_by_time(predictor, shapes.vectors, of, TIMES, seed=seed) for of in (views, wrong)
    )
    alpha_bar = predictor.alpha_bar.cpu()[TIMES]
    return pd.DataFrame(
        {"t": TIMES, "abar": alpha_bar, "x0 loss": right, "with shuffled views": shuffled}
        | {"implied noise loss": implied_noise_mse(right, alpha_bar)}
    )


def by_times(models: Mapping[str, Predictor], shapes: Shapes, views: Views, *, seed: int) -> pd.DataFrame:
    """``by_time`` of several networks."""
    tables = (by_time(model, shapes, views, seed=seed).assign(run=name) for name, model in models.items())
    return pd.concat(tables).set_index("run").reset_index()


def nearest(codes: Float[Tensor, "s w"], shapes: Shapes, *, count: int = 5) -> pd.DataFrame:
    """The training shapes whose weights are nearest to each answer by cosine, the first ``count``, with their cosines.

    ``codes`` are the answers to the training shapes' own views.
    """
    similarity = cosine(codes.numpy(), shapes.vectors.numpy())
    found = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    labels = weight_shapes.labels(shapes.entries)
    return pd.DataFrame(
        {"answer to": labels[row]}
        | {f"{place + 1}": f"{labels[i]} {similarity[row, i]:.4f}" for place, i in enumerate(nearest_first)}
        for row, nearest_first in enumerate(found)
    )


def nudge(predictor: Predictor, views: Views, *, seed: int) -> float:
    """By how much the views turn an answer: one less the mean cosine to the answer without views, from one noise."""
    nothing = Views(torch.zeros_like(views.features), torch.zeros_like(views.poses), views.mask)
    seen, blank = (image_to_latent.predict(predictor, of, seed=seed) for of in (views, nothing))
    return float(1 - torch.nn.functional.cosine_similarity(seen, blank).mean())


def controls(shapes: Shapes, *, seed: int) -> dict[str, float]:
    """The test of collapse on the mean of all weights with a trace of noise, and on the truth."""
    training = shapes.vectors.numpy()
    known, own = collapse.synthetic(training, np.random.default_rng(seed)), np.arange(len(training))
    told = {name: collapse.collapse(of, training, own)["collapsed"] for name, (of, _) in known.items()}
    return {"collapse_positive_control": told["mean"], "collapse_negative_control": told["truth"]}


def kinds(shapes: Shapes, *, seed: int) -> pd.DataFrame:
    """Synthetic answers whose kind is known, and what the rankings make of them."""
    training, own = shapes.vectors.numpy(), np.arange(len(shapes.vectors))
    rows = []
    for name, (of, word) in collapse.synthetic(training, np.random.default_rng(seed)).items():
        facts = collapse.collapse(of, training, own) | collapse.following(of, training, own)
        said = {"ranking by cosine": collapse.reading(of, training, own), "kind": collapse.kind(of, training, own)}
        rows.append({"answers": name, "deserved": word, **said, **facts})
    return pd.DataFrame(rows)

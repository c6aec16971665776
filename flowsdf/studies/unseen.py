"""Objects the networks never saw: every answer in the table of a conditional model, and what it amounts to."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowsdf.conventions import Surface
from flowsdf.data.listing import UNKNOWN
from flowsdf.data.manifest import Entry
from flowsdf.evaluation import baselines
from flowsdf.evaluation.diagnostics import category_top1, cosine
from flowsdf.evaluation.few_values import difference_interval, share_interval
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.studies.deepsdf import surfaces
from flowsdf.studies.image_to_latent import Predictor, Views, choose_views, predict
from flowsdf.studies.scoring import clouds, resampled, surface_distances

SAME = 0.9  # cosine above which an answer is a training shape
KIND = 0.1  # an answer nearer to the truth than this share of training shapes is of the right kind


class Inputs(NamedTuple):
    """The same random views of each object: one of them, and several."""

    single: Views
    several: Views
    chosen: Int[Tensor, "b k"]


def inputs(features: Float[Tensor, "b v d"], cameras: Float[Tensor, "v 3"], *, views: int, seed: int) -> Inputs:
    """``views`` random views of each object, and the first of them alone."""
    random = np.random.default_rng(seed)
    chosen = torch.as_tensor(np.stack([random.permutation(len(cameras))[:views] for _ in features]))
    one, all_of_them = (torch.full((len(features),), count) for count in (1, views))
    single = choose_views(features, cameras, chosen[:, :1], one)
    return Inputs(single, choose_views(features, cameras, chosen, all_of_them), chosen)


def training_choices(
    given: Inputs, seen: Float[Tensor, "s v d"], distances: Float[np.ndarray, "n m"], *, seed: int
) -> dict[str, Int[np.ndarray, " n"]]:
    """Which training shape each trivial answer returns, from the views a model gets; ``distances`` are the true ones.

    Retrieval is told the poses, as the model is, and holds each view against the one from the same camera.
    """
    shown, training = given.several.features.numpy(), seen.numpy()
    return {
        "anchor": baselines.anchor_shape(len(shown)),
        "random shape": baselines.random_shape(len(shown), len(seen), np.random.default_rng(seed)),
        "retrieval": baselines.retrieved_shape(shown, training, given.chosen.numpy()),
        "retrieval without poses": baselines.retrieved_shape(shown, training, None),
        "oracle": baselines.oracle_shape(distances),
    }


def answers(
    decoder: DeepSDF,
    codes: dict[str, Float[Tensor, "n d"]],
    choices: dict[str, Int[np.ndarray, " n"]],
    folder: Path,
    train: Sequence[Entry],
    unseen: Sequence[Entry],
    *,
    resolution: int,
) -> dict[str, list[Surface]]:
    """The surfaces of every row: trivial answers, predicted codes decoded, and the truth resampled."""
    used = sorted({int(index) for row in choices.values() for index in row})
    true = resampled(folder, [*(train[i] for i in used), *unseen], resolution)
    known = dict(zip(used, true[: len(used)], strict=True))
    rows = {name: [known[int(i)] for i in row] for name, row in choices.items()}
    for name, z in codes.items():
        distinct = surfaces(decoder, z, resolution)
        rows[name] = distinct * (len(unseen) // len(distinct))
    return rows | {"floor": true[len(used) :]}


def of_the_right_kind(
    rows: dict[str, list[Surface]], folder: Path, objects: Sequence[Entry], distances: Float[np.ndarray, "n m"]
) -> dict[str, list[bool]]:
    """Per row and object: is the answer nearer to the truth than nine in ten training shapes are?"""
    bound = np.quantile(distances, KIND, axis=1)
    truth = clouds(folder, objects)
    return {name: list(surface_distances(row, truth).diagonal() < bound) for name, row in rows.items()}


def gaps(seen: pd.DataFrame, unseen: pd.DataFrame, *, seed: int, score: str = "iou") -> pd.DataFrame:
    """Per split of the unseen objects: the mean of a score minus that of the seen ones, with its interval."""
    known = seen[score].to_numpy()
    groups = {"all unseen": unseen} | dict(tuple(unseen.groupby("split", sort=False)))
    lines = [(name, len(g), *difference_interval(g[score].to_numpy(), known, seed=seed)) for name, g in groups.items()]
    table = pd.DataFrame(lines, columns=["objects", "n", f"{score} minus training", "low", "high"])
    return table.assign(**{f"{score} of training": known.mean()})


def category_table(
    rows: dict[str, list[Surface]],
    objects: Sequence[Entry],
    train: Sequence[Entry],
    known: Sequence[Float[np.ndarray, "p 3"]],
) -> pd.DataFrame:
    """Per row: how often the training shape nearest to the answer is of the object's category, if one is; intervals."""
    categories = [e.category for e in train]
    asked = [i for i, e in enumerate(objects) if e.category in categories and e.category != UNKNOWN]
    truth = [objects[i].category for i in asked]
    lines = []
    for name, row in rows.items() if asked else ():
        distances = surface_distances([row[i] for i in asked], known)
        share = category_top1(distances, categories, truth)
        lines.append((name, len(asked), *share_interval(round(share * len(asked)), len(asked))))
    return pd.DataFrame(lines, columns=["row", "n", "category top-1", "low", "high"])


def is_training_shape(codes: Float[Tensor, "n d"], training: Float[Tensor, "m d"]) -> Float[np.ndarray, " n"]:
    """The cosine of each code to its nearest training code."""
    return cosine(codes.cpu().numpy(), training.cpu().numpy()).max(1)


def retrieval_detector(
    predicted: Float[Tensor, "n d"],
    recalled: Float[Tensor, "m d"],
    training: Float[Tensor, "m d"],
    fitted: Float[Tensor, "k d"],
) -> dict[str, float]:
    """Whether predicted codes are training codes (L3); controls: recalled codes, ``fitted`` ones of unseen objects."""
    top1 = is_training_shape(predicted, training)
    return {
        "ood_20_top1_cosine": float(top1.mean()),
        "ood_20_top1_is_retrieval": float(np.median(top1 > SAME)),
        "retrieval_positive_control": float(np.median(is_training_shape(recalled, training) > SAME)),
        "retrieval_negative_control": float((is_training_shape(fitted, training) > SAME).mean() > 0.5),
    }


def kind_detector(
    rows: dict[str, list[Surface]],
    ours: str,
    folder: Path,
    objects: Sequence[Entry],
    distances: Float[np.ndarray, "n m"],
) -> dict[str, float]:
    """Whether ``ours`` answers each special object in kind; the fitted and the mean latent are controls (L5)."""
    kinds = of_the_right_kind(rows, folder, objects, distances)
    hits = zip(objects, kinds[ours], strict=True)
    special = {f"{e.category}_category_right": float(hit) for e, hit in hits if e.split == "special"}
    counts = {"special_objects": len(special), "special_in_kind": int(sum(special.values()))} if special else {}
    controls = {"category_positive_control": float(all(kinds["fitted latent"]))}
    controls |= {"category_negative_control": float(np.mean(kinds["mean latent"]) > 0.5)}
    return special | counts | controls


def iou_metrics(means: pd.Series, prefix: str) -> dict[str, float]:
    """The mean IoU of each row but the single view's, as metrics: prefix_row_iou."""
    names = {row: row.split(",")[0].replace(" ", "_") for row in means.index if not row.endswith(", 1 view")}
    return {f"{prefix}_{name}_iou": float(means[row]) for row, name in names.items()}


def predictions(models: dict[str, Predictor], given: Inputs, *, seed: int) -> dict[str, Float[Tensor, "n d"]]:
    """Every model's code for several views, and that of the one trained on all shapes for a single view."""
    guess = {name: predict(model, given.several, seed=seed) for name, model in models.items()}
    return guess | {"one view": predict(models["all"], given.single, seed=seed)}

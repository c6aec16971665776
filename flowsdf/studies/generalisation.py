"""Shapes that a model of images never saw: whose error it is, whether it beats retrieval, and what more views buy."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from flowsdf.conventions import Surface
from flowsdf.data.artefacts import read_samples
from flowsdf.data.encoders import encoder_hash
from flowsdf.data.manifest import Entry
from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.studies.deepsdf import as_tensors, fit_decoder, restore, surfaces
from flowsdf.studies.image_to_latent import Predictor, Views, fit_predictor, predict, restore_predictor
from flowsdf.studies.unseen import inputs
from flowsdf.train import checkpoint
from flowsdf.train.fits import fit

BETTER = {"iou": 1, "chamfer_l1": -1, "f_005": 1}  # the sign that makes more of a score better
DECODER = {"width": 512, "depth": 8, "shapes_per_step": 4, "ema": 0.998}
DECODER |= {"decoder_rate": 5e-4, "latent_rate": 1e-3}
PREDICTOR = {"width": 384, "layers": 4, "heads": 6, "batch": 64, "rate": 5e-4, "ema": 0.995, "deterministic": False}


class Model(NamedTuple):
    """A decoder, the codes of its training shapes, a predictor of codes, and the hash of each fit."""

    tensors: dict[str, Tensor]  # of the decoder
    decoder: DeepSDF
    codes: Float[Tensor, "s 64"]
    predictor: Predictor
    keys: dict[str, str]


def trained(
    folder: Path,
    train: Sequence[Entry],
    seen: Float[Tensor, "s v d"],
    cameras: Float[Tensor, "v 3"],
    *,
    store: Path,
    decoder_steps: int,
    points_per_step: int,
    predictor_steps: int,
    seed: int,
) -> Model:
    """A model of these training shapes in ``folder``, with the networks of chapters 11 and 12, or its stored fits."""
    keys = {f"{stage} of {e.name}": e.stages[stage].key for e in train for stage in ("sdf", "features")}
    samples = as_tensors(*read_samples(folder, list(train)))
    numbers = DECODER | {"steps": decoder_steps, "points_per_step": points_per_step, "seed": seed}
    first = fit(fit_decoder, *samples, store=store, name="decoder", parameters=numbers, inputs=keys)
    keys |= {"decoder": first.facts["fingerprint"]}
    numbers = PREDICTOR | {"steps": predictor_steps, "seed": seed}
    data = first.tensors["latents"], seen, cameras
    second = fit(fit_predictor, *data, store=store, name="predictor", parameters=numbers, inputs=keys)
    return _model(first.tensors, first.facts, second.tensors, second.facts | {"heads": PREDICTOR["heads"]})


def stored(decoder: Path, predictor: Path) -> Model:
    """The model that two chapters left at these paths."""
    return _model(*checkpoint.read(decoder), *checkpoint.read(predictor))


def _model(tensors: dict, facts: dict, predictor: dict, of: dict) -> Model:
    keys = {"decoder": facts["fingerprint"], "predictor": of["fingerprint"]}
    return Model(tensors, *restore(tensors), restore_predictor(predictor, heads=of["heads"]), keys)


def by_views(
    predictor: Predictor,
    features: Float[Tensor, "b v d"],
    cameras: Float[Tensor, "v 3"],
    counts: Sequence[int],
    *,
    seed: int,
) -> dict[str, Float[Tensor, "b d"]]:
    """The code of each object from so many of its views, by row name; fewer views are the first of more."""
    given = {count: inputs(features, cameras, views=count, seed=seed).several for count in counts}
    return {views_row(count): predict(predictor, views, seed=seed) for count, views in given.items()}


def views_row(count: int) -> str:
    """The name of the table's row of a diffusion model that sees ``count`` views."""
    return f"diffusion, {count} view{'s' if count > 1 else ''}"


def wide(scores: pd.DataFrame, score: str) -> pd.DataFrame:
    """One line per shape and one column per row of the table, of one score."""
    return scores.pivot(index="shape", columns="row", values=score)


def advantage(
    scores: pd.DataFrame,
    ours: str,
    other: str,
    *,
    seed: int,
    within: str = "split",
    by: Sequence[str] = ("iou", "chamfer_l1", "f_005"),
) -> pd.DataFrame:
    """How much better one row is than another on the same shapes: per group of shapes and score, with its interval.

    Groups are all shapes and those that share a value of the column ``within``. A positive ``gain`` is better whatever
    the score; ``ahead`` counts the shapes on which ours is strictly better.
    """
    lines = []
    for (name, group), score in ((g, s) for g in _groups(scores, within) for s in by):
        table = wide(group, score)
        gained = BETTER[score] * (table[ours] - table[other]).to_numpy()
        means = table[ours].mean(), table[other].mean()
        lines.append((name, len(gained), score, *means, *shapes_interval(gained, seed=seed), int((gained > 0).sum())))
    return pd.DataFrame(lines, columns=["objects", "n", "score", "model", other, "gain", "low", "high", "ahead"])


def shares_of_error(scores: pd.DataFrame, ours: str, *, seed: int) -> pd.DataFrame:
    """Where the IoU goes, per split: what a code fitted to the truth lacks, and what the image model lacks beside it.

    The decoder loses at most the floor's IoU less the fitted code's, the image model at least the fitted code's less
    its own: the fit may end short of the best code.
    """
    steps = {"the decoder": ("floor", "fitted latent"), "the image model": ("fitted latent", ours)}
    lines = []
    for name, group in _groups(scores, "split"):
        table = wide(group, "iou")
        for part, (before, after) in steps.items():
            lines.append(
                (name, len(table), part, *shapes_interval((table[before] - table[after]).to_numpy(), seed=seed))
            )
    return pd.DataFrame(lines, columns=["objects", "n", "lost by", "IoU", "low", "high"])


def extremes(scores: pd.DataFrame, ours: str, other: str, count: int, *, score: str = "iou") -> list[str]:
    """The ``count`` shapes on which ours gains most on the other row, then the ``count`` with the least gain."""
    table = wide(scores, score)
    order = list((BETTER[score] * (table[ours] - table[other])).sort_values(ascending=False).index)
    return order if len(order) <= 2 * count else [*order[:count], *order[-count:]]


def _groups(scores: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    return [("all", scores), *scores.groupby(column, sort=False)]


def from_built_in_shapes(views: Views, *, seed: int, resolution: int) -> list[Surface]:
    """What the shipped model, of built-in shapes, makes of these views; nothing where it knows another encoder."""
    from flowsdf.studies.export import load_model  # here, as it brings the encoder's library

    shipped = load_model()
    if shipped.facts.get("encoder_hash") != encoder_hash():
        return []
    return surfaces(shipped.decoder, predict(shipped.predictor, views, seed=seed), resolution)

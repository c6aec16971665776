"""Phases 6 to 9: from the views of an object to the weights of its own decoder, by diffusion; a switch a phase."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.models.pershape import distances, layers_of
from flowsdf.models.weight_dit import WeightDiT
from flowsdf.studies.image_to_latent import MAX_VIEWS, standardise, train_predictor
from flowsdf.train.loop import generator_at

DROPPED_VIEWS, DROPPED_POSES = 0.1, 0.2  # shares of the rows, where anything is dropped


class Setup(NamedTuple):
    """What the four phases differ in."""

    views: int = MAX_VIEWS  # of an object, at most
    scaling: str = "each"  # weight by its own mean and deviation; "none"; or "one" deviation for all, less the mean
    dropout: bool = True  # of all views, and of their poses


PHASES = {"06": Setup(views=1), "07": Setup(), "08": Setup(scaling="none"), "09": Setup(dropout=False)}


def switches(a: Setup, b: Setup) -> list[str]:
    """The names of what two setups differ in."""
    return [name for name, one, other in zip(Setup._fields, a, b, strict=True) if one != other]


def scaled(
    vectors: Float[Tensor, "s w"], scaling: str
) -> tuple[Float[Tensor, "s w"], Float[Tensor, " w"], Float[Tensor, " w"]]:
    """The codes that a network learns, and the mean and deviation that lead back; ValueError on an unknown scaling."""
    codes, mean, deviation = standardise(vectors)
    if scaling == "each":
        return codes, mean, deviation
    if scaling == "one":
        deviation = (vectors - mean).square().mean().sqrt().expand_as(mean)
        return (vectors - mean) / deviation, mean, deviation.contiguous()
    if scaling == "none":
        return vectors, torch.zeros_like(mean), torch.ones_like(deviation)
    raise ValueError(f"scaling {scaling!r}: use each, one or none")


def fit_weights(
    vectors: Float[Tensor, "s w"],
    features: Float[Tensor, "s v f"],
    cameras: Float[Tensor, "v 3"],
    *,
    views: int,
    scaling: str,
    dropout: bool,
    **settings: Any,  # the network's width, layers and heads, the seed, and those of ``train_predictor``
) -> tuple[dict[str, Tensor], dict]:
    """Fit a diffusion transformer of weight vectors; tensors ``network.*``, ``mean`` and ``deviation``.

    The thesis: 199 shapes, width 768, 8 layers, 30,000 steps, x0-prediction, T = 500, all views dropped for a tenth of
    the rows and poses for a fifth. ``scaling`` "none" takes the weights as they are, about 0.06 in size beside noise of
    size 1.
    """
    dropped = {"drop_views": DROPPED_VIEWS, "drop_poses": DROPPED_POSES} if dropout else {}
    return _trained(vectors, features, cameras, scaling=scaling, views=views, **dropped, **settings)


def fit_weights_by_field(
    vectors: Float[Tensor, "s w"],
    features: Float[Tensor, "s v f"],
    cameras: Float[Tensor, "v 3"],
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    *,
    size: dict,
    points_per_step: int,
    seed: int,
    **settings: Any,
) -> tuple[dict[str, Tensor], dict]:
    """``fit_weights`` of standardised weights, nothing dropped, judged by the field that the predicted weights make.

    The L1 of the decoded distances at random points of the shape, in units of that of the mean of all weights, so that
    what does no harm to the field costs nothing.
    """
    _, mean, deviation = standardise(vectors)

    def gap(weights: Float[Tensor, "b w"], shapes: Tensor, chosen: Tensor) -> Tensor:
        at, truth = (part[shapes[:, None], chosen].to(weights.device) for part in (points, sdf))
        decoders = layers_of(weights, size["width"], size["depth"], sine=size["sine"])
        return (distances(decoders, at, sine=size["sine"]) - truth).abs().mean()

    everyone = torch.arange(len(vectors))
    some = torch.randint(points.shape[1], (len(vectors), points_per_step), generator=generator_at(seed, 0))
    unit = float(gap(mean.expand_as(vectors), everyone, some))

    def loss_of(answer: Tensor, shapes: Tensor, random: torch.Generator) -> Tensor:
        chosen = torch.randint(points.shape[1], (len(shapes), points_per_step), generator=random)
        return gap(answer * deviation.to(answer.device) + mean.to(answer.device), shapes, chosen) / unit

    return _trained(vectors, features, cameras, scaling="each", seed=seed, loss_of=loss_of, **settings)


def _trained(
    vectors: Float[Tensor, "s w"],
    features: Float[Tensor, "s v f"],
    cameras: Float[Tensor, "v 3"],
    *,
    scaling: str,
    width: int,
    layers: int,
    heads: int,
    seed: int,
    **settings: Any,
) -> tuple[dict[str, Tensor], dict]:
    torch.manual_seed(seed)
    network = WeightDiT(features.shape[-1], vectors.shape[1], width, layers, heads)
    codes, mean, deviation = scaled(vectors, scaling)
    state, facts = train_predictor(network, codes, features, cameras, seed=seed, **settings)
    return state | {"mean": mean, "deviation": deviation}, facts

"""Four spaces of codes for one decoder: the thesis's, Gaussian, on a sphere, and with blended fields between codes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.conventions import Surface
from flowsdf.evaluation.few_values import shapes_interval, share_interval, student_interval
from flowsdf.evaluation.intervals import Interval
from flowsdf.models.deepsdf import CLAMP, LATENT_DIM, LATENT_PENALTY, DeepSDF, clamped_l1
from flowsdf.studies.deepsdf import AutoDecoder, path, tensors_of, train_codes
from flowsdf.train.loop import generator_at

SPACES = ("plain", "Gaussian", "sphere", "blended")
FIRST_SPREAD = 0.1  # standard deviation of a Gaussian code at the start
SPECKS = 0.01  # of a shape's volume, which do not count as pieces
EXTRA_SEED = 2**33  # apart from the seeds of the points


def fit_space(
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    *,
    space: str,
    weight: float,
    width: int,
    depth: int,
    decoder_rate: float,
    latent_rate: float,
    seed: int,
    **settings: Any,  # those of ``train_codes``
) -> tuple[dict[str, Tensor], dict]:
    """``fit_decoder`` with another space of codes; tensors ``decoder.*`` and ``latents``, facts with the loss curve.

    *Gaussian*: a code is a normal distribution, drawn from at each step, its KL divergence from N(0, I) added with
    ``weight`` (variational auto-decoder, Zadeh 2019). *sphere*: codes have norm 1. *blended*: at a mix of two codes the
    clamped field is to be the same mix of both fields, with ``weight``. ValueError for another name.
    """
    if space not in SPACES:
        raise ValueError(f"{space}: no such space of codes; there are {', '.join(SPACES)}")
    torch.manual_seed(seed)
    model = _Codes(len(points), width, depth, gaussian=space == "Gaussian")

    def given(step: int, shapes: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        codes, extra = _given(model, space, shapes, at, generator_at(seed + EXTRA_SEED, step))
        return codes, weight * extra

    rates = {"decoder": decoder_rate, "latents": latent_rate}
    rates |= {} if model.log_spread is None else {"log_spread": latent_rate}
    penalty = 0.0 if space == "Gaussian" else LATENT_PENALTY  # the divergence alone holds Gaussian codes
    settings |= {"given": given, "rates": rates, "penalty": penalty, "label": space, "seed": seed}
    fitted, facts = train_codes(model, points, sdf, **settings)
    tensors = tensors_of(fitted)
    return tensors | {"latents": settled(tensors["latents"], space)}, facts


class _Codes(AutoDecoder):
    """The decoder and its codes; Gaussian ones have the logarithm of a deviation in every dimension besides."""

    def __init__(self, shapes: int, width: int, depth: int, *, gaussian: bool) -> None:
        super().__init__(shapes, width, depth)
        self.log_spread: nn.Embedding | None = nn.Embedding(shapes, LATENT_DIM) if gaussian else None
        if self.log_spread is not None:
            nn.init.constant_(self.log_spread.weight, np.log(FIRST_SPREAD))


def _given(
    model: _Codes, space: str, shapes: Int[Tensor, " s"], points: Float[Tensor, "s p 3"], random: torch.Generator
) -> tuple[Float[Tensor, "s d"], Float[Tensor, ""]]:
    """The codes that the decoder is given for these shapes, and what their space adds to the loss."""
    codes = model.latents(shapes)
    nothing = codes.new_zeros(())
    if model.log_spread is not None:
        log_spread = model.log_spread(shapes)
        noise = torch.randn(codes.shape, generator=random).to(codes.device)
        return codes + log_spread.exp() * noise, kl_divergence(codes, log_spread).mean()
    if space == "blended":
        mix = torch.rand(len(codes), 1, generator=random).to(codes.device)
        return codes, blend_loss(model.decoder, codes, codes.roll(1, 0), mix, points)
    return settled(codes, space), nothing


def kl_divergence(mean: Float[Tensor, "s d"], log_spread: Float[Tensor, "s d"]) -> Float[Tensor, " s"]:
    """The Kullback-Leibler divergence of N(mean, spread^2) from N(0, I), in nats."""
    return 0.5 * (mean.square() + (2 * log_spread).exp() - 1 - 2 * log_spread).sum(-1)


def blend_loss(
    decoder: DeepSDF,
    codes: Float[Tensor, "s d"],
    others: Float[Tensor, "s d"],
    mix: Float[Tensor, "s 1"],
    points: Float[Tensor, "s p 3"],
) -> Float[Tensor, ""]:
    """How far the clamped field of each mix of two codes is from the same mix of their clamped fields, which are given.

    ``mix`` is the share of the other code.
    """
    with torch.no_grad():
        ends = [decoder(end, points).clamp(-CLAMP, CLAMP) for end in (codes, others)]
        wanted = (1 - mix) * ends[0] + mix * ends[1]
    return clamped_l1(decoder((1 - mix) * codes + mix * others, points), wanted).mean()


def settled(codes: Float[Tensor, "s d"], space: str) -> Float[Tensor, "s d"]:
    """Codes as their space has them: of norm 1 on the sphere."""
    return functional.normalize(codes, dim=-1) if space == "sphere" else codes


def between(a: Float[Tensor, " d"], b: Float[Tensor, " d"], count: int, space: str) -> Float[Tensor, "{count} d"]:
    """``count`` codes from a to b, both included: on the straight line, or below it on the sphere."""
    return settled(path(a, b, count), space)


def single_pairs(pieces: Sequence[int], count: int, *, seed: int) -> Int[np.ndarray, "n 2"]:
    """``count`` random pairs of shapes that are of one piece each; no shape comes again before most have come."""
    single = np.flatnonzero(np.asarray(pieces) == 1)
    random = np.random.default_rng(seed)
    orders = [random.permutation(single)[: len(single) // 2 * 2].reshape(-1, 2) for _ in range(count)]
    return np.concatenate(orders)[:count] if len(single) > 1 else np.empty((0, 2), int)


def in_one_piece(surface: Surface) -> bool:
    """Whether one piece holds all of the inside but specks, a hundredth at most; nothing is no piece."""
    labels, count = ndimage.label(surface.grid < 0)
    sizes = np.bincount(labels.ravel(), minlength=2)[1:]
    return bool(count and sizes.max() >= (1 - SPECKS) * sizes.sum())


def largest_step(surfaces: Sequence[Surface]) -> float:
    """The largest change of occupancy between neighbours on a path, over all its changes: 1 / steps where it is even.

    NaN where nothing changes.
    """
    inside = [surface.grid < 0 for surface in surfaces]
    changes = [int((a ^ b).sum()) for a, b in zip(inside, inside[1:], strict=False)]
    return max(changes) / sum(changes) if sum(changes) else np.nan


def path_line(paths: Sequence[Sequence[Surface]]) -> dict[str, float]:
    """What lies between two codes, over paths of an odd number of surfaces: one piece at the ends, one in the middle,
    and how evenly the shape changes, each with its 95 % limits."""
    ends = [in_one_piece(p[i]) for p in paths for i in (0, -1)]
    middles = [in_one_piece(p[len(p) // 2]) for p in paths]
    steps = [step for step in map(largest_step, paths) if np.isfinite(step)]
    unknown = Interval(np.nan, np.nan, np.nan)
    line: dict[str, float] = {}
    for name, (estimate, low, high) in {
        "ends": share_interval(sum(ends), len(ends)) if ends else unknown,
        "midpoints": share_interval(sum(middles), len(middles)) if middles else unknown,
        "largest step": student_interval(np.array(steps)) if steps else unknown,
    }.items():
        line |= {name: estimate, f"{name} low": low, f"{name} high": high}
    return line


def code_error(predicted: Float[Tensor, "s d"], codes: Float[Tensor, "s d"]) -> Float[np.ndarray, " s"]:
    """How far each predicted code is from the true one, over the root mean square distance of codes from their mean."""
    spread = (codes - codes.mean(0)).square().sum(-1).mean().sqrt()
    return ((predicted - codes).norm(dim=-1) / spread).cpu().numpy()


def one_piece(rows: dict[str, list[Surface]], single: Sequence[bool]) -> pd.DataFrame:
    """Per row of the table: the share of answers in one piece among objects that are, with its 95 % limits."""
    asked = {
        name: [in_one_piece(s) for s, of_one in zip(row, single, strict=True) if of_one] for name, row in rows.items()
    }
    lines = [(name, len(hits), *share_interval(sum(hits), len(hits))) for name, hits in asked.items() if hits]
    return pd.DataFrame(lines, columns=["row", "n", "one piece", "low", "high"])


def comparison(
    between: pd.DataFrame,
    own: pd.DataFrame,
    errors: dict[str, Float[np.ndarray, " s"]],
    scores: pd.DataFrame,
    gained: pd.DataFrame,
    clean: pd.DataFrame,
    *,
    seed: int,
) -> pd.DataFrame:
    """One line a space: what its own codes reach, what lies between them, the generator's error, and unseen shapes."""
    between, gained, clean = between.set_index("codes"), gained.set_index("row"), clean.set_index("row")
    lines = []
    for name, error in errors.items():
        reached = {
            table: values[values.row == name].iou.to_numpy() for table, values in (("own", own), ("all", scores))
        }
        intervals = {
            "own codes, IoU": shapes_interval(reached["own"], seed=seed),
            "midpoints of one piece": between.loc[name, ["midpoints", "midpoints low", "midpoints high"]],
            "largest step": between.loc[name, ["largest step", "largest step low", "largest step high"]],
            "error of predicted codes": shapes_interval(error, seed=seed),
            "unseen, IoU": shapes_interval(reached["all"], seed=seed),
        }
        if name in gained.index:
            intervals["gain on plain"] = gained.loc[name, ["gain", "low", "high"]]
        if name in clean.index:
            intervals["unseen of one piece"] = clean.loc[name, ["one piece", "low", "high"]]
        lines.append({"codes": name} | {k: "{:.3f} [{:.3f}, {:.3f}]".format(*v) for k, v in intervals.items()})
    return pd.DataFrame(lines).fillna("")

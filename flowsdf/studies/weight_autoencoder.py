"""Phase 10: weights through a short code and back, and where the error that is left does its damage."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowsdf.evaluation.detectors import OPEN
from flowsdf.models.deepsdf import BANDS
from flowsdf.models.encoding import positional_encoding
from flowsdf.models.pershape import layers_of, sizes
from flowsdf.models.weight_autoencoder import WeightAutoencoder
from flowsdf.train.loop import autocast_dtype, best_device, cosine, generator_at, train
from flowsdf.train.progress import follow

ALIKE = 0.5  # of the largest errors in the same places, from which on they land alike
LOST, TENTH = 0.5, 0.1  # IoU below which a shape is lost, and the share of shapes that is too many
EXCELLENT = 0.2  # of what the mean vector lacks to a cosine of one: the thesis's codes lack 0.175 of it


def fit_autoencoder(
    vectors: Float[Tensor, "s w"],
    *,
    folder: Path | None,
    code_dim: int,
    width: int,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    kl: float = 0.0,
) -> tuple[dict[str, Tensor], dict]:
    """Fit the autoencoder by the squared error of residuals; ``network.*``, ``mean``, ``unit``, ``codes``, ``vectors``.

    The thesis: width 1,024, codes of 128 and 256, 2,000 epochs at 3e-4. Residuals are in units of their own root mean
    square, so that a loss of one is that of the mean vector. With ``kl``, the weight of the mean divergence of a code
    number from N(0, 1), it is variational.
    """
    torch.manual_seed(seed)
    device = best_device()
    mean = vectors.mean(0)
    unit = (vectors - mean).square().mean().sqrt()
    residuals = (vectors - mean) / unit
    network = WeightAutoencoder(vectors.shape[1], code_dim, width, variational=kl > 0).to(device)

    def loss_at(step: int) -> Tensor:
        random = generator_at(seed, step)
        given = residuals[torch.randint(len(residuals), (batch,), generator=random)].to(device)
        if not kl:
            return (network(given)[1] - given).square().mean()
        back, divergence = network.drawn(given, torch.randn(batch, code_dim, generator=random).to(device))
        return (back - given).square().mean() + kl * divergence

    records = train(
        loss_at,
        network,
        torch.optim.Adam(network.parameters(), lr=rate, fused=True),
        steps=steps,
        schedule=cosine(steps),
        autocast=autocast_dtype(device),
        folder=folder,
        fingerprint=f"autoencoder {code_dim} {width} {steps} {kl} {seed}",
        every=500,
    )
    curve = follow(records, "autoencoder", steps)
    with torch.no_grad():
        codes, back = (part.cpu() for part in network(residuals.to(device)))
    state = {f"network.{name}": tensor.detach() for name, tensor in network.state_dict().items()}
    found = {"mean": mean, "unit": unit, "codes": codes, "vectors": mean + unit * back}
    return state | found, {"curve": curve, "steps": steps}


@torch.no_grad()
def decoded(tensors: dict[str, Tensor], codes: Float[Tensor, "n d"]) -> Float[Tensor, "n w"]:
    """The weight vectors of codes, by a fitted autoencoder."""
    weights = {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
    width, count = weights["encoder.0.weight"].shape
    variational = len(weights["encoder.6.bias"]) > codes.shape[1]
    network = WeightAutoencoder(count, codes.shape[1], width, variational=variational)
    network.load_state_dict(weights)
    return tensors["mean"] + tensors["unit"] * network.decoder(codes)


def by_rank(vectors: Float[Tensor, "s w"], rank: int) -> Float[Tensor, "s w"]:
    """The best linear reconstruction of the vectors from ``rank`` numbers each (Eckart 1936)."""
    mean = vectors.mean(0)
    u, s, v = torch.linalg.svd((vectors - mean).double(), full_matrices=False)
    return (mean + (u[:, :rank] * s[:rank]) @ v[:rank]).float()


def errors(vectors: Float[Tensor, "s w"], back: Float[Tensor, "s w"]) -> dict[str, Float[np.ndarray, " s"]]:
    """Per shape, the cosine between weights and their reconstruction, and the mean squared error."""
    cosine_of = torch.nn.functional.cosine_similarity(vectors.double(), back.double())
    return {"cosine": cosine_of.numpy(), "mse": (vectors - back).square().mean(1).numpy()}


def parts(size: dict) -> dict[str, slice]:
    """Where each weight and bias lies in a vector; the last is the final bias."""
    places, begin, found = sizes(size["width"], size["depth"], size["sine"]), 0, {}
    for number, (fan_in, fan_out) in enumerate(zip(places[:-1], places[1:], strict=True)):
        for name, count in (("weight", fan_in * fan_out), ("bias", fan_out)):
            found[f"{name} {number + 1}"] = slice(begin, begin + count)
            begin += count
    return found


def one_part(vectors: Float[Tensor, "s w"], back: Float[Tensor, "s w"], part: slice) -> Float[Tensor, "s w"]:
    """The true weights, but for one part, which is reconstructed."""
    mixed = vectors.clone()
    mixed[:, part] = back[:, part]
    return mixed


def shared_error(vectors: Float[Tensor, "s w"], back: Float[Tensor, "s w"], *, share: float = 0.01) -> float:
    """How much of the largest ``share`` of a shape's errors lies where another's does, a mean over pairs; 1 for all."""
    count = max(1, int(share * vectors.shape[1]))
    worst = torch.zeros_like(vectors).scatter(1, (vectors - back).abs().topk(count, dim=1).indices, 1.0)
    overlap = worst @ worst.T / count
    return float(overlap[~torch.eye(len(vectors), dtype=torch.bool)].mean())


def lands_differently(vectors: Float[Tensor, "s w"], back: Float[Tensor, "s w"]) -> float:
    """1 if less than half of the largest errors of one shape are among another's, else 0."""
    return float(shared_error(vectors, back) < ALIKE)


def broken(cosines: Float[np.ndarray, " s"], ious: Float[np.ndarray, " s"], null: float) -> float:
    """1 if a tenth of the shapes or more have lost half of themselves though the cosine is excellent, 0 if fewer have.

    Excellent is a mean cosine that leaves less than ``EXCELLENT`` of what the mean vector, of cosine ``null``, leaves
    to one; where it is not, nothing can be said (``OPEN``).
    """
    if 1 - cosines.mean() >= EXCELLENT * (1 - null):
        return OPEN
    return float((ious < LOST).mean() >= TENTH)


@torch.no_grad()
def idle_units(
    vectors: Float[Tensor, "s w"], points: Float[Tensor, "p 3"], size: dict
) -> list[Bool[Tensor, "s width"]]:
    """Per hidden layer, which units of each shape's ReLU decoder are zero at all points."""
    h, idle = positional_encoding(points, BANDS).expand(len(vectors), -1, -1), []
    for weight, bias in layers_of(vectors, size["width"], size["depth"], sine=size["sine"])[:-1]:
        h = torch.relu(torch.baddbmm(bias[:, None], h, weight.mT))
        idle.append((h == 0).all(1))
    return idle


def idle_weights(vectors: Float[Tensor, "s w"], points: Float[Tensor, "p 3"], size: dict) -> Bool[Tensor, "s w"]:
    """Which weights of each shape only pass on what idle units give."""
    found = torch.zeros_like(vectors)
    after = layers_of(found, size["width"], size["depth"], sine=size["sine"])[1:]  # views
    for which, (weight, _) in zip(idle_units(vectors, points, size), after, strict=True):
        weight += which[:, None, :]
    return found > 0


def on_idle_units(
    vectors: Float[Tensor, "s w"], error: Float[Tensor, " s"], points: Float[Tensor, "p 3"], size: dict
) -> Float[Tensor, "s w"]:
    """The weights with an error of this norm on what idle units pass on, as far as a shape has idle units."""
    idle = idle_weights(vectors, points, size)
    return vectors + idle * (error / idle.sum(1).clamp_min(1).sqrt())[:, None]


def biases(size: dict) -> Bool[Tensor, " w"]:
    """Which numbers of a weight vector are biases."""
    lengths = ((name.startswith("bias"), part.stop - part.start) for name, part in parts(size).items())
    return torch.cat([torch.full((length,), bias) for bias, length in lengths])

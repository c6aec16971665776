"""Phase 3: from a short code to all the weights of a decoder, and what is left of a shape's holes on the way."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor, nn

from flowsdf.models.hypernetwork import Hypernetwork
from flowsdf.models.pershape import sizes
from flowsdf.train.loop import autocast_dtype, best_device, cosine, generator_at, train
from flowsdf.train.progress import follow

CODE_SIZE = 0.01  # of the codes at the start, as of DeepSDF's
KEPT, LOST = 0.9, 0.5  # shares of the shapes: from which on holes are kept, and below which they are lost


def layer_sizes(*, width: int, depth: int, sine: bool) -> list[int]:
    """How many numbers of a weight vector belong to each layer of a decoder."""
    places = sizes(width, depth, sine)
    return [(fan_in + 1) * fan_out for fan_in, fan_out in zip(places[:-1], places[1:], strict=True)]


def fit_hypernetwork(
    vectors: Float[Tensor, "s w"],
    *,
    folder: Path | None,
    heads: list[int],
    code_dim: int,
    width: int,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> tuple[dict[str, Tensor], dict]:
    """Fit a hypernetwork and a code for every shape by the squared error of weights.

    ``heads`` as `Hypernetwork`'s sizes. Residuals from the mean of all weights are in units of their own root mean
    square, so that a loss of one is that of the mean. Tensors ``network.*``, ``codes``, ``mean``, ``unit`` and
    ``vectors``.
    """
    torch.manual_seed(seed)
    device = best_device()
    mean = vectors.mean(0)
    unit = (vectors - mean).square().mean().sqrt()
    residuals = ((vectors - mean) / unit).to(device)
    network = Hypernetwork(code_dim, heads, width)
    codes = nn.Parameter(CODE_SIZE * torch.randn(len(vectors), code_dim))
    both = nn.ModuleList([network, nn.ParameterList([codes])]).to(device)

    def loss_at(step: int) -> Tensor:
        chosen = torch.randperm(len(vectors), generator=generator_at(seed, step))[:batch].to(device)
        return (network(codes[chosen]) - residuals[chosen]).square().mean()

    records = train(
        loss_at,
        both,
        torch.optim.Adam(both.parameters(), lr=rate, fused=True),
        steps=steps,
        schedule=cosine(steps, warmup=min(100, steps // 10)),
        autocast=autocast_dtype(device),
        folder=folder,
        fingerprint=f"hypernetwork {len(vectors)} {heads} {code_dim} {width} {steps} {seed}",
        every=500,
    )
    curve = follow(records, "hypernetwork", steps)
    state = {f"network.{name}": tensor.detach() for name, tensor in network.state_dict().items()}
    state |= {"codes": codes.detach(), "mean": mean, "unit": unit}
    return state | {"vectors": decoded(state, codes.detach())}, {"curve": curve, "steps": steps}


@torch.no_grad()
def decoded(tensors: dict[str, Tensor], codes: Float[Tensor, "n d"]) -> Float[Tensor, "n w"]:
    """The weight vectors of codes, by a fitted hypernetwork, in float32 and on the CPU."""
    weights = {n.removeprefix("network."): t.cpu() for n, t in tensors.items() if n.startswith("network.")}
    heads = [len(bias) for name, bias in weights.items() if name.endswith("4.bias")]
    network = Hypernetwork(codes.shape[1], heads, len(weights["heads.0.0.bias"]))
    network.load_state_dict(weights)
    return tensors["mean"] + tensors["unit"] * network(codes.cpu())


def gaussian(codes: Float[Tensor, "s d"], count: int, *, seed: int) -> Float[Tensor, "{count} d"]:
    """Codes drawn from the Gaussian with the mean and covariance of these."""
    centred = (codes - codes.mean(0)) / max(1, len(codes) - 1) ** 0.5
    return codes.mean(0) + torch.randn(count, len(codes), generator=torch.Generator().manual_seed(seed)) @ centred


def at_error(vectors: Float[Tensor, "s w"], error: Float[Tensor, "s w"], mse: float) -> Float[Tensor, "s w"]:
    """The weights with an error in the direction of each shape's ``error``, of this mean square."""
    return vectors + error * (mse / error.square().mean(1, keepdim=True).clamp_min(1e-30)).sqrt()


def kept(genera: Sequence[float], holed: int) -> dict[str, float]:
    """Of surfaces, the first ``holed`` of one hole and the rest of none: the shares that still have as many.

    ``holed`` with its 95 % interval ``low`` to ``high`` (Wilson 1927), and ``whole``, NaN without any. A genus of NaN,
    that of an open or missing surface, is neither.
    """
    same = np.asarray(genera) == np.repeat([1, 0], [holed, len(genera) - holed])
    interval = stats.binomtest(int(same[:holed].sum()), holed).proportion_ci(method="wilson")
    whole = float(same[holed:].mean()) if len(same) > holed else float("nan")
    ends = {"low": float(interval.low), "high": float(interval.high)}
    return {"holed": float(same[:holed].mean()), **ends, "whole": whole}

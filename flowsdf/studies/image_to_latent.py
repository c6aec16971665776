"""From the views of an object to its code, by diffusion: for phase 12 its latent, with a deterministic control."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from flowsdf.evaluation.diagnostics import condition_contribution, variance_ratio
from flowsdf.generative.diffusion import cosine_alpha_bar, denoised, noised, sample, shifted, x0_loss
from flowsdf.models.encoding import POSE_DIM, pose_embedding
from flowsdf.models.latent_dit import LatentDiT
from flowsdf.models.regressor import Regressor
from flowsdf.models.weight_dit import WeightDiT
from flowsdf.train.loop import Average, autocast_dtype, best_device, cosine, generator_at, generator_on, train
from flowsdf.train.progress import follow

MAX_VIEWS = 8
EMA_EVERY = 8  # steps
LOSS_DECAY = 0.999  # of the exponential moving average of the loss that the thesis quotes


class Views(NamedTuple):
    """The view tokens of a batch: features, pose embeddings, and which of them exist."""

    features: Float[Tensor, "b k d"]
    poses: Float[Tensor, "b k 64"]
    mask: Bool[Tensor, "b k"]


def choose_views(
    features: Float[Tensor, "b v d"],
    cameras: Float[Tensor, "v 3"],
    chosen: Int[Tensor, "b k"],
    counts: Int[Tensor, " b"],
) -> Views:
    """The ``chosen`` views of each row, of which the first ``counts`` exist."""
    rows = torch.arange(len(features))[:, None]
    mask = torch.arange(chosen.shape[1]) < counts[:, None]
    return Views(features[rows, chosen], pose_embedding(cameras)[chosen], mask)


def random_views(
    features: Float[Tensor, "b v d"], cameras: Float[Tensor, "v 3"], most: int, random: torch.Generator
) -> Views:
    """From 1 to ``most`` random views of each row; the thesis draws one such number for a batch."""
    chosen = torch.rand(features.shape[:2], generator=random).argsort(1)[:, :most]
    return choose_views(features, cameras, chosen, torch.randint(1, most + 1, (len(features),), generator=random))


def dropped(views: Views, no_views: float, no_poses: float, random: torch.Generator) -> Views:
    """The views, with all tokens zero in a share ``no_views`` of the rows and the poses in a share ``no_poses``."""
    kept, posed = (torch.rand(len(views.mask), 1, 1, generator=random) >= share for share in (no_views, no_poses))
    return Views(views.features * kept, views.poses * (kept & posed), views.mask)


def standardise(latents: Float[Tensor, "s d"]) -> tuple[Float[Tensor, "s d"], Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Latents with mean 0 and deviation 1 in every dimension, and that mean and deviation."""
    mean, deviation = latents.mean(0), latents.std(0).clamp_min(1e-4)
    return (latents - mean) / deviation, mean, deviation


def fit_predictor(
    latents: Float[Tensor, "s d"],
    features: Float[Tensor, "s v f"],
    cameras: Float[Tensor, "v 3"],
    *,
    deterministic: bool,
    width: int,
    layers: int,
    heads: int,
    seed: int,
    **settings: Any,  # those of ``train_predictor``
) -> tuple[dict[str, Tensor], dict]:
    """Fit a predictor of standardised latents from 1 to 8 views; tensors ``network.*``, ``mean`` and ``deviation``.

    The thesis: x0-prediction, T = 500, batch 32, Adam 3e-4 with a cosine, 15,000 steps, nothing dropped out.
    """
    torch.manual_seed(seed)
    kind = Regressor if deterministic else LatentDiT
    network = kind(features.shape[-1], latents.shape[1], width, layers, heads)
    codes, mean, deviation = standardise(latents.cpu())
    state, facts = train_predictor(network, codes, features, cameras, seed=seed, **settings)
    return state | {"mean": mean, "deviation": deviation}, facts


def train_predictor(
    network: LatentDiT | Regressor | WeightDiT,
    codes: Float[Tensor, "s d"],
    features: Float[Tensor, "s v f"],
    cameras: Float[Tensor, "v 3"],
    *,
    folder: Path | None,
    steps: int,
    batch: int,
    rate: float,
    ema: float,
    seed: int,
    views: int = MAX_VIEWS,
    drop_views: float = 0.0,
    drop_poses: float = 0.0,
    signal: float = 1.0,
    of_noise: bool = False,
    loss_of: Callable[[Tensor, Tensor, torch.Generator], Tensor] | None = None,
) -> tuple[dict[str, Tensor], dict]:
    """Train a network to say the codes of 1 to ``views`` views; its averaged tensors ``network.*``, and facts.

    The views are ``dropped``; the signal is ``signal`` times as large beside the noise. ``of_noise`` asks for the noise
    in place of the codes; ``loss_of`` judges answers (b, d) to shapes (b,) in place of their squared error.
    """
    device = best_device()
    network, alpha_bar = network.to(device), shifted(cosine_alpha_bar(), signal).to(device)
    averaged_network = Average(network, ema, every=EMA_EVERY)

    def loss_at(step: int) -> Tensor:
        random = generator_at(seed, step)
        shapes = torch.randint(len(codes), (batch,), generator=random)
        given = dropped(random_views(features[shapes], cameras, views, random), drop_views, drop_poses, random)
        t = torch.randint(len(alpha_bar), (batch,), generator=random).to(device)
        target = codes[shapes].to(device)
        noise = torch.randn(target.shape, generator=generator_on(device, random), device=device)
        known = () if isinstance(network, Regressor) else (noised(target, alpha_bar[t], noise), t)
        answer = network(*known, *(part.to(device) for part in given))
        if loss_of:
            return loss_of(answer, shapes, random)
        return (answer - (noise if of_noise else target)).square().mean()

    records = train(
        loss_at,
        network,
        torch.optim.Adam(network.parameters(), lr=rate, fused=True),
        steps=steps,
        schedule=cosine(steps, warmup=min(100, steps // 10)),
        ema=averaged_network,
        autocast=autocast_dtype(device),
        folder=folder,
        fingerprint=f"{type(network).__name__} {len(codes)} x {codes.shape[1]} {steps} {seed}",
    )
    curve = follow(records, "predictor", steps, decay=LOSS_DECAY)
    state = {f"network.{name}": tensor for name, tensor in averaged_network.module.state_dict().items()}
    state |= {"signal": torch.tensor(signal), "of_noise": torch.tensor(of_noise)}
    return state, {"curve": curve, "loss": curve[-1][2]}


class Predictor(NamedTuple):
    """A fitted network with the scale of its latents.

    ``deterministic`` tells a regressor from a diffusion model, ``of_noise`` one that says the noise from one of x0.
    """

    network: LatentDiT | Regressor | WeightDiT
    mean: Float[Tensor, " d"]
    deviation: Float[Tensor, " d"]
    deterministic: bool
    alpha_bar: Float[Tensor, " t"] = cosine_alpha_bar()  # signal at every time of its noise
    of_noise: bool = False

    def x0(self, noisy: Float[Tensor, "b d"], t: Int[Tensor, " b"], views: Iterable[Tensor]) -> Float[Tensor, "b d"]:
        """The standardised codes that a diffusion model believes in."""
        answer = self.network(noisy, t, *views)
        return denoised(noisy, self.alpha_bar.to(t.device)[t], answer) if self.of_noise else answer


def restore_predictor(tensors: dict[str, Tensor], *, heads: int) -> Predictor:
    """The predictor of a fit, of latents or of weights, on this machine's device."""
    weights = {n.removeprefix("network."): t.float() for n, t in tensors.items() if n.startswith("network.")}
    deterministic = any(name.startswith("network.") for name in weights)
    width, views_dim = weights["network.views_in.weight" if deterministic else "views_in.weight"].shape
    layers = sum(
        name.startswith(("blocks.", "network.blocks.")) for name in weights if name.endswith("modulation.bias")
    )
    kind = WeightDiT if "positions" in weights else Regressor if deterministic else LatentDiT
    network = kind(views_dim - POSE_DIM, len(tensors["mean"]), width, layers, heads)
    network.load_state_dict(weights)
    device = best_device()
    network = network.to(device).eval().requires_grad_(False)
    alpha_bar = shifted(cosine_alpha_bar(), float(tensors.get("signal", 1.0))).to(device)
    scale = tensors["mean"].to(device), tensors["deviation"].to(device)
    return Predictor(network, *scale, deterministic, alpha_bar, bool(tensors.get("of_noise", False)))


@torch.inference_mode()
def predict(predictor: Predictor, views: Views, *, seed: int = 0, steps: int = 50) -> Float[Tensor, "b d"]:
    """A latent for each row of views: one DDIM draw in ``steps`` steps, or the regressor's answer."""
    device = predictor.mean.device
    views = [part.to(device) for part in views]
    if predictor.deterministic:
        code = predictor.network(*views)
    else:
        noise = torch.randn(len(views[0]), len(predictor.mean), generator=torch.Generator().manual_seed(seed)).to(
            device
        )
        code = sample(lambda x, t: predictor.x0(x, t, views), noise, alpha_bar=predictor.alpha_bar, steps=steps)
    return code * predictor.deviation + predictor.mean


@torch.inference_mode()
def loss_by_time(
    predictor: Predictor, latents: Float[Tensor, "s d"], views: Views, times: list[int], *, seed: int = 0
) -> Float[Tensor, " t"]:
    """The standardised x0 error at each timestep, over all rows."""
    device = predictor.mean.device
    codes = (latents.to(device) - predictor.mean) / predictor.deviation
    views = [part.to(device) for part in views]
    noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    losses = [
        x0_loss(
            lambda x, t: predictor.x0(x, t, views),
            codes,
            torch.full((len(codes),), t, device=device),
            noise,
            predictor.alpha_bar.to(device),
        )
        for t in times
    ]
    return torch.stack(losses).cpu()


def first(views: Views, count: int) -> Views:
    """The views of the first ``count`` rows."""
    return Views(*(part[:count] for part in views))


def condition_strength(predictor: Predictor, views: Views, *, seed: int, draws: int = 4) -> dict[str, float]:
    """What the views change: against the mean view, over the prediction's norm; and between views over within them."""
    blank = views.features.mean((0, 1)).expand_as(views.features)
    drawn = torch.stack([predict(predictor, views, seed=seed + i) for i in range(draws)], 1).cpu().numpy()  # (b, n, d)
    unconditional = predict(predictor, Views(blank, views.poses, views.mask), seed=seed).cpu().numpy()
    return {
        "condition_contribution": condition_contribution(drawn[:, 0], unconditional),
        "between_over_within": variance_ratio(drawn),
    }

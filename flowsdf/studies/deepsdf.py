"""Phase 11: one decoder and one latent per shape, fitted together (Park 2019), and what they reconstruct."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from flowsdf.conventions import Field, Surface
from flowsdf.data.executor import each
from flowsdf.data.faults import Failed
from flowsdf.geometry.extract import extract
from flowsdf.models.deepsdf import LATENT_DIM, LATENT_PENALTY, DeepSDF, clamped_l1, field, objective
from flowsdf.studies.threads import side_by_side
from flowsdf.train.loop import Average, autocast_dtype, best_device, cosine, generator_at, train
from flowsdf.train.progress import follow

LATENT_INIT = 0.01  # standard deviation
WARMUP = 100  # steps
EMA_EVERY = 8  # steps
ORDER_SEED = 2**32  # apart from the seeds of the points


class AutoDecoder(nn.Module):
    """The decoder and the latents that are optimised with it."""

    def __init__(self, shapes: int, width: int, depth: int) -> None:
        super().__init__()
        self.decoder = DeepSDF(width, depth)
        self.latents = nn.Embedding(shapes, LATENT_DIM)
        nn.init.normal_(self.latents.weight, std=LATENT_INIT)


def fit_decoder(
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    *,
    width: int,
    depth: int,
    decoder_rate: float,
    latent_rate: float,
    seed: int,
    **settings: Any,  # those of ``train_codes``
) -> tuple[dict[str, Tensor], dict]:
    """Fit a decoder and a latent per shape; tensors ``decoder.*`` and ``latents``, facts with the loss curve.

    The thesis takes 4 shapes and 8,192 points of each a step, Adam at 5e-4 and 1e-3. What is returned is the
    exponential moving average of the weights.
    """
    torch.manual_seed(seed)
    model = AutoDecoder(len(points), width, depth)
    fitted, facts = train_codes(
        model,
        points,
        sdf,
        given=lambda step, shapes, at: (model.latents(shapes), 0.0),
        rates={"decoder": decoder_rate, "latents": latent_rate},
        label="decoder",
        seed=seed,
        **settings,
    )
    return tensors_of(fitted), facts


def train_codes(
    model: AutoDecoder,
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    *,
    given: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor | float]],
    rates: dict[str, float],
    label: str,
    folder: Path | None,
    steps: int,
    shapes_per_step: int,
    points_per_step: int,
    ema: float,
    seed: int,
    penalty: float = LATENT_PENALTY,
) -> tuple[AutoDecoder, dict]:
    """Train a decoder and its codes together, the parts of ``model`` in ``rates`` at their rates; their moving average.

    ``given`` says from the step, its shapes (s,) and points (s, p, 3) the codes (s, 64) and what they add to the
    objective. The facts hold the loss curve and the steps.
    """
    device = best_device()
    model, points, sdf = model.to(device), points.to(device), sdf.to(device)
    mean = Average(model, ema, every=EMA_EVERY)
    groups = [{"params": getattr(model, part).parameters(), "lr": rate} for part, rate in rates.items()]

    def loss_at(step: int) -> Tensor:
        shapes, chosen = batch_at(seed, step, len(points), points.shape[1], shapes_per_step, points_per_step)
        shapes, chosen = shapes.to(device), chosen.to(device)
        at, truth = points[shapes[:, None], chosen], sdf[shapes[:, None], chosen]
        codes, extra = given(step, shapes, at)
        return objective(model.decoder, codes, at, truth, penalty=penalty) + extra

    records = train(
        loss_at,
        model,
        torch.optim.Adam(groups, fused=True),
        steps=steps,
        schedule=cosine(steps, warmup=min(WARMUP, steps // 10)),
        ema=mean,
        autocast=autocast_dtype(device),
        folder=folder,
        fingerprint=f"{label} of {sum(p.numel() for p in model.parameters())} {len(points)} {steps} {seed}",
        every=500,
    )
    curve = follow(records, label, steps)
    return mean.module, {"curve": curve, "steps": steps}


def tensors_of(fitted: AutoDecoder) -> dict[str, Tensor]:
    """The tensors of a fit, ``decoder.*`` and ``latents``."""
    decoder = {f"decoder.{name}": tensor for name, tensor in fitted.decoder.state_dict().items()}
    return decoder | {"latents": fitted.latents.weight}


def enough(shapes: list) -> list:
    """The shapes, if a space of codes can be learned from them; Failed for fewer than two."""
    if len(shapes) < 2:
        raise Failed(
            f"{len(shapes)} usable training shape: a decoder could memorise it, but no code space, "
            "interpolation or image model can be learned from one; add a second mesh (the page of 00_data stands)"
        )
    return shapes


def batch_at(
    seed: int, step: int, shapes: int, points: int, shapes_per_step: int, points_per_step: int
) -> tuple[Tensor, Tensor]:
    """The shapes of one step and the points of each, (s,) and (s, p); in an epoch no shape comes twice."""
    per_step = min(shapes_per_step, shapes)
    epoch, place = divmod(step, shapes // per_step)
    order = torch.randperm(shapes, generator=generator_at(seed + ORDER_SEED, epoch))
    chosen = order[place * per_step : (place + 1) * per_step]
    return chosen, torch.randint(points, (per_step, points_per_step), generator=generator_at(seed, step))


def restore(tensors: dict[str, Tensor]) -> tuple[DeepSDF, Float[Tensor, "s 64"]]:
    """The decoder and the latents of a fit, on this machine's device."""
    weights = {name.removeprefix("decoder."): t for name, t in tensors.items() if name.startswith("decoder.")}
    depth = sum(name.startswith("hidden") and name.endswith("weight") for name in weights)
    decoder = DeepSDF(len(weights["out.weight"][0]), depth)
    decoder.load_state_dict(weights)
    device = best_device()
    return decoder.to(device).eval().requires_grad_(False), tensors["latents"].to(device)


def error_per_shape(
    decoder: DeepSDF, latents: Float[Tensor, "s 64"], points: Float[Tensor, "s n 3"], sdf: Float[Tensor, "s n"]
) -> Float[Tensor, " s"]:
    """The mean clamped L1 of each shape over all its points, in float32."""
    errors = [
        clamped_l1(torch.as_tensor(field(decoder, latent)(at.cpu().numpy())), truth.cpu()).mean()
        for latent, at, truth in zip(latents, points, sdf, strict=True)
    ]
    return torch.stack(errors)


def surfaces(decoder: DeepSDF, latents: Float[Tensor, "s 64"], resolution: int) -> list[Surface]:
    """The surface of each latent at ``resolution``: coarse to fine, in float32 beside every zero.

    On a CPU several are decoded side by side.
    """
    tasks = [(decoder, z.clone(), resolution) for z in latents.detach()]
    return each(_surface, tasks, label="surfaces") if latents.device.type == "cpu" else [*map(_surface, tasks)]


def _surface(task: tuple[DeepSDF, Float[Tensor, " d"], int]) -> Surface:
    decoder, latent, resolution = task
    return surface(decoder, latent, resolution, dtype=autocast_dtype(latent.device))


def surface(
    decoder: DeepSDF, latent: Float[Tensor, " d"], resolution: int, *, dtype: torch.dtype | None = None
) -> Surface:
    """The surface of one latent at ``resolution``, its coarse levels in ``dtype`` where one is given.

    On a CPU threads share the points out among them: a product of one region's is too small for two.
    """

    def at(precision: torch.dtype | None) -> Field:
        of = field(decoder, latent, autocast_dtype=precision)
        if latent.device.type != "cpu":
            return of
        return lambda points: np.concatenate(side_by_side(of, np.array_split(points, torch.get_num_threads())))

    return extract(at(None), resolution, coarse=at(dtype) if dtype else None)


def path(a: Float[Tensor, " d"], b: Float[Tensor, " d"], count: int) -> Float[Tensor, "{count} d"]:
    """``count`` codes on the straight line from a to b, both ends included."""
    weight = torch.linspace(0, 1, count, device=a.device)[:, None]
    return (1 - weight) * a + weight * b


def as_tensors(*arrays: Sequence | np.ndarray) -> tuple[Tensor, ...]:
    """Arrays as float32 tensors."""
    return tuple(torch.as_tensor(np.asarray(array), dtype=torch.float32) for array in arrays)

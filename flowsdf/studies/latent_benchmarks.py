"""Speed of the search for the codes of unseen shapes beside the obvious alternative, Adam."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flowsdf.data import procedural
from flowsdf.data.executor_processes import end_workers
from flowsdf.models.deepsdf import DeepSDF, objective
from flowsdf.studies import deepsdf
from flowsdf.studies.benchmarks import Row, in_turn
from flowsdf.studies.latent_fit import POINTS, fit_latents
from flowsdf.studies.network_benchmarks import samples
from flowsdf.train.loop import autocast_dtype, cosine, generator_at, train

ADAM_RATE = 0.05  # DeepSDF's 0.005 is far from done after hundreds of steps
STEPS = 60, 400  # ours, and those of Adam


def unseen_latents(
    decoder: DeepSDF,
    latents: Float[Tensor, "s 64"],
    *,
    points: int,
    resolution: int,
    names: Sequence[str] = procedural.SPECIALS,
    steps: tuple[int, int] = STEPS,
) -> Row:
    """Codes of shapes that the decoder never saw: damped Gauss-Newton steps against DeepSDF's way, Adam."""
    at, sdf = samples([procedural.special(name) for name in names], points, resolution, latents.device)
    tensors = {f"decoder.{name}": t for name, t in decoder.state_dict().items()} | {"latents": latents}
    end_workers()  # of earlier comparisons, which would make this one another
    seconds, plain_seconds, (ours, _), plain = in_turn(
        lambda: fit_latents(tensors, at, sdf, folder=None, steps=steps[0], seed=0),
        lambda: latents_by_adam(decoder, latents.mean(0), at, sdf, steps=steps[1]),
    )
    errors = [deepsdf.error_per_shape(decoder, z, at, sdf).mean() for z in (ours["latents"], plain)]
    note = (
        f"codes of {len(at)} unseen shape(s), {POINTS} points a step, {steps[0]} steps; baseline: {steps[1]} of Adam "
    )
    note += f"at {ADAM_RATE}; difference: ours minus Adam's mean clamped L1 ({errors[0]:.5f}, {errors[1]:.5f})"
    return Row(seconds, plain_seconds, "s", float(errors[0] - errors[1]), note)


def latents_by_adam(
    decoder: DeepSDF,
    start: Float[Tensor, " d"],
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    *,
    steps: int,
) -> Float[Tensor, "s d"]:
    """A code for each shape by DeepSDF's own search, at ten times its rate, which ends nearer to the shape."""
    codes = nn.Embedding.from_pretrained(start.repeat(len(points), 1), freeze=False)
    rows = torch.arange(len(points))[:, None]

    def loss_at(step: int) -> Tensor:
        chosen = torch.randint(points.shape[1], (len(points), POINTS), generator=generator_at(0, step))
        return objective(decoder, codes.weight, points[rows, chosen], sdf[rows, chosen])

    optimizer = torch.optim.Adam(codes.parameters(), lr=ADAM_RATE)
    for _ in train(
        loss_at, codes, optimizer, steps=steps, schedule=cosine(steps), autocast=autocast_dtype(start.device)
    ):
        pass
    return codes.weight.detach()

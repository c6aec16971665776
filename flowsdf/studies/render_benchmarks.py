"""Speed of the silhouette renderer: gradients where there are any, against every sample of every ray differentiated."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.conventions import Field
from flowsdf.geometry import implicit
from flowsdf.geometry.render import (
    least_of_all,
    rays_of,
    seen_from,
    silhouette_loss,
    sparse_silhouette_loss,
)
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.models.flow_sdf import CODE_DIM, silhouette_decoder
from flowsdf.studies.benchmarks import Row, in_turn
from flowsdf.studies.image_losses import searches
from flowsdf.studies.solids import on_tensors

DIRECTION = np.array([[0.64, 0.42, 0.64]])
TEMPERATURE = 0.02
SOLIDS: dict[str, Field | None] = {
    "untrained": None,
    "box": implicit.box((0.8, 1.0, 0.5)),
    "thin plate": implicit.box((1.2, 0.03, 0.9)),
}


def silhouette(*, size: int, depths: int, steps: int, rounds: int) -> Row:
    """Loss and gradient of one image, sparse against dense, of an untrained decoder and of two trained ones."""
    rays = rays_of(size, depths)
    points = seen_from(rays, DIRECTION / np.linalg.norm(DIRECTION))
    seconds, notes, gaps = [], [], []
    for name, field in SOLIDS.items():
        decoder, code = fitted(field, steps=steps)
        truth = on_tensors(field or implicit.sphere(0.6))
        inside = least_of_all(truth, points) < 0
        given = (points, inside, size * size)
        ours, baseline, sparse, dense = in_turn(
            lambda d=decoder, z=code, g=given: gradient(d, z, *g, sparse=True),
            lambda d=decoder, z=code, g=given: gradient(d, z, *g, sparse=False),
            rounds=rounds,
        )
        seconds.append((ours, baseline))
        gaps.append(abs(sparse[0] - dense[0]))
        angle = float(torch.cosine_similarity(sparse[1], dense[1], dim=0))
        notes.append(
            f"{name} {baseline / ours:.1f} (loss {dense[0]:.4f}, {gaps[-1]:.1g} off, gradient's cosine {angle:.5f})"
        )
    note = (
        f"loss and gradient of one {size} x {size} x {depths} silhouette, mean of three decoders, median of {rounds}; "
    )
    note += f"baseline: every sample differentiated; difference: of the loss; ratios: {'; '.join(notes)}"
    mean_ours, mean_baseline = np.mean(seconds, axis=0).tolist()
    return Row(mean_ours, mean_baseline, "s", max(gaps), note)


def fitted(field: Field | None, *, steps: int) -> tuple[DeepSDF, Float[Tensor, "1 128"]]:
    """A decoder and one code, after some steps towards the distances of a solid, if one is given."""
    torch.manual_seed(0)
    decoder, code = silhouette_decoder(), 0.04 * torch.randn(1, CODE_DIM)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-3)
    for _ in range(steps if field else 0):
        points = 2 * torch.rand(1, 2000, 3) - 1
        optimizer.zero_grad()
        (decoder(code, points) - on_tensors(field)(points)).abs().mean().backward()
        optimizer.step()
    return decoder, code


def gradient(
    decoder: DeepSDF,
    code: Float[Tensor, "1 128"],
    points: Float[Tensor, "1 r d 3"],
    inside: Tensor,
    pixels: int,
    *,
    sparse: bool,
) -> tuple[float, Tensor]:
    """The silhouette loss and its gradient, flat."""
    latents = code.clone().requires_grad_()
    field = partial(decoder, latents)
    if sparse:
        loss = sparse_silhouette_loss(field, searches(decoder, code), points, inside, TEMPERATURE, pixels=pixels)
    else:
        loss = silhouette_loss(least_of_all(field, points), inside, TEMPERATURE, pixels=pixels)
    slopes = torch.autograd.grad(loss, [latents, *decoder.parameters()])
    return loss.item(), torch.cat([slope.flatten() for slope in slopes])

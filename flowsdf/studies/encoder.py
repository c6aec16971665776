"""The shipped image encoder: a small DINOv2 trained by self-distillation on renders of procedural training shapes.

``make encoder`` runs it again and writes ``flowsdf/data/encoder``.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.data import procedural
from flowsdf.data.encoders import SHIPPED
from flowsdf.data.features import normalise, small_encoder
from flowsdf.data.views import render_views
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.geometry.mesh import normalise as to_unit_sphere
from flowsdf.train.fits import fit
from flowsdf.train.loop import autocast_dtype, averaged, cosine, generator_at, train
from flowsdf.train.progress import follow, progress

IMAGE, LOCAL = 112, 56  # pixels a side of a global and of a local crop
GLOBAL_CROPS, LOCAL_CROPS = 2, 3
PROTOTYPES = 2048
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.05
TEACHER_DECAY = 0.99
SPREAD = 0.1  # weight of the KoLeo term, which keeps the features of a batch apart


class Branch(nn.Module):
    """An encoder and the head whose outputs are compared: class token -> scores of the prototypes (Caron 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = small_encoder()
        self.head = nn.Sequential(nn.Linear(192, 512), nn.GELU(), nn.Linear(512, 128))
        self.prototypes = nn.Linear(128, PROTOTYPES, bias=False)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b p"]]:
        token = self.encoder(pixel_values=pixels).last_hidden_state[:, 0]
        directions = functional.normalize(self.prototypes.weight, dim=1)
        return token, functional.linear(functional.normalize(self.head(token), dim=1), directions)


def training_views(shapes: int, views: int) -> UInt8[Tensor, "s v h w 3"]:
    """``views`` views of each of the first ``shapes`` procedural training shapes."""
    directions = fibonacci_sphere(64)
    images = []
    for index in progress(range(shapes), "rendering"):
        mesh, _, _ = to_unit_sphere(procedural.clean_mesh(procedural.training(index)))
        chosen = np.random.default_rng(index).permutation(64)[:views]
        images.append(render_views(mesh, directions[chosen], size=IMAGE))
    return torch.from_numpy(np.stack(images))


def distil(
    images: UInt8[Tensor, "s v h w 3"],
    *,
    folder: Path | None,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> tuple[dict[str, Tensor], dict]:
    """Train a student to agree with its own moving average on other views and crops of the same shape (Caron 2021).

    Returns the teacher's encoder. Targets are balanced over the prototypes by Sinkhorn-Knopp (Oquab 2023).
    """
    torch.manual_seed(seed)
    student = Branch()
    teacher = averaged(student, TEACHER_DECAY)

    def loss_at(step: int) -> Tensor:
        random = generator_at(seed, step)
        shapes = torch.randperm(len(images), generator=random)[:batch]
        large = [crops(images, shapes, IMAGE, (0.5, 1.0), random) for _ in range(GLOBAL_CROPS)]
        small = [crops(images, shapes, LOCAL, (0.15, 0.5), random) for _ in range(LOCAL_CROPS)]
        with torch.no_grad():
            _, scores = teacher.module(torch.cat(large))
            targets = [balanced(part) for part in scores.float().chunk(GLOBAL_CROPS)]
        tokens, seen = student(torch.cat(large))
        outputs = [*seen.chunk(GLOBAL_CROPS), *student(torch.cat(small))[1].chunk(LOCAL_CROPS)]
        pairs = [(t, o) for i, t in enumerate(targets) for j, o in enumerate(outputs) if i != j]
        agreement = sum(
            -(t * functional.log_softmax(o.float() / STUDENT_TEMPERATURE, 1)).sum(1).mean() for t, o in pairs
        )
        return agreement / len(pairs) + SPREAD * sum(koleo(part.float()) for part in tokens.chunk(GLOBAL_CROPS))

    records = train(
        loss_at,
        student,
        torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=0.05),
        steps=steps,
        schedule=cosine(steps, warmup=min(100, steps // 10)),
        ema=teacher,
        autocast=autocast_dtype(),
        folder=folder,
        fingerprint=f"{steps} {batch} {seed}",
        every=100,
    )
    curve = follow(records, "distilling", steps)
    return dict(teacher.module.encoder.state_dict()), {"curve": curve, "steps": steps}


def crops(
    images: Tensor, shapes: Tensor, size: int, area: tuple[float, float], random: torch.Generator
) -> Float[Tensor, "b 3 size size"]:
    """One random view of each shape, cut to a random part of its area, mirrored or not, brighter or darker."""
    count = len(shapes)
    views = torch.randint(images.shape[1], (count,), generator=random)
    pixels = images[shapes, views].permute(0, 3, 1, 2).float()  # (b, 3, h, w)
    side = (area[0] + (area[1] - area[0]) * torch.rand(count, generator=random)).sqrt()
    centre = (torch.rand(count, 2, generator=random) * 2 - 1) * (1 - side)[:, None]
    mirror = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0], affine[:, 1, 1], affine[:, :, 2] = side * mirror, side, centre
    grid = functional.affine_grid(affine, [count, 3, size, size], align_corners=False)
    cut = functional.grid_sample(pixels, grid, align_corners=False)
    gain = 0.7 + 0.6 * torch.rand(count, 1, 1, 1, generator=random)
    return normalise((cut * gain).clamp(0, 255).permute(0, 2, 3, 1), size)


def cross_entropy(target: Float[Tensor, "b p"], scores: Float[Tensor, "b p"]) -> Float[Tensor, ""]:
    """The mean cross-entropy of soft targets."""
    return -(target * functional.log_softmax(scores, 1)).sum(1).mean()


def balanced(scores: Float[Tensor, "b p"], *, rounds: int = 3) -> Float[Tensor, "b p"]:
    """Soft assignments to the prototypes, used equally over the batch (Sinkhorn-Knopp)."""
    q = torch.exp((scores - scores.max()) / TEACHER_TEMPERATURE)
    for _ in range(rounds):
        q = q / q.sum(0, keepdim=True).clamp_min(1e-12)
        q = q / q.sum(1, keepdim=True).clamp_min(1e-12)
    return q


def koleo(tokens: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """-mean log distance to the nearest other token on the sphere (Sablayrolles 2019): small when they spread."""
    unit = functional.normalize(tokens, dim=1)
    cosine_to = unit @ unit.T - 2 * torch.eye(len(unit), device=unit.device)
    return -torch.log((2 - 2 * cosine_to.max(1).values).clamp_min(1e-8).sqrt()).mean()


def save_encoder(weights: dict[str, Tensor], folder: Path) -> None:
    """Write an encoder as transformers reads it: config.json and model.safetensors."""
    model = small_encoder()
    model.load_state_dict(weights)
    model.save_pretrained(folder)


def main(store: Path = Path("artifacts/encoder"), *, shapes: int = 480, views: int = 16, steps: int = 500) -> None:
    """Render, distil and replace the shipped encoder."""
    result = fit(
        distil,
        training_views(shapes, views),
        store=store,
        name="encoder",
        parameters={"steps": steps, "batch": 64, "rate": 1e-3, "seed": 0},
        inputs={"shapes": f"procedural training 0..{shapes - 1}", "views": str(views)},
    )
    save_encoder(result.tensors, SHIPPED)

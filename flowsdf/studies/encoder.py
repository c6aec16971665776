"""The shipped image encoder: a small DINOv2 trained by self-distillation on renders of procedural training shapes.

``make encoder`` runs it again and writes ``flowsdf/data/encoder``.
"""

from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.data import procedural
from flowsdf.data.encoders import SHIPPED
from flowsdf.data.executor import map_tasks
from flowsdf.data.features import normalise, small_encoder
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.geometry.mesh import normalise as to_unit_sphere
from flowsdf.train.fits import fit
from flowsdf.train.loop import Average, autocast_dtype, cosine, generator_at, train
from flowsdf.train.progress import follow

IMAGE, SMALL = 112, 56  # pixels a side: of a render and the last steps, of all steps before
VIEWS = 32  # of each shape, on the same sphere
AROUND = 6  # views about one direction from which a step's crops are taken
AREA = (0.5, 1.0)  # of a view, that a crop keeps
TEMPERATURE = 0.1
TEACHER_DECAY = 0.99
SPREAD = 0.1  # weight of the KoLeo term, which keeps the features of a batch apart


class Branch(nn.Module):
    """An encoder and the head whose directions are compared: class token -> unit vector of 128."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = small_encoder()
        self.encoder.set_attn_implementation("eager")  # on a CPU twice as fast for so few tokens
        self.head = nn.Sequential(nn.Linear(192, 512), nn.GELU(), nn.Linear(512, 128))

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b 128"]]:
        token = self.encoder(pixel_values=pixels).last_hidden_state[:, 0]
        return token, functional.normalize(self.head(token).float(), dim=1)


def training_views(shapes: int) -> UInt8[Tensor, "s v h w 3"]:
    """The same views of each of the first ``shapes`` procedural training shapes."""
    images = map_tasks(_views, range(shapes), label="rendering")
    return torch.stack([torch.from_numpy(views) for views in images])


def directions() -> Float[Tensor, "v 3"]:
    """Where the training views look from: an even choice of the directions of the data set."""
    return torch.tensor(fibonacci_sphere(64)[:: 64 // VIEWS], dtype=torch.float32)


def _views(index: int):
    from flowsdf.data.views import render_views  # a renderer belongs in a worker

    mesh, _, _ = to_unit_sphere(procedural.clean_mesh(procedural.training(index)))
    return render_views(mesh, directions().numpy(), size=IMAGE)


def distil(
    images: UInt8[Tensor, "s v h w 3"],
    start: dict[str, Tensor] | None = None,
    *,
    folder: Path | None,
    size: int,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> tuple[dict[str, Tensor], dict]:
    """Train a student to tell, among a batch of shapes, which one its own moving average saw in another crop.

    Self-distillation with the teacher's answers as prototypes (He 2020, Chen 2021). All crops of a step are taken
    about one direction, so that what tells shapes apart is never the pose. Returns the teacher's encoder and head.
    """
    torch.manual_seed(seed)
    student = Branch()
    if start:
        student.load_state_dict(start)
    teacher = Average(student, TEACHER_DECAY)
    near = (directions() @ directions().T).argsort(1, descending=True)[:, :AROUND]

    def loss_at(step: int) -> Tensor:
        random = generator_at(seed, step)
        shapes = torch.randperm(len(images), generator=random)[:batch]
        around = near[torch.randint(len(near), (), generator=random)]
        pixels = torch.cat([crops(images, shapes, around, size, random) for _ in range(2)])
        with torch.no_grad():
            _, prototypes = teacher.module(pixels)
        tokens, answers = student(pixels)
        pairs = zip(answers.chunk(2), prototypes.chunk(2)[::-1], strict=True)
        return sum(told_apart(a, p) for a, p in pairs) / 2 + SPREAD * sum(koleo(part) for part in tokens.chunk(2))

    records = train(
        loss_at,
        student,
        torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=0.05),
        steps=steps,
        schedule=cosine(steps, warmup=min(100, steps // 10)),
        ema=teacher,
        autocast=autocast_dtype(),
        folder=folder,
        fingerprint=f"{size} {steps} {batch} {seed}",
        every=100,
    )
    curve = follow(records, f"distilling at {size} pixels", steps)
    return dict(teacher.module.state_dict()), {"curve": curve, "steps": steps}


def crops(
    images: UInt8[Tensor, "s v h w 3"],
    shapes: Int[Tensor, " b"],
    views: Int[Tensor, " k"],
    size: int,
    random: torch.Generator,
) -> Float[Tensor, "b 3 size size"]:
    """One of the ``views`` of each shape, cut to a random part of its area, brighter or darker."""
    count = len(shapes)
    chosen = views[torch.randint(len(views), (count,), generator=random)]
    pixels = images[shapes, chosen].permute(0, 3, 1, 2).float()  # (b, 3, h, w)
    pixels = functional.avg_pool2d(pixels, pixels.shape[-1] // size)
    side = (AREA[0] + (AREA[1] - AREA[0]) * torch.rand(count, generator=random)).sqrt()
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = side
    affine[:, :, 2] = (torch.rand(count, 2, generator=random) * 2 - 1) * (1 - side)[:, None]
    cut = functional.grid_sample(
        pixels, functional.affine_grid(affine, [count, 3, size, size], align_corners=False), align_corners=False
    )
    gain = 0.7 + 0.6 * torch.rand(count, 1, 1, 1, generator=random)
    return normalise((cut * gain).clamp(0, 255).permute(0, 2, 3, 1), size)


def told_apart(answers: Float[Tensor, "b d"], prototypes: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """The mean cross-entropy of telling each answer's own prototype from the others (van den Oord 2018)."""
    return functional.cross_entropy(answers @ prototypes.T / TEMPERATURE, torch.arange(len(answers)))


def koleo(tokens: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """-mean log distance to the nearest other token on the sphere (Sablayrolles 2019): small when they spread."""
    unit = functional.normalize(tokens.float(), dim=1)
    cosine_to = unit @ unit.T - 2 * torch.eye(len(unit), device=unit.device)
    return -torch.log((2 - 2 * cosine_to.max(1).values).clamp_min(1e-8).sqrt()).mean()


def save_encoder(weights: dict[str, Tensor], folder: Path) -> None:
    """Write an encoder as transformers reads it: config.json and model.safetensors."""
    model = small_encoder()
    model.load_state_dict(weights)
    model.save_pretrained(folder)


def main(store: Path = Path("artifacts/encoder"), *, shapes: int = 480, steps: int = 2400, last: int = 300) -> None:
    """Render, distil at half the resolution and then at the whole, and replace the shipped encoder."""
    images = training_views(shapes)
    inputs = {"shapes": f"procedural training 0..{shapes - 1}", "views": str(VIEWS)}
    common = {"batch": 128, "seed": 0}
    small = fit(
        distil,
        images,
        store=store,
        name="small",
        parameters=common | {"size": SMALL, "steps": steps, "rate": 1e-3},
        inputs=inputs,
    )
    whole = fit(
        distil,
        images,
        small.tensors,
        store=store,
        name="whole",
        parameters=common | {"size": IMAGE, "steps": last, "rate": 3e-4},
        inputs=inputs | {"start": small.facts["fingerprint"]},
    )
    prefix = "encoder."
    save_encoder({n.removeprefix(prefix): t for n, t in whole.tensors.items() if n.startswith(prefix)}, SHIPPED)

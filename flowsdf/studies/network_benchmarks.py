"""Speed of the networks beside the obvious alternative: extraction, a training step, from an image to a mesh."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from flowsdf.data import procedural
from flowsdf.data.encoders import encoder_hash
from flowsdf.data.features import Encoder, load_encoder
from flowsdf.data.sdf import exact_sdf, sample_points
from flowsdf.geometry.extract import extract_dense
from flowsdf.geometry.mesh import normalise
from flowsdf.geometry.watertight import watertight
from flowsdf.models.deepsdf import LATENT_PENALTY, DeepSDF, clamped_l1, field, objective
from flowsdf.models.latent_dit import LatentDiT
from flowsdf.studies import deepsdf
from flowsdf.studies.benchmarks import Row, in_turn, mesh_gap
from flowsdf.studies.export import Model, encoder_of, load_model, mesh_from_images, save_model
from flowsdf.train import checkpoint
from flowsdf.train.loop import autocast_dtype
from flowsdf.train.progress import progress

RUNS = ("procedural-laptop", "procedural-thesis")  # whose decoders are trained well enough to be measured


class Batch(NamedTuple):
    """What one step of training sees, and the decoder and latents that it trains."""

    decoder: DeepSDF
    latents: Float[Tensor, "s 64"]
    points: Float[Tensor, "s p 3"]
    sdf: Float[Tensor, "s p"]


def trained_decoders(artifacts: Path, model: Model, width: int = 512) -> list[tuple[DeepSDF, Float[Tensor, "s 64"]]]:
    """Two decoders of ``width`` with their latents: those of finished runs, else the shipped one alone."""
    found = []
    for path in [p for run in RUNS for p in sorted((artifacts / run / "11_deepsdf").glob("*.safetensors"))]:
        tensors, _ = checkpoint.read(path)
        if len(tensors["decoder.out.weight"][0]) == width:
            found.append(deepsdf.restore(tensors))
    return (found or [(model.decoder, model.latents)])[:2]


def extraction(decoders: Sequence[tuple[DeepSDF, Float[Tensor, "s 64"]]], *, resolution: int, shapes: int) -> Row:
    """``shapes`` surfaces of each decoder, coarse to fine as everywhere here, against every node in float32."""
    tasks = [(decoder, code) for decoder, codes in decoders for code in codes[:shapes]]
    seconds, pairs = [], []
    for decoder, code in progress(tasks, f"extraction at {resolution}^3"):
        fast, slow, surfaces, dense = in_turn(
            lambda d=decoder, z=code: deepsdf.surfaces(d, z[None], resolution),
            lambda d=decoder, z=code: extract_dense(field(d, z), resolution),
        )
        seconds.append((fast, slow))
        pairs.append((surfaces[0].mesh, dense.mesh))
    ratios = ", ".join(f"{slow / fast:.1f}" for fast, slow in seconds)
    coarse = str(autocast_dtype(tasks[0][1].device) or torch.float32).removeprefix("torch.")
    note = (
        f"a surface at {resolution}^3, mean of {len(tasks)} from {len(decoders)} decoder(s), ratios {ratios}; coarse "
    )
    note += f"levels {coarse}, the finest float32; baseline: all nodes; {_faces(pairs)} faces; "
    ours, baseline = np.mean(seconds, axis=0).tolist()
    return Row(ours, baseline, "s", *mesh_gap(pairs, note))


def decoder_field(decoders: Sequence[tuple[DeepSDF, Float[Tensor, "s 64"]]], *, points: int, rounds: int) -> Row:
    """The float32 field of one shape as extraction evaluates it, against the network's own forward pass."""
    decoder, latents = decoders[0]
    at = np.random.default_rng(0).uniform(-1, 1, (points, 3)).astype(np.float32)

    @torch.inference_mode()
    def forward() -> np.ndarray:
        return decoder(latents[0], torch.as_tensor(at, device=latents.device)).cpu().numpy()

    seconds, plain_seconds, ours, plain = in_turn(lambda: field(decoder, latents[0])(at), forward, rounds=rounds)
    note = f"{points:,} points of one shape in float32, median of {rounds}; baseline: the decoder's forward pass"
    return Row(seconds, plain_seconds, "s", float(np.abs(ours - plain).max()), note)


def _faces(pairs: Sequence[tuple]) -> str:
    counts = sorted(len(mesh.faces) for mesh, _ in pairs)
    return f"{counts[0]:,} to {counts[-1]:,}"


def training_batch(decoder: DeepSDF, latents: Float[Tensor, "s 64"], *, points: int, resolution: int) -> Batch:
    """A step's points of the first four training shapes, whose codes are the first four latents."""
    at, sdf = samples([procedural.training(i) for i in range(min(4, len(latents)))], points, resolution, latents.device)
    return Batch(copy.deepcopy(decoder).requires_grad_(True), latents[: len(at)].clone(), at, sdf)


def samples(
    shapes: Sequence[procedural.Procedural], points: int, resolution: int, device: torch.device
) -> tuple[Float[Tensor, "s p 3"], Float[Tensor, "s p"]]:
    """Points of built-in shapes and their signed distances, as `00_data` draws them."""
    sets = []
    for number, shape in enumerate(shapes):
        mesh, _, _ = normalise(procedural.clean_mesh(shape))
        mesh = watertight(mesh, resolution=resolution).mesh
        drawn = sample_points(mesh, points, np.random.default_rng(number))
        sets.append((drawn, exact_sdf(drawn, mesh)))
    at, sdf = deepsdf.as_tensors(*map(np.stack, zip(*sets, strict=True)))
    return at.to(device), sdf.to(device)


def deepsdf_step(batch: Batch, *, rounds: int) -> Row:
    """One step's loss and gradient: points that cannot have a gradient left out, against all points."""
    seconds, plain_seconds, ours, plain = in_turn(
        lambda: gradient(batch, objective), lambda: gradient(batch, plain_objective), rounds=rounds
    )
    value, slope = _relative(ours[0], plain[0]), _relative(ours[1], plain[1])
    note = f"loss and gradient of {batch.sdf.shape[0]} x {batch.sdf.shape[1]:,} points in float32, median of {rounds}; "
    note += f"baseline: all points differentiated; difference: of the gradient, relative ({value:.1g} of the loss)"
    return Row(seconds, plain_seconds, "s", slope, note)


def deepsdf_bf16(batch: Batch, *, rounds: int, steps: int, width: int, depth: int) -> Row:
    """One step's loss and gradient in bfloat16 against float32, and short fits of either for their quality."""
    dtype = autocast_dtype(batch.latents.device)
    seconds, full_seconds, ours, full = in_turn(
        lambda: gradient(batch, objective, dtype), lambda: gradient(batch, objective), rounds=rounds
    )
    errors = [short_fit(batch, half, steps=steps, width=width, depth=depth) for half in (dtype, None)]
    note = f"loss and gradient of {batch.sdf.shape[0]} x {batch.sdf.shape[1]:,} points, median of {rounds}; baseline: "
    note += "float32; difference: of the loss, relative; "
    note += f"quality: after {steps} steps from the same start the mean clamped L1 is {errors[0]:.5f} in bfloat16, "
    note += f"{errors[1]:.5f} in float32" + ("" if dtype else "; this machine has no fast bfloat16: both are float32")
    return Row(seconds, full_seconds, "s", _relative(ours[0], full[0]), note)


def gradient(batch: Batch, loss_of: Callable, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    """The loss of a batch and its gradient, flat, with respect to the decoder and the latents."""
    latents = batch.latents.detach().requires_grad_(True)
    with torch.autocast(latents.device.type, dtype, enabled=dtype is not None):
        loss = loss_of(batch.decoder, latents, batch.points, batch.sdf)
    slopes = torch.autograd.grad(loss, [latents, *batch.decoder.parameters()])
    return loss.detach(), torch.cat([slope.flatten() for slope in slopes])


def plain_objective(
    decoder: DeepSDF, latents: Float[Tensor, "s 64"], points: Float[Tensor, "s p 3"], sdf: Float[Tensor, "s p"]
) -> Float[Tensor, ""]:
    """The oracle of ``objective``: every point is differentiated."""
    return clamped_l1(decoder(latents, points), sdf).mean() + LATENT_PENALTY * latents.square().sum(-1).mean()


def short_fit(batch: Batch, dtype: torch.dtype | None, *, steps: int, width: int, depth: int) -> float:
    """The mean clamped L1 that a fresh decoder reaches in ``steps`` in one precision, measured in float32."""
    rates = {"decoder_rate": 5e-4, "latent_rate": 1e-3, "ema": 0.9, "seed": 0}
    sizes = {"steps": steps, "shapes_per_step": len(batch.sdf), "points_per_step": min(1024, batch.sdf.shape[1])}
    with mock.patch.object(deepsdf, "autocast_dtype", lambda device: dtype):
        tensors, _ = deepsdf.fit_decoder(
            batch.points, batch.sdf, folder=None, width=width, depth=depth, **sizes, **rates
        )
    return float(deepsdf.error_per_shape(*deepsdf.restore(tensors), batch.points, batch.sdf).mean())


def prediction(model: Model, encoder: Encoder, *, resolution: int, rounds: int) -> Row:
    """From one image to a mesh, everything loaded: bfloat16 where the hardware has it against float32."""
    from flowsdf.data.views import render_views

    direction = np.array([[0.64, 0.42, 0.64]])
    image = render_views(normalise(procedural.clean_mesh(procedural.training(0)))[0], direction)
    dtype = autocast_dtype(model.latents.device)
    answer = lambda half: mesh_from_images(model, encoder, image, direction, resolution=resolution, dtype=half)  # noqa: E731
    answer(dtype)  # once untimed
    seconds, full_seconds, ours, full = in_turn(lambda: answer(dtype), lambda: answer(None), rounds=rounds)
    note = f"one image to a mesh of {len(ours.faces):,} faces at {resolution}^3, median of {rounds}; ours: encoder and "
    note += f"coarse levels {'bfloat16' if dtype else 'float32 (no fast bfloat16 here)'}; baseline: float32; "
    return Row(seconds, full_seconds, "s", *mesh_gap([(ours, full)], note))


def shipped() -> tuple[Model, Encoder]:
    """The shipped model and its encoder."""
    model = load_model()
    return model, encoder_of(model.facts)


def stand_in(folder: Path) -> tuple[Model, Encoder]:
    """A model small enough to be made in seconds, stored in ``folder``: of every image it makes a ball."""
    random = torch.Generator().manual_seed(0)
    distance = 1.5 * torch.rand(1, 4096, 1, generator=random)  # about as many points inside as outside
    points = distance * functional.normalize(torch.randn(1, 4096, 3, generator=random), dim=-1)
    sizes = {"width": 32, "depth": 4, "steps": 200, "shapes_per_step": 1, "points_per_step": 1024}
    rates = {"decoder_rate": 5e-3, "latent_rate": 1e-3, "ema": 0.5, "seed": 0}
    decoder, _ = deepsdf.fit_decoder(points, distance[..., 0] - 0.6, folder=None, **sizes, **rates)
    encoder = load_encoder()
    network = LatentDiT(encoder.model.config.hidden_size, width=32, layers=1, heads=2).state_dict()
    tensors = {f"network.{name}": tensor for name, tensor in network.items()}
    tensors |= {"mean": decoder["latents"][0].clone(), "deviation": torch.full_like(decoder["latents"][0], 1e-3)}
    save_model(folder, decoder | tensors, {"heads": 2, "encoder": encoder.name, "encoder_hash": encoder_hash()})
    return load_model(folder), encoder


def _relative(ours: Tensor, truth: Tensor) -> float:
    return float((ours - truth).norm() / truth.norm())

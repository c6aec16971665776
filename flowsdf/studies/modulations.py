"""A repair of the weight line: one anchor and short codes that modulate it, in place of free weights."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flowsdf.models.modulated import Modulated
from flowsdf.models.pershape import distances, layers_of
from flowsdf.studies.pershape import some_points
from flowsdf.train.loop import autocast_dtype, best_device, cosine, generator_at, train
from flowsdf.train.progress import follow

CODE_SIZE = 0.01  # of the codes at the start, as of DeepSDF's


def fit_modulations(
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    anchor: Float[Tensor, "1 w"],
    *,
    folder: Path | None,
    size: dict,
    code_dim: int,
    rank: int,
    steps: int,
    points_per_step: int,
    rate: float,
    seed: int,
) -> tuple[dict[str, Tensor], dict]:
    """Fit the shared parts and a code for every shape by the L1 of distances: ``network.*``, ``codes``, ``vectors``."""
    torch.manual_seed(seed)
    device = best_device()
    network = Modulated(anchor, code_dim=code_dim, rank=rank, **size)
    codes = nn.Parameter(CODE_SIZE * torch.randn(len(points), code_dim))
    both = nn.ModuleList([network, nn.ParameterList([codes])]).to(device)
    points, sdf = points.to(device), sdf.to(device)

    def loss_at(step: int) -> Tensor:
        at, truth = some_points(points, sdf, points_per_step, generator_at(seed, step))
        decoders = layers_of(network(codes), size["width"], size["depth"], sine=size["sine"])
        return (distances(decoders, at, sine=size["sine"]) - truth).abs().mean()

    optimizer = torch.optim.Adam(
        [
            {"params": list(network.parameters()), "lr": rate},
            {"params": [codes], "lr": 2 * rate},  # as the thesis's latents, twice the decoder's
        ],
        fused=True,
    )
    fingerprint = f"modulations {len(points)} {code_dim} {rank} {steps} {seed}"
    records = train(
        loss_at,
        both,
        optimizer,
        steps=steps,
        schedule=cosine(steps),
        autocast=None if size["sine"] else autocast_dtype(device),
        folder=folder,
        every=200,
        fingerprint=fingerprint,
    )
    curve = follow(records, "modulations", steps)
    with torch.no_grad():
        vectors = network(codes)
    state = {f"network.{name}": tensor.detach() for name, tensor in network.state_dict().items()}
    return state | {"codes": codes.detach(), "vectors": vectors}, {"curve": curve, "steps": steps}


def restore(tensors: dict[str, Tensor], *, size: dict) -> Modulated:
    """The shared parts of a fit, on the CPU."""
    rank, code_dim = tensors["network.parts.scale.0"].shape
    anchor = torch.zeros(1, tensors["vectors"].shape[1])
    network = Modulated(anchor, code_dim=code_dim, rank=rank, **size)
    network.load_state_dict({n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")})
    return network.requires_grad_(False)

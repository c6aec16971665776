"""The shared decoder of DeepSDF (Park 2019): one latent code a shape, one network for all of them."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.conventions import Field
from flowsdf.geometry.curve import along_curve
from flowsdf.models.encoding import positional_encoding

LATENT_DIM = 64
BANDS = 6
CLAMP = 0.1  # delta of the clamped L1; the thesis does not give one
LATENT_PENALTY = 1e-5  # weight of the squared norm of a latent
ROWS = {"cpu": 2048}  # points at a time: what stays in a CPU's cache and below malloc's mmap threshold
ROWS_ELSEWHERE = 1 << 18
BLOCK = 1536  # points at a time of `_in_blocks`
REGION = 512  # and of `_of_live_units`: the more there are, the more units live; the fewer, the slower a product
TERMS = 128  # of a sum at a time there: of more, libraries add up parts
FEWEST = 16  # points at a time there: fewer are multiplied in another way


class DeepSDF(nn.Module):
    """concat(latent, PE(point)) -> `depth` ReLU layers of `width` -> signed distance.

    The middle layer sees concat(hidden, latent, PE(point)), so 8 layers of 512 have 1,945,089 parameters. Weights
    start as `nn.Linear` leaves them (uniform, +- fan_in^-1/2). Without `bands` a point is its three coordinates.
    """

    def __init__(self, width: int = 512, depth: int = 8, *, latent_dim: int = LATENT_DIM, bands: int = BANDS) -> None:
        super().__init__()
        self.latent_dim, self.bands, self.encoded_dim = latent_dim, bands, 3 + 6 * bands
        inputs = latent_dim + self.encoded_dim  # 64 + 39
        fan_in = [inputs] + [width + inputs if i == depth // 2 else width for i in range(1, depth)]
        self.hidden = nn.ModuleList(nn.Linear(n, width) for n in fan_in)
        self.out = nn.Linear(width, 1)

    def forward(self, latents: Float[Tensor, "*s d"], points: Float[Tensor, "*s p 3"]) -> Float[Tensor, "*s p"]:
        """Signed distances of every shape at its own points, computed a few thousand points at a time."""
        terms = self.shape_terms(latents)
        shapes = points.shape[:-2].numel()
        rows = max(1, ROWS.get(points.device.type, ROWS_ELSEWHERE) // max(1, shapes))
        return torch.cat([self.at(terms, part) for part in points.split(rows, dim=-2)], dim=-1)

    def shape_terms(self, latents: Float[Tensor, "*s d"]) -> list[Float[Tensor, "*s 1 width"]]:
        """What the latent adds to the first and to the skip layer, computed once a shape instead of once a point."""
        biases = (self.hidden[i].get_parameter("bias") for i in (0, len(self.hidden) // 2))
        return [
            functional.linear(latents, weight, bias).unsqueeze(-2)
            for weight, bias in zip(self.latent_weights(), biases, strict=True)
        ]

    def latent_weights(self) -> list[Float[Tensor, "width d"]]:
        """What multiplies the latent in the first and in the skip layer."""
        columns = slice(-self.latent_dim - self.encoded_dim, -self.encoded_dim)
        return [self.hidden[i].get_parameter("weight")[:, columns] for i in (0, len(self.hidden) // 2)]

    def at(self, shape_terms: list[Tensor], points: Float[Tensor, "*s p 3"]) -> Float[Tensor, "*s p"]:
        """The rest of `forward`: equal to concatenating the latent to every point, up to rounding."""
        encoded = positional_encoding(points, self.bands)  # (s, p, 39)
        first, *others = self.hidden
        weight = first.get_parameter("weight")
        h = functional.linear(encoded, weight[:, -self.encoded_dim :]) + shape_terms[0]  # (s, p, width)
        for i, layer in enumerate(others, start=1):
            h = functional.relu(h, inplace=True)
            if i == len(self.hidden) // 2:
                weight = layer.get_parameter("weight")
                again = functional.linear(encoded, weight[:, -self.encoded_dim :]) + shape_terms[1]
                h = functional.linear(h, weight[:, : h.shape[-1]]) + again
            else:
                h = layer(h)
        return self.out(functional.relu(h, inplace=True)).squeeze(-1).float()


def clamped_l1(pred: Float[Tensor, "*n"], sdf: Float[Tensor, "*n"], delta: float = CLAMP) -> Float[Tensor, "*n"]:
    """|clamp(pred, delta) - clamp(sdf, delta)| of each point (Park 2019, eq. 4)."""
    return (pred.clamp(-delta, delta) - sdf.clamp(-delta, delta)).abs()


def objective(
    decoder: DeepSDF,
    latents: Float[Tensor, "s 64"],
    points: Float[Tensor, "s p 3"],
    sdf: Float[Tensor, "s p"],
    *,
    penalty: float = LATENT_PENALTY,
) -> Float[Tensor, ""]:
    """The mean clamped L1 of all points, plus the ``penalty`` times the mean squared norm of the latents.

    A point that lies and is predicted beyond the clamp has loss and gradient exactly zero, so only the others are
    differentiated: the value and the gradient are those of the plain mean, for about 70 % of its time.
    """
    chosen = unsettled(decoder, latents, points, sdf)  # (s, a)
    near = points.gather(1, chosen[..., None].expand(-1, -1, 3))
    loss = clamped_l1(decoder(latents, near), sdf.gather(1, chosen)).sum() / sdf.numel()
    return loss + penalty * latents.square().sum(-1).mean()


@torch.no_grad()
def unsettled(
    decoder: DeepSDF, latents: Float[Tensor, "s 64"], points: Float[Tensor, "s p 3"], sdf: Float[Tensor, "s p"]
) -> Int[Tensor, "s a"]:
    """The points of each shape that can have a gradient: those within the clamp, those predicted wrongly, padding."""
    near, far = split(sdf.abs() < CLAMP)  # (s, n), (s, p - n)
    far_points = points.gather(1, far[..., None].expand(-1, -1, 3))
    wrong, _ = split(clamped_l1(decoder(latents, far_points), sdf.gather(1, far)) > 0)
    return torch.cat((near, far.gather(1, wrong)), dim=1)


def split(mask: Bool[Tensor, "s p"]) -> tuple[Int[Tensor, "s n"], Int[Tensor, "s rest"]]:
    """The columns of each row, true ones first, cut where the fullest row has no true one left."""
    order = mask.byte().argsort(dim=1, descending=True, stable=True)
    return order.tensor_split([int(mask.sum(1).max())], dim=1)


def by_latent(
    decoder: DeepSDF, latent: Float[Tensor, " d"], points: Float[Tensor, "p 3"]
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p d"]]:
    """The signed distances of one shape, and the derivative of each by the latent.

    One pass back has them all: what the latent adds to a layer is given to each point as its own.
    """
    terms = [term.detach().repeat(len(points), 1).requires_grad_() for term in decoder.shape_terms(latent)]
    with torch.enable_grad():
        values = decoder.at(terms, points)
        first, again = torch.autograd.grad(values.sum(), terms)
    to_first, to_skip = decoder.latent_weights()
    return values.detach(), first @ to_first + again @ to_skip


def field(decoder: DeepSDF, latent: Float[Tensor, " d"], *, autocast_dtype: torch.dtype | None = None) -> Field:
    """The signed distance field of one shape, as extraction wants it: numpy points (n, 3) to distances (n,)."""
    at = evaluator(decoder, latent, autocast_dtype=autocast_dtype)
    return lambda points: at(torch.as_tensor(points, dtype=torch.float32, device=latent.device)).cpu().numpy()


def evaluator(
    decoder: DeepSDF, latent: Float[Tensor, " d"], *, autocast_dtype: torch.dtype | None = None
) -> Callable[[Float[Tensor, "p 3"]], Float[Tensor, " p"]]:
    """The field of one shape without gradients, as tensors, for the weights as they are now.

    ``autocast_dtype`` where it may be less than float32.
    """
    device = latent.device
    if device.type == "cpu" and (autocast_dtype is None or torch.backends.mkldnn.is_available()):
        with torch.autocast(device.type, enabled=False):
            if autocast_dtype is None:
                return _of_live_units(decoder, latent)
            return torch.no_grad()(_in_blocks(decoder, latent, autocast_dtype))

    @torch.no_grad()
    def at(points: Float[Tensor, "p 3"]) -> Float[Tensor, " p"]:
        with torch.autocast(device.type, autocast_dtype, enabled=autocast_dtype is not None):
            return decoder(latent, points)

    return at


@torch.no_grad()
def _of_live_units(decoder: DeepSDF, latent: Float[Tensor, " d"]) -> Callable[[Tensor], Tensor]:
    """The decoder for one shape on a CPU: `forward` up to rounding, for half the products of a trained network.

    Points near each other share units that are zero at all of them, and these are left out of the next layer's product.
    A sum of few terms is taken in order, whichever zeros it has, so a value does not depend on the points beside it.
    """
    middle, width, encoded_dim = len(decoder.hidden) // 2, decoder.out.in_features, decoder.encoded_dim
    weights = [layer.get_parameter("weight") for layer in decoder.hidden]
    biases = [layer.get_parameter("bias").clone() for layer in decoder.hidden]
    biases[0], biases[middle] = (term.flatten() for term in decoder.shape_terms(latent))
    start, skip = (weights[i][:, -encoded_dim:].clone() for i in (0, middle))
    by_unit = [weight[:, :width].T.contiguous() for weight in weights[1:]]  # (in, out)
    out, out_bias = decoder.out.weight.clone(), decoder.out.bias.clone()

    def at(encoded: Float[Tensor, "e p"]) -> Float[Tensor, " p"]:
        h = torch.addmm(biases[0][:, None], start, encoded)
        for i, weight in enumerate(by_unit, start=1):
            below, h = torch.relu_(h), biases[i][:, None].repeat(1, encoded.shape[1])
            for rows, units in zip(weight.split(TERMS), below.split(TERMS), strict=True):
                live = units.sum(dim=1).nonzero().squeeze(1)
                h.addmm_(rows.index_select(0, live).T, units.index_select(0, live))
            if i == middle:
                h.addmm_(skip, encoded)
        return torch.addmm(out_bias, out, torch.relu_(h)).squeeze(0)

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)
    def of(points: Float[Tensor, "p 3"]) -> Float[Tensor, " p"]:
        order, values = torch.from_numpy(along_curve(points.detach().numpy())), torch.empty(len(points))
        for region in functional.pad(order, (0, -len(order) % FEWEST)).split(REGION):
            values[region] = at(positional_encoding(points[region], decoder.bands).T)
        return values

    return of


@torch.no_grad()
def _in_blocks(decoder: DeepSDF, latent: Float[Tensor, " d"], dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The decoder for one shape in oneDNN's own layout, which saves copies, the latent in its biases."""
    middle, first, again = len(decoder.hidden) // 2, *(term.flatten() for term in decoder.shape_terms(latent))
    encoded_dim, width = decoder.encoded_dim, decoder.out.in_features
    weights: list[Tensor] = [layer.get_parameter("weight") for layer in decoder.hidden]
    biases: list[Tensor] = [layer.get_parameter("bias") for layer in decoder.hidden]
    skip, out = weights[middle][:, -encoded_dim:].to_mkldnn(dtype), decoder.out.weight.to_mkldnn(dtype)
    weights[0], biases[0] = weights[0][:, -encoded_dim:], first
    weights[middle], biases[middle] = weights[middle][:, :width], again
    layers = [(w.to_mkldnn(dtype), b.to_mkldnn()) for w, b in zip(weights, biases, strict=True)]
    out_bias = decoder.out.bias.to_mkldnn()

    def at(points: Float[Tensor, "p 3"]) -> Float[Tensor, " p"]:
        h = encoded = positional_encoding(points, decoder.bands).to_mkldnn(dtype)
        for i, (weight, bias) in enumerate(layers):
            h = functional.linear(h, weight, bias)
            h = torch.relu_(h + functional.linear(encoded, skip) if i == middle else h)
        return functional.linear(h, out, out_bias).to_dense().float().squeeze(-1)

    return lambda points: torch.cat([at(part) for part in points.split(BLOCK)])

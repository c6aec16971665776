"""Flow-SDF (source 000): what gives the shared decoder a code from an image, a CNN in one pass or a flow in eight.

The decoder is DeepSDF's with five layers of 256, a code of 128 numbers and bare coordinates: 330,753 parameters.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.generative.flow import STEPS, Velocity, starts, trajectory
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.models.encoding import sinusoidal_embedding

CODE_DIM = 128
IMAGE_SIZE = 64  # pixels a side
CONDITION_DIM = 256
DECODER_WIDTH = 256
WIDTH = 384  # of the velocity network
BLOCKS = 6
SPHERE_POINTS = 256  # of each code, on which the field starts at zero
TIME_DIM = 64
TIME_SCALE = 1000.0  # flow time times this is what the sinusoids see


def silhouette_decoder(width: int = DECODER_WIDTH) -> DeepSDF:
    """The decoder that images train."""
    return DeepSDF(width, 5, latent_dim=CODE_DIM, bands=0)


@torch.no_grad()
def start_as_sphere(decoder: DeepSDF, codes: Float[Tensor, "s 128"], radius: float) -> None:
    """Give a decoder weights with which codes are about balls of ``radius`` (Atzmon 2020, Gropp 2020).

    Layers that keep the length of what they see, and a last one that measures it; codes have their usual weights.
    """
    width, middle = decoder.out.in_features, len(decoder.hidden) // 2
    for number, layer in enumerate(decoder.hidden):
        weight = layer.get_parameter("weight")
        columns = slice(-decoder.encoded_dim, None) if number == 0 else slice(width)
        nn.init.normal_(weight[:, columns], std=math.sqrt(2 / width))
        if number == middle:
            nn.init.zeros_(weight[:, -decoder.encoded_dim :])
        nn.init.zeros_(layer.get_parameter("bias"))
    nn.init.normal_(decoder.out.weight, math.sqrt(math.pi / width), 1e-4)
    around = radius * functional.normalize(torch.randn(len(codes), SPHERE_POINTS, 3), dim=-1)
    decoder.out.bias -= decoder(codes, around).mean()


class ImageEncoder(nn.Module):
    """A 64 x 64 RGB image -> ``outputs`` numbers: four 4 x 4 convolutions of stride 2, then 4096 -> 512 -> outputs.

    With 256 outputs it is the flow's conditioner of 2,919,136 parameters, with 128 the CNN of stage 1. Weights start as
    He (2015) has them, so that the codes of different images differ from the beginning.
    """

    def __init__(self, outputs: int = CONDITION_DIM) -> None:
        super().__init__()
        channels = (3, 32, 64, 128, 256)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n, m, 4, stride=2, padding=1) for n, m in zip(channels, channels[1:], strict=False)
        )
        self.hidden = nn.Linear(channels[-1] * (IMAGE_SIZE // 16) ** 2, 512)
        self.out = nn.Linear(512, outputs)
        for layer in (*self.convolutions, self.hidden, self.out):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, images: Float[Tensor, "b 3 64 64"]) -> Float[Tensor, "b outputs"]:
        """What the images say."""
        h = images
        for convolution in self.convolutions:
            h = functional.relu(convolution(h))
        return self.out(functional.relu(self.hidden(h.flatten(1))))


class VelocityNet(nn.Module):
    """v(z_t, t, condition): six residual layers of 384, whose norms the time modulates; 3,918,080 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(CODE_DIM + CONDITION_DIM, WIDTH)
        self.time = nn.Sequential(nn.Linear(TIME_DIM, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(BLOCKS))
        self.modulations = nn.Linear(WIDTH, BLOCKS * 3 * WIDTH)
        self.out = nn.Linear(WIDTH, CODE_DIM)

    def modulation(self, t: Float[Tensor, " n"]) -> Float[Tensor, "n 6 3 384"]:
        """What flow times, 0 at noise and 1 at data, do to each layer: two thirds of all weights serve this alone."""
        time = functional.silu(self.time(sinusoidal_embedding(TIME_SCALE * t, TIME_DIM)))
        return self.modulations(time).unflatten(-1, (BLOCKS, 3, WIDTH))

    def forward(
        self, z: Float[Tensor, "b 128"], modulation: Float[Tensor, "*n 6 3 384"], condition: Float[Tensor, "b 256"]
    ) -> Float[Tensor, "b 128"]:
        """dz/dt under the modulation of each z's time, or of one time for all."""
        h = self.start(torch.cat((z, condition), dim=-1))
        for layer, of in zip(self.layers, modulation.unbind(-3), strict=True):
            shift, scale, gate = of.unbind(-2)
            normed = functional.layer_norm(h, (WIDTH,)) * (1 + scale) + shift
            h = h + gate * layer(functional.silu(normed))
        return self.out(functional.silu(functional.layer_norm(h, (WIDTH,))))


class CnnShapes(nn.Module):
    """Stage 1: the code of an image in one pass, and the decoder that makes a distance field of it."""

    def __init__(self, decoder_width: int = DECODER_WIDTH) -> None:
        super().__init__()
        self.encoder, self.decoder = ImageEncoder(CODE_DIM), silhouette_decoder(decoder_width)

    def codes(self, images: Float[Tensor, "b 3 64 64"], noise: Float[Tensor, "b 128"]) -> Float[Tensor, "b 128"]:
        """The codes; the noise plays no part."""
        return self.encoder(images)


class FlowShapes(nn.Module):
    """Stage 2: the code by integrating a velocity from noise, whose standard deviation is ``scale``."""

    scale: Tensor

    def __init__(self, scale: float = 1.0, decoder_width: int = DECODER_WIDTH) -> None:
        super().__init__()
        self.conditioner, self.velocity = ImageEncoder(), VelocityNet()
        self.decoder = silhouette_decoder(decoder_width)
        self.register_buffer("scale", torch.tensor(scale))

    def codes(self, images: Float[Tensor, "b 3 64 64"], noise: Float[Tensor, "b 128"]) -> Float[Tensor, "b 128"]:
        """The codes to which standard normal ``noise`` leads."""
        return self.path(images, noise)[-1]

    def path(
        self, images: Float[Tensor, "b 3 64 64"], noise: Float[Tensor, "b 128"], *, steps: int = STEPS
    ) -> list[Float[Tensor, "b 128"]]:
        """Where the flow is before the first of its steps and after each."""
        return trajectory(self.velocity_of(images), self.scale * noise, self.times(starts(steps)))

    def velocity_of(self, images: Float[Tensor, "b 3 64 64"]) -> Velocity:
        """dz/dt for these images, of z and ``times``; the network sees and says everything in units of ``scale``."""
        condition = self.conditioner(images)
        return lambda z, time: (
            self.scale * self.velocity(z / self.scale, time, condition.repeat(len(z) // len(condition), 1))
        )

    def times(self, t: Float[Tensor, " n"]) -> Float[Tensor, "n 6 3 384"]:
        """Flow times as the velocity takes them; a path asks once for all its steps."""
        return self.velocity.modulation(t.to(self.scale.device))

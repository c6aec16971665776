"""Half way between two shapes, by intervals on a line; and the orders of units, which change no shape."""

import numpy as np
import pytest
import torch

from flowsdf.evaluation import weight_cloud
from flowsdf.studies import pershape, weight_space

SIZE = {"width": 6, "depth": 2}
LINE = np.arange(100)


def test_half_of_a_moved_interval_is_between_its_ends() -> None:
    """Ten numbers, the same moved by six, and by three: IoU 4 / 16 of the ends, 7 / 13 with either."""
    ends = np.stack([LINE < 10, (LINE >= 6) & (LINE < 16)])
    half = ((LINE >= 3) & (LINE < 13))[None]
    found = weight_cloud.half_way(ends, half)
    assert found == pytest.approx({"ends": 0.25, "farther": 7 / 13, "between": 1.0})
    assert weight_cloud.half_way(ends, ends[:1])["between"] == 0  # what stays at one end is no farther than the ends
    assert weight_cloud.half_way(ends, np.zeros((1, 100), bool))["farther"] == 0


@pytest.mark.parametrize("sine", [False, True])
def test_every_order_of_units_is_the_same_shapes(sine: bool) -> None:
    vectors = pershape.starts(3, seed=0, sine=sine, **SIZE)
    at = 2 * torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 1
    fields = {
        order: pershape.restore(torch.from_numpy(of).float(), sine=sine, **SIZE)(at.expand(3, -1, -1)).detach()
        for order, of in weight_space.reordered(vectors.double().numpy(), sine=sine, seed=0, **SIZE).items()
    }
    for order, field in fields.items():
        torch.testing.assert_close(field, fields["as fitted"], atol=1e-4, rtol=1e-4, msg=order)
    found = weight_space.reordered(np.repeat(vectors[:1].double().numpy(), 3, 0), sine=sine, seed=0, **SIZE)
    apart = {order: np.abs(np.diff(of, axis=0)).sum() for order, of in found.items()}
    assert apart["as fitted"] == 0 and apart["mixed, aligned"] < apart["mixed"]


def test_the_mean_of_equal_weights_is_their_shape() -> None:
    """Spheres, which the starts of ReLU decoders are not: a threshold at their own median makes shapes of them."""
    vectors = pershape.starts(1, seed=0, sine=False, **SIZE)
    at = 2 * torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) - 1
    vectors[:, -1] -= pershape.restore(vectors, sine=False, **SIZE)(at[None]).median().detach()
    decoders = pershape.restore(vectors, sine=False, **SIZE)
    same = weight_space.half_way(decoders, vectors.expand(2, -1).double().numpy(), at)
    assert same == {"ends": 1.0, "farther": 1.0, "between": 0.0}


def test_no_noise_leaves_a_shape_as_it_is_and_much_noise_little() -> None:
    vectors = pershape.starts(2, seed=0, sine=False, **SIZE)
    at = 2 * torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 1
    vectors[:, -1] -= pershape.restore(vectors, sine=False, **SIZE)(at.expand(2, -1, -1)).median(1).values.detach()
    none, much = weight_space.under_noise(pershape.restore(vectors, sine=False, **SIZE), at, (0.0, 2.0), seed=0)
    assert none == {"sigma": 0.0, "IoU": 1.0}
    assert much["IoU"] < 0.9


def test_the_noise_that_is_borne_lies_where_the_line_crosses() -> None:
    line = [
        {"sigma": 0.0, "IoU": 1.0},
        {"sigma": 0.1, "IoU": 0.8},
        {"sigma": 0.2, "IoU": 0.4},
        {"sigma": 0.3, "IoU": 0.6},
    ]
    assert weight_space.borne(line) == pytest.approx(0.175)
    assert weight_space.borne(line[:2]) == 0.1 and weight_space.borne(line, least=0.8) == pytest.approx(0.1)

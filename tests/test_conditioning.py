"""What models are told beside colours: the control says nothing new, and no head tells the shapes it saw."""

import pytest
import torch

from flowsdf.studies import conditioning, depth_estimate


def test_colours_again_are_as_wide_and_say_nothing_new() -> None:
    colours = torch.randn(3, 4, 8)
    given = conditioning.conditions(colours, {"depth": torch.randn(3, 4, 8), "coarse depth": torch.randn(3, 4, 2)})
    assert list(given) == ["colours", "colours again", "with depth", "with coarse depth"]
    assert torch.equal(given["colours again"], torch.cat((colours, colours), -1))
    assert given["with depth"].shape == given["colours again"].shape and given["with coarse depth"].shape[-1] == 10
    assert all(torch.equal(told[..., :8], colours) for told in given.values())


def test_maps_cut_into_blocks_come_together_again() -> None:
    maps = torch.arange(3 * 2 * 256.0).view(3, 2, 256)
    blocks = depth_estimate.as_blocks(maps, 64)
    assert blocks.shape == (3, 2, 64, 4) and blocks[0, 0, 0].tolist() == [0, 1, 16, 17]
    assert blocks[0, 0, 9].tolist() == [34, 35, 50, 51]  # the second patch of the second row
    assert torch.equal(depth_estimate.as_map(blocks), maps)
    with pytest.raises(ValueError, match="do not divide"):
        depth_estimate.as_blocks(maps, 49)


def test_heads_learn_what_a_patch_says_and_not_their_own_half() -> None:
    torch.manual_seed(0)
    seen = torch.randn(12, 2, 64, 3)
    truth = (seen[..., :1] - seen[..., 1:2]).sign().expand(-1, -1, -1, 4).clone()
    numbers = {"training": 8, "steps": 300, "batch": 256, "rate": 3e-3, "seed": 0}
    found = depth_estimate.cross_fitted(seen.half(), truth, folder=None, **numbers)
    assert (found - truth).square().mean() < 0.3 < truth.square().mean() == 1
    other = truth.clone()
    other[1] = -other[1]  # of the second half: the head that tells the second half never saw it
    again = depth_estimate.cross_fitted(seen.half(), other, folder=None, **numbers)
    assert torch.equal(again[1::2], found[1::2]) and not torch.equal(again[::2], found[::2])
    errors = depth_estimate.map_errors(torch.zeros(3, 2, 256), torch.full((3, 2, 256), 0.5))
    assert errors.tolist() == [0.5] * 3


def test_grey_maps_are_black_on_the_ground() -> None:
    picture = conditioning.as_grey(torch.linspace(-1, 1, 256))
    assert picture.shape == (16, 16, 3) and picture[0, 0].tolist() == [0] * 3 and picture[15, 15].tolist() == [255] * 3

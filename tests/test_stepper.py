"""The page that steps a flow: everything in it, nothing asked of a network."""

import json
import re

import numpy as np

from flowsdf.report.stepper import bitmap, page_of

MASKS = np.zeros((3, 8, 8), np.float32)
MASKS[1, 2:6, 2:6] = 1
WALK = {"towards": np.arange(4.0), "aside": np.zeros(3), "cosine": np.array([0.1, 0.5, 0.99]), "masks": MASKS}


def test_a_page_holds_its_data_and_names_no_address() -> None:
    page = page_of({"a <b>": {"scaled": WALK, "unscaled": WALK}}, {"a <b>": MASKS[1]}, "From <noise>")
    assert "From &lt;noise&gt;" in page and "<b>" not in page and not re.search(r"https?://|src=\"(?!data:)", page)
    data = json.loads(re.search(r"const data = (.*);", page).group(1))
    run = data["a <b>"]["runs"]["scaled"]
    assert run["cosine"] == [0.1, 0.5, 0.99] and len(run["pictures"]) == 3 and len(run["towards"]) == 4
    assert run["pictures"][1] == data["a <b>"]["truth"] != run["pictures"][0]


def test_a_silhouette_is_black_on_white_in_a_frame() -> None:
    picture = bitmap(MASKS[1], 16)
    assert picture.shape == (16, 16) and picture[8, 8] == 0 and picture[2, 2] == 255 and picture[0, 0] == 187

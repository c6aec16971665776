"""What a notebook records is finite, escaped, complete, and readable without a network."""

import json
import time
from hashlib import sha256
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from flowsdf.conventions import Mesh
from flowsdf.data.faults import Failed
from flowsdf.report import figures, results, views3d
from flowsdf.report.places import Places, chapters, part, places
from flowsdf.report.results import Chapter

InteractiveShell.instance()


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    where = Places(tmp_path, "smoke", "procedural")
    return Chapter(
        "00_toy", where, tmp_path / "a" / "00_toy", tmp_path / "r", {"rate": 0.5}, {}, [], [], time.time(), {}
    )


def triangle() -> Mesh:
    return Mesh(np.eye(3), np.array([[0, 1, 2]]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.1", None])
def test_a_metric_is_a_finite_number(chapter: Chapter, value: object) -> None:
    with pytest.raises(Failed, match="metric loss is"):
        results.record_metrics(chapter, {"loss": value})


def test_metrics_keep_their_kind(chapter: Chapter) -> None:
    results.record_metrics(chapter, {"count": np.int64(3), "loss": np.float32(0.5), "ok": np.bool_(True) + 0})
    assert chapter.metrics == {"count": 3, "loss": 0.5, "ok": 1}
    assert isinstance(chapter.metrics["count"], int)


def test_a_metric_of_every_shape_is_kept_as_its_mean_and_shape_by_shape(chapter: Chapter) -> None:
    results.record_metrics(chapter, {"loss": 0.5, "iou": np.array([0.5, 1.0], np.float32)})
    results.finish(chapter)
    kept = {name: json.loads((chapter.report / f"{name}.json").read_text()) for name in ("metrics", "by_shape", "run")}
    assert kept["metrics"] == {"loss": 0.5, "iou": 0.75} and kept["by_shape"] == {"iou": [0.5, 1.0]}
    assert "by_shape.json" in kept["run"]["files"]
    with pytest.raises(Failed, match="metric iou is nan"):
        results.record_metrics(chapter, {"iou": np.array([0.5, np.nan])})


def test_prose_without_a_metric_fails(chapter: Chapter) -> None:
    results.record_metrics(chapter, {"loss": 0.123456})
    with capture_output() as said:
        results.say(chapter, "The loss is {loss:.3f} at {rate}.")
    assert said.outputs[0].data["text/markdown"] == "The loss is 0.123 at 0.5."
    with pytest.raises(Failed, match="'iou', which is no metric"):
        results.say(chapter, "The IoU is {iou:.3f}.")


def test_names_of_the_data_are_words_whatever_they_look_like(chapter: Chapter) -> None:
    with capture_output() as said:
        results.say(chapter, "{one} and {other} at {rate}.", one="{new}", other="<img src=x> *a*")
    assert said.outputs[0].data["text/markdown"] == r"{new} and &lt;img src=x&gt; \*a\* at 0.5."


def test_a_name_that_is_no_text_is_kept_as_its_bytes(chapter: Chapter) -> None:
    with capture_output():
        results.save_table(chapter, pd.DataFrame({"file": ["b\udcff.glb"]}), "files", caption="Files.")
    assert (chapter.report / "tables" / "files.csv").read_text(encoding="utf-8") == "file\nb\\udcff.glb\n"


def test_names_and_captions_are_escaped(chapter: Chapter) -> None:
    with capture_output() as shown:
        table = pd.DataFrame({"<b>": ["<script>alert(1)</script>"]})
        results.save_table(chapter, table, "names", caption="<img src=x>")
        results.save_figure(chapter, plt.figure(), "empty", caption="<img src=x>")
    pages = [output.data["text/html"] for output in shown.outputs]
    assert not any("<script" in page or "<img src=x" in page for page in pages)
    assert (chapter.report / "tables" / "names.csv").read_text() == "<b>\n<script>alert(1)</script>\n"
    with pytest.raises(Failed, match="small letters"):
        results.save_table(chapter, table, "../escape", caption="")


def test_a_view_is_one_page_with_a_poster(chapter: Chapter) -> None:
    with capture_output():
        series = {0.0: triangle(), 1.0: triangle()}
        empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), int))
        meshes = {"a<b>": triangle(), "series": series, "empty": empty}
        views3d.save_view(chapter, meshes, "view", caption="</title><script>alert(1)</script>")
    page = (chapter.report / "views" / "view.html").read_text()
    assert "<script>alert(1)" not in page
    assert 'src="http' not in page and "import(" not in page.split("K3D")[0]
    assert [entry["file"] for entry in chapter.exhibits] == ["views/view.png"]


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_every_shape_of_a_view_has_its_label_and_is_in_sight(count: int) -> None:
    plot = views3d.scene({f"<b> & {i}": triangle() for i in range(count)}, 100)
    labels = [one for one in plot.objects if one.type == "Text"]
    assert [one.text for one in labels] == [f"&lt;b&gt; &amp; {i}" for i in range(count)]
    eye, target = np.array(plot.camera[:3]), np.array(plot.camera[3:6])
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(ahead, [0, 1, 0]) / np.linalg.norm(np.cross(ahead, [0, 1, 0]))
    half = np.tan(np.radians(plot.camera_fov / 2))  # of the height; a page is wider by a third at least
    for one in labels:
        middle = np.array(one.position) + [0, views3d.BELOW, 0] - eye
        assert np.abs(middle @ right) + 1 < 4 / 3 * half * (middle @ ahead)
        assert np.abs(middle @ np.cross(right, ahead)) + views3d.BELOW < half * (middle @ ahead)


def test_finish_seals_everything(chapter: Chapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dino").mkdir()
    (tmp_path / "dino" / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setenv("ENCODER", str(tmp_path / "dino"))
    with capture_output():
        results.save_table(chapter, pd.DataFrame({"a": [1]}), "one", caption="One.")
    results.record_claims(chapter, ["S1", "S1", "S2"])
    results.record_metrics(chapter, {"b": 1.0, "a": 2})
    results.finish(chapter, encoder=True, inputs={"decoder": "def"})
    run = json.loads((chapter.report / "run.json").read_text())
    assert set(run["files"]) == {"claims.json", "metrics.json", "tables/one.csv"}
    assert json.loads((chapter.report / "claims.json").read_text())["claims"] == ["S1", "S2"]
    assert (run["encoder"], run["encoder_hash"]) == ("dino", sha256(b"weights").hexdigest())
    assert run["inputs"] == {"decoder": "def"}
    assert not list(chapter.report.rglob("*.part"))


def test_a_shaded_sphere_is_a_disc() -> None:
    angles = np.linspace(0, 2 * np.pi, 41)
    heights = np.linspace(-1, 1, 21)
    ring = np.sqrt(1 - heights**2)
    vertices = np.array([[r * np.cos(a), h, r * np.sin(a)] for h, r in zip(heights, ring, strict=True) for a in angles])
    i, j = np.meshgrid(np.arange(20), np.arange(40), indexing="ij")
    a, b, c, d = i * 41 + j, i * 41 + j + 1, (i + 1) * 41 + j, (i + 1) * 41 + j + 1
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    picture = figures.shade(Mesh(vertices, faces), pixels=100)
    covered = (picture < 250).all(axis=2)
    assert covered.mean() == pytest.approx(np.pi / 4 * (2 / 2.1) ** 2, rel=0.03)
    y, x = np.mgrid[:100, :100] - 49.5
    assert covered[x**2 + y**2 < 44**2].all()  # no holes
    assert not figures.shade(Mesh(vertices, faces[:0]), pixels=10).min() < 255


def test_figures_take_any_name() -> None:
    grid = figures.mesh_grid([triangle()] * 3, ["$x", "<b>", "é"], columns=2)
    assert [text.get_text() for text in grid.axes[0].texts] == [r"\$x", "<b>", "é"] and len(grid.axes[0].images) == 3
    table = pd.DataFrame({"x": [1, 2], "y": [1.0, 0.5]})
    figures.curves(table, x="x", y="y", target=0.7)
    plt.close("all")


def test_folders_follow_the_data(tmp_path: Path) -> None:
    (tmp_path / "params" / "laptop").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "My meshes").mkdir()
    where = places("laptop", "My meshes", tmp_path)
    assert where.reports == tmp_path / "reports" / "laptop-My-meshes"
    assert where.artifacts == tmp_path / "artifacts" / "My-meshes-laptop"
    assert places("laptop", "procedural", tmp_path).published == tmp_path / "reports" / "published" / "laptop"
    for name in ("99_ledger", "flow_sdf_stage1", "13_generalisation", "12_image_to_latent", "00_data"):
        (tmp_path / "notebooks" / f"{name}.py").write_text("")
    order = ["00_data", "12_image_to_latent", "flow_sdf_stage1", "13_generalisation", "99_ledger"]
    assert chapters(tmp_path) == order
    assert len({part(name) for name in order}) == 5

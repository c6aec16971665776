"""From image files to a mesh: the one conversion and its faults, the directions, the shipped model, the door."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from flowsdf import predict
from flowsdf.data import encoders, images, stages
from flowsdf.data.artefacts import artefact
from flowsdf.data.faults import Failed
from flowsdf.data.files import write_arrays
from flowsdf.data.manifest import Entry, Stage, with_stage, write_manifest
from flowsdf.data.mesh_io import read_mesh
from flowsdf.data.stages import features_key
from flowsdf.studies import export
from flowsdf.studies.network_benchmarks import stand_in
from flowsdf.train import checkpoint

RAMP = np.linspace(0, 255, 40).astype(np.uint8)
PICTURE = np.stack([np.tile(RAMP, (20, 1)), np.tile(RAMP[:20, None], (1, 40)), np.full((20, 40), 90, np.uint8)], -1)


def saved(path, picture, **options):
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG file put together by hand."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    stand_in(folder)
    return folder


def test_an_image_fills_the_square_and_the_rest_is_black(tmp_path) -> None:
    square = images.read_photograph(saved(tmp_path / "a.png", PICTURE))
    assert square.shape == (224, 224, 3) and square.dtype == np.uint8
    assert not square[:56].any() and not square[168:].any()  # 40 x 20 becomes 224 x 112
    assert square[56:168, :, 2].min() > 80
    assert square[112, 0, 0] < 10 and square[112, -1, 0] > 245


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_formats_by_content(tmp_path, suffix) -> None:
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(PICTURE).resize((400, 200)))
    path = path.rename(tmp_path / "misnamed.png")
    exact = images.square(Image.fromarray(PICTURE).resize((400, 200)))
    assert np.abs(images.read_photograph(path).astype(int) - exact).mean() < 3


def test_modes_become_rgb(tmp_path) -> None:
    plain = Image.fromarray(PICTURE)
    exact = images.square(plain).astype(int)

    def error(path) -> float:
        return np.abs(images.read_photograph(path).astype(int) - exact).mean()

    assert error(saved(tmp_path / "palette.png", plain.quantize(256))) < 6
    assert error(saved(tmp_path / "cmyk.jpg", plain.convert("CMYK"), quality=95)) < 4
    grey = np.tile(np.linspace(0, 65535, 40).astype(np.uint16), (20, 1))
    deep = images.read_photograph(saved(tmp_path / "deep.png", grey))
    shallow = images.read_photograph(saved(tmp_path / "shallow.png", (grey >> 8).astype(np.uint8)))
    assert np.array_equal(deep, shallow) and deep.max() > 250 and np.array_equal(deep[..., 0], deep[..., 2])
    deep_rows = (PICTURE.astype(np.uint16) * 257).astype(">u2")  # (20, 40, 3), the byte order of PNG
    (tmp_path / "rgb16.png").write_bytes(png(40, 20, 16, 2, b"".join(b"\0" + row.tobytes() for row in deep_rows)))
    assert error(tmp_path / "rgb16.png") < 1


def test_transparency_is_black(tmp_path) -> None:
    alpha = np.zeros((20, 40, 1), np.uint8)
    alpha[:, 20:] = 255
    square = images.read_photograph(saved(tmp_path / "a.png", np.concatenate([PICTURE, alpha], -1)))
    assert not square[56:168, :100].any() and square[112, 200].any()
    palette = Image.fromarray(PICTURE).quantize(4)
    first = palette.getpixel((0, 0))
    cut = images.read_photograph(saved(tmp_path / "p.png", palette, transparency=first))
    assert not cut[58, 1].any() and cut[112, 200].any()


def test_exif_turns_the_image(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show a quarter turn clockwise
    turned = images.read_photograph(saved(tmp_path / "a.png", PICTURE, exif=exif))
    upright = images.read_photograph(saved(tmp_path / "b.png", np.rot90(PICTURE, -1).copy()))
    assert np.array_equal(turned, upright) and not turned[:, :56].any()


def test_a_very_long_image_is_scaled_before_it_is_padded(tmp_path) -> None:
    long = np.tile(np.arange(256, dtype=np.uint8), 200)[None]
    assert images.read_photograph(saved(tmp_path / "a.png", long)).any()


def eps() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "EPS")
    return buffer.getvalue()


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, kind)
    return buffer.getvalue()


FAULTS = {
    "bomb": (lambda: png(60_000, 60_000, 8, 2, b"\0"), "more than 64 million pixels: scale it down"),
    "big": (lambda: png(9_000, 9_000, 1, 0, b"\0" * 9_000 * 1126), "more than 64 million pixels: scale it down"),
    "larger": (lambda: png(10_000, 10_000, 1, 0, b"\0"), "more than 64 million pixels: scale it down"),
    "truncated": (lambda: encoded("PNG")[:-60], "truncated or damaged: save or fetch it again"),
    "truncated_jpeg": (lambda: encoded("JPEG")[:-200], "truncated or damaged: save or fetch it again"),
    "truncated_webp": (lambda: encoded("WEBP")[:-20], "truncated or damaged|not PNG, JPEG or WebP"),
    "empty": (lambda: b"", "not PNG, JPEG or WebP: save it as one of these"),
    "eps": (eps, "not PNG, JPEG or WebP: save it as one of these"),
    "pdf": (lambda: encoded("PDF"), "not PNG, JPEG or WebP"),
    "gif": (lambda: encoded("GIF"), "not PNG, JPEG or WebP"),
    "html": (lambda: b"<!doctype html><script>", "not PNG, JPEG or WebP"),
    "flipped": (lambda: encoded("PNG")[:50] + b"\xff" * 40 + encoded("PNG")[90:], "truncated or damaged"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faulty_files(tmp_path, kind) -> None:
    make, words = FAULTS[kind]
    path = tmp_path / f"{kind}.png"
    path.write_bytes(make())
    with pytest.raises(Failed, match=f"{kind}.png: .*({words})"):
        images.read_photograph(path)


def test_blank_and_missing(tmp_path) -> None:
    for name, picture in {"white": np.full((9, 9, 3), 255, np.uint8), "clear": np.zeros((9, 9, 4), np.uint8)}.items():
        with pytest.raises(Failed, match="blank"):
            images.read_photograph(saved(tmp_path / f"{name}.png", picture))
    with pytest.raises(Failed, match="no such file"):
        images.read_photograph(tmp_path / "absent\x1b[31m.png")
    with pytest.raises(Failed, match="no such file"):
        images.read_photograph(tmp_path)
    for count in (0, 9):
        with pytest.raises(Failed, match=f"{count} images given"):
            images.read_photographs([tmp_path / "white.png"] * count)


def test_assumed_directions_go_round_from_the_front_right() -> None:
    x, y, z = predict.assumed_directions(1)[0]
    assert x == pytest.approx(z) and x > 0 and y > 0
    four = predict.assumed_directions(4)
    assert np.allclose(np.linalg.norm(four, axis=1), 1) and np.allclose(four[:, 1], y)
    assert np.allclose(four[1], [z, y, -x]) and np.allclose(four[:, ::2].sum(0), 0)


def test_directions_are_read_strictly(tmp_path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("x,y,z\n0,0,2\n3,0,4\n")
    assert np.allclose(predict.read_directions(path, 2), [[0, 0, 1], [0.6, 0, 0.8]])
    for text in ("x,y\n1,2\n", "x,y,z\n1,2\n", "x,y,z\n1,2,far\n", "\0", "1,2,3\n"):
        path.write_text(text)
        with pytest.raises(Failed, match="d.csv: "):
            predict.read_directions(path, 1)
    for text, words in {
        "x,y,z\n0,0,0\n": "zero",
        "x,y,z\n0,nan,1\n": "finite",
        "x,y,z\n1,0,0\n1,0,0\n": "2 rows",
    }.items():
        path.write_text(text)
        with pytest.raises(Failed, match=words):
            predict.read_directions(path, 1)
    with pytest.raises(Failed, match="No such file"):
        predict.read_directions(tmp_path / "absent.csv", 1)


def test_two_images_become_a_mesh(tmp_path, shipped, capsys, monkeypatch) -> None:
    monkeypatch.setenv("ENCODER", str(encoders.SHIPPED))
    picture = saved(tmp_path / "a.png", PICTURE)
    (tmp_path / "d.csv").write_text("x,y,z\n0,0,1\n1,0,0\n")
    for suffix, options in {".glb": [], ".obj": ["--poses", str(tmp_path / "d.csv")], ".ply": [], ".stl": []}.items():
        out = tmp_path / "new" / f"mesh{suffix}"
        words = [str(picture)] * 2 + ["--out", str(out), "--resolution", "24", "--checkpoint", str(shipped), *options]
        assert predict.main(words) == 0
        assert f"mesh{suffix}: " in capsys.readouterr().out
        radius = np.linalg.norm(read_mesh(out).vertices, axis=1)
        assert radius.min() > 0.5 and radius.max() < 0.7  # the ball that the stand-in makes of everything


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--out", "mesh.glb"], "0 images given"),
        (["a.png"] * 9 + ["--out", "mesh.glb"], "9 images given"),
        (["a.png", "--out", "mesh.png"], "name the mesh with one of"),
        (["a.png", "--out", "mesh.glb", "--resolution", "4096"], "give 16 to 512"),
        (["a.png", "--out", "mesh.glb", "--seed", "-1"], "--seed -1"),
        (["absent.png", "--out", "mesh.glb"], "absent.png: there is no such file"),
        (["a" * 300 + ".png", "--out", "mesh.glb"], "File name too long: check the name"),
        (["blank.png", "--out", "a" * 300 + ".glb"], "cannot be written (File name too long)"),
        (["a.png", "--out", "a.png/mesh.glb"], "cannot be written"),
        (["a.png", "--out", "mesh.glb", "--poses", "d.csv"], "d.csv: No such file"),
        (["a.png", "--out", "mesh.glb", "--checkpoint", "nothing"], "make checkpoint"),
    ],
)
def test_errors_are_one_line(tmp_path, capsys, monkeypatch, words, reason) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a.png", PICTURE)
    assert predict.main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("FAILED: ") and captured.err.count("\n") == 1 and reason in captured.err
    assert not captured.out and not (tmp_path / "mesh.glb").exists()


def test_another_encoder_is_refused_before_use(tmp_path, shipped, monkeypatch) -> None:
    monkeypatch.delenv("ENCODER", raising=False)
    facts = json.loads((shipped / export.FILE).with_suffix(".json").read_text())
    monkeypatch.setattr(export, "load_encoder", lambda: pytest.fail("used"))
    with pytest.raises(Failed, match="the model knows only flowsdf-small .*ENCODER=folder"):
        export.encoder_of({**facts, "encoder_hash": "0" * 64})
    monkeypatch.setenv("ENCODER", str(tmp_path))
    with pytest.raises(Failed, match="encoder not found: .*ENCODER=folder"):
        export.encoder_of(facts)


def test_a_field_without_surface_is_one_line(tmp_path, shipped, capsys, monkeypatch) -> None:
    monkeypatch.setenv("ENCODER", str(encoders.SHIPPED))
    tensors, facts = checkpoint.read(shipped / export.FILE)
    export.save_model(tmp_path / "far", tensors | {"decoder.out.bias": torch.tensor([9.0])}, facts)
    words = [str(saved(tmp_path / "a.png", PICTURE)), "--out", str(tmp_path / "mesh.glb"), "--resolution", "24"]
    assert predict.main([*words, "--checkpoint", str(tmp_path / "far")]) == 2
    error = capsys.readouterr().err
    assert "no surface" in error and not (tmp_path / "mesh.glb").exists()


def test_a_model_is_stored_in_half_and_used_in_single_precision(tmp_path, shipped) -> None:
    tensors, facts = checkpoint.read(shipped / export.FILE)
    halves = {name for name, tensor in tensors.items() if tensor.dtype == torch.float16}
    assert halves == set(tensors) - {"latents", "mean", "deviation"}
    model = export.load_model(shipped)
    parameters = [*model.decoder.parameters(), *model.predictor.network.parameters(), *model.predictor[1:3]]
    assert {part.dtype for part in parameters} == {torch.float32}
    export.save_model(tmp_path, {name: t for name, t in tensors.items() if "out" not in name}, facts)
    with pytest.raises(Failed, match="not an image-to-mesh model"):
        export.load_model(tmp_path)
    with pytest.raises(Failed, match="16.1 MB, at most 14"):
        export.save_model(tmp_path, tensors | {"more": torch.zeros(8_000_000)}, facts)
    path = tmp_path / export.FILE
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(Failed, match="truncated or altered"):
        export.load_model(tmp_path)


@pytest.fixture
def run(tmp_path, shipped, monkeypatch):
    """A finished run of two shapes, features and codes: what the export reads."""
    monkeypatch.setenv("ENCODER", str(encoders.SHIPPED))
    random = np.random.default_rng(0)
    done = {stage: Stage("done", key=f"{stage} key") for stage in ("watertight", "sdf", "views")}
    facts = {"category": "cup", "licence": "CC0-1.0", "redistributable": True, "source": "test", "split": "train"}
    entries = [Entry(index=i, uid=f"u{i}", file="f", sha256=f"{i}", stages=done, **facts) for i in range(2)]
    entries = [with_stage(entry, "features", Stage("done", key=features_key(entry))) for entry in entries]
    write_manifest(tmp_path / "00_data" / "manifest.json", entries)
    for entry in entries:
        numbers = random.normal(size=(12, 192)).astype(np.float32)
        write_arrays(artefact(tmp_path / "00_data", "features", entry), features=numbers)
    tensors, _ = checkpoint.read(shipped / export.FILE)
    decoder = {name: tensor.float() for name, tensor in tensors.items() if name.startswith("decoder.")}
    codes = torch.as_tensor(random.normal(size=(2, 64)), dtype=torch.float32)
    checkpoint.write(tmp_path / "11_deepsdf" / "all.safetensors", decoder | {"latents": codes}, {"fingerprint": "abc"})
    return tmp_path


def test_export_ships_a_finished_run(run, monkeypatch) -> None:
    monkeypatch.setattr(export, "SETTINGS", export.SETTINGS | {"width": 32, "layers": 1, "steps": 60, "batch": 4})
    export.main(run, run / "shipped")
    model = export.load_model(run / "shipped")
    assert model.facts["shapes"] == 2 and model.facts["heads"] == 4 and model.facts["decoder_fit"] == "abc"
    assert model.facts["encoder_hash"] == encoders.encoder_hash() and -1 <= model.facts["recall_cosine"] <= 1
    assert str(run) not in (run / "shipped" / export.FILE).with_suffix(".json").read_text()
    monkeypatch.setattr(stages, "encoder_key", lambda: "0" * 64)
    with pytest.raises(Failed, match="of another encoder"):
        export.main(run, run / "shipped")
    (run / "11_deepsdf" / "all.json").unlink()
    with pytest.raises(Failed, match="no checkpoint"):
        export.main(run, run / "shipped")

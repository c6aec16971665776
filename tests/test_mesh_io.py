import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from broken_meshes import CORNERS, TRIANGLES, broken_bytes, glb, prism, scene, write_broken, write_good, write_odd

from flowsdf.conventions import Mesh
from flowsdf.data import gltf, limited
from flowsdf.data.faults import Rejected
from flowsdf.data.limited import read_limited
from flowsdf.data.mesh_io import read_mesh, write_mesh, write_scene
from flowsdf.geometry.mesh import is_watertight, volume


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    return folder, write_broken(folder)


BROKEN = [*broken_bytes(), "data_uri.gltf", "faces_20m.stl", "link.glb", "endless.glb", "dangling.glb", "pipe.glb"]


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_rejected_with_their_code(broken, name):
    folder, codes = broken
    with pytest.raises(Rejected) as rejected:
        read_limited(folder / name, folder)
    assert rejected.value.code == codes[name], rejected.value
    assert rejected.value.reason and "\n" not in rejected.value.reason


def test_the_list_of_broken_files_is_whole(broken):
    assert sorted(broken[1]) == sorted(BROKEN) and len(BROKEN) >= 40


def test_odd_files_are_read(tmp_path):
    for name, faces in write_odd(tmp_path).items():
        mesh = read_limited(tmp_path / name, tmp_path)
        assert mesh.faces.shape == (faces, 3), name
        assert mesh.vertices.dtype == np.float64


def test_the_readers_agree_with_the_writers_and_with_trimesh(tmp_path):
    for path in write_good(tmp_path, 10):
        mesh, reference = read_mesh(path), trimesh.load_mesh(path, process=False)
        np.testing.assert_allclose(mesh.vertices[mesh.faces], reference.triangles, atol=1e-6)
        np.testing.assert_allclose(volume(mesh), reference.volume, rtol=1e-5)
        assert is_watertight(mesh) or path.suffix == ".stl"


def test_a_scene_keeps_its_nodes_apart(tmp_path):
    first, second = prism(5, 1.0), prism(4, 2.0)
    write_scene(tmp_path / "scene.glb", [first, second])
    mesh = read_limited(tmp_path / "scene.glb", tmp_path)
    corners = np.concatenate([first.vertices[first.faces], second.vertices[second.faces]])
    np.testing.assert_allclose(mesh.vertices[mesh.faces], corners, atol=1e-6)


def test_scenes_are_the_same_bytes_each_time(tmp_path):
    for name in ("a.glb", "b.glb"):
        write_scene(tmp_path / name, [prism(5, 1.0), prism(4, 2.0)])
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_node_transforms_match_trimesh(tmp_path):
    turn = {"rotation": [0.5, 0.5, 0.5, 0.5], "scale": [1, 2, 3], "translation": [1, 2, 3], "children": [1]}
    matrix = [0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]
    path = tmp_path / "nodes.glb"
    path.write_bytes(glb(*scene(nodes=[turn, {"matrix": matrix, "mesh": 0}])))
    mesh, reference = read_mesh(path), trimesh.load_scene(path, process=False).to_mesh()
    np.testing.assert_allclose(mesh.vertices[mesh.faces], reference.triangles, atol=1e-6)


def test_a_mirroring_node_keeps_outside_outside(tmp_path):
    path = tmp_path / "mirror.glb"
    path.write_bytes(glb(*scene(faces=TRIANGLES[:, ::-1], nodes=[{"mesh": 0, "scale": [-1, 1, 1]}])))
    assert volume(read_mesh(path)) == pytest.approx(volume(Mesh(CORNERS, TRIANGLES[:, ::-1])))


def test_polygons_become_fans_and_indices_count_back(tmp_path):
    path = tmp_path / "back.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 -2 -1\nv 9 9 9\nf 1 2 -1\n")
    assert read_mesh(path).faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]


def test_strips_turn_every_other_triangle_and_fans_share_a_corner():
    assert gltf._triangles(np.arange(5), 5).tolist() == [[0, 1, 2], [3, 2, 1], [2, 3, 4]]
    assert gltf._triangles(np.arange(5), 6).tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4]]
    assert gltf._triangles(np.arange(5), 4).tolist() == [[0, 1, 2]]


def test_normalised_integers_are_fractions(tmp_path):
    document, _ = scene()
    corners = np.pad((CORNERS * 32767).astype("<i2"), ((0, 0), (0, 1)))  # rows of four bytes' multiple
    data = TRIANGLES.astype("<u4").tobytes() + corners.tobytes()
    document["accessors"][1] |= {"componentType": 5122, "normalized": True}
    document["bufferViews"][1] |= {"byteLength": 32, "byteStride": 8}
    document["buffers"][0]["byteLength"] = len(data)
    (tmp_path / "short.glb").write_bytes(glb(document, data))
    np.testing.assert_allclose(read_mesh(tmp_path / "short.glb").vertices, CORNERS)


def test_no_socket_is_opened_for_an_address(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        document, data = scene()
        document["buffers"][0]["uri"] = f"http://127.0.0.1:{server.getsockname()[1]}/x.bin"
        (tmp_path / "net.glb").write_bytes(glb(document, data))
        with pytest.raises(Rejected, match="uri"):
            read_limited(tmp_path / "net.glb", tmp_path)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    "attempt", ["bytearray(3 * 2**30)", "import socket; socket.socket()", "import os; os.system('true')"]
)
def test_the_reading_process_is_limited(attempt):
    program = f"from flowsdf.data.limited import _limit; _limit(); {attempt}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(limited.__file__).parents[2]
    )
    assert done.returncode == 1 and ("MemoryError" in done.stderr or "PermissionError" in done.stderr)


def test_a_full_folder_for_temporary_files_is_no_fault_of_the_mesh(tmp_path):
    write_good(tmp_path, 1)
    program = f"""
import resource
from pathlib import Path
from flowsdf.data.faults import Failed
from flowsdf.data.limited import read_limited
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    read_limited(Path({str(tmp_path / "good_000.glb")!r}), Path({str(tmp_path)!r}))
except Failed as failed:
    print(failed)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(limited.__file__).parents[2]
    )
    assert "no room for temporary files: free some, or set TMPDIR" in done.stdout and "Traceback" not in done.stderr


def test_the_reading_process_ends_in_time():
    program = "from flowsdf.data import limited; limited.SECONDS = 1; limited._limit()\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(limited.__file__).parents[2])
    assert done.returncode in (-signal.SIGALRM, -signal.SIGXCPU)


def test_a_reader_that_takes_too_long_is_a_rejection(tmp_path, monkeypatch):
    monkeypatch.setattr(limited, "_asked", lambda request: -signal.SIGALRM)
    with pytest.raises(Rejected, match="timeout"):
        read_limited(tmp_path / "slow.glb", tmp_path)


def test_a_lost_reading_server_is_replaced(tmp_path):
    path = write_good(tmp_path, 1)[0]
    read_limited(path, tmp_path)
    limited._server(limited.os.getpid()).kill()
    with pytest.raises(Rejected, match="crashed"):
        read_limited(path, tmp_path)
    assert len(read_limited(path, tmp_path).faces)


def test_a_process_per_mesh_is_cheap(tmp_path):
    paths = write_good(tmp_path, 20)
    read_limited(paths[0], tmp_path)
    start = time.perf_counter()
    for path in paths:
        read_limited(path, tmp_path)
    assert time.perf_counter() - start < 0.5 * len(paths)


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError):
        write_mesh(tmp_path / "mesh.unknown", prism(3, 1.0))
    assert not list(tmp_path.iterdir())

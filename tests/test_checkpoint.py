"""Checkpoints: written whole, verified, never a pickle."""

import json
import pickle
import warnings
from pathlib import Path

import pytest
import torch

from flowsdf.data.faults import Failed
from flowsdf.train import checkpoint

TENSORS = {"a": torch.arange(6.0).reshape(2, 3).T, "b.step": torch.tensor(3)}


def fill(folder: Path, last: int = 3) -> None:
    for step in range(1, last + 1):
        checkpoint.save(folder, {"x": torch.full((100,), float(step))}, {"step": step, "fingerprint": "f"})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Bomb:
    """Runs on being unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "deep" / "x.safetensors", TENSORS, {"note": "é", "step": 1})
    tensors, facts = checkpoint.read(tmp_path / "deep" / "x.safetensors")
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert (facts["note"], facts["step"]) == ("é", 1)
    assert names(tmp_path / "deep") == ["x.json", "x.safetensors"]


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    (tmp_path / "000000002.safetensors.part").write_bytes(b"left by a killed run")
    (tmp_path / "000000000.safetensors").write_bytes(b"tensors whose facts were never written")
    fill(tmp_path, 5)
    assert names(tmp_path) == [f"00000000{n}.{kind}" for n in (4, 5) for kind in ("json", "safetensors")]
    with warnings.catch_warnings(action="error"):
        tensors, facts = checkpoint.load(tmp_path, "f")
    assert facts["step"] == tensors["x"][0] == 5


def truncate(content: bytes) -> bytes:
    return content[:-7]


def flip(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@pytest.mark.parametrize("damage", [truncate, flip, lambda content: b"", lambda content: b"\x00" * len(content)])
@pytest.mark.parametrize("kind", ["safetensors", "json"])
def test_a_broken_one_falls_back_and_says_so(tmp_path: Path, damage, kind: str) -> None:
    fill(tmp_path)
    path = tmp_path / f"000000003.{kind}"
    content = path.read_bytes()
    if kind == "json" and damage is flip:
        damage = lambda content: content.replace(b'"sha256": "', b'"sha256": "0')  # noqa: E731
    path.write_bytes(damage(content))
    with pytest.warns(UserWarning, match="000000003.*going back"):
        tensors, facts = checkpoint.load(tmp_path, "f")
    assert facts["step"] == tensors["x"][0] == 2


def test_what_to_do_about_a_broken_file_of_a_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("artifacts/procedural-smoke/11_deepsdf/all.safetensors")
    checkpoint.write(path, {"x": torch.zeros(4)}, {})
    path.write_bytes(truncate(path.read_bytes()))
    with pytest.raises(Failed, match="truncated or altered: make chapter CH=11_deepsdf FORCE=1"):
        checkpoint.read(path)
    path.unlink()
    with pytest.raises(Failed, match=r"no checkpoint of this project.*: make chapter CH=11_deepsdf FORCE=1"):
        checkpoint.read(path)


def test_all_broken_is_a_fresh_start_and_says_so(tmp_path: Path) -> None:
    fill(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="going back"):
        assert checkpoint.load(tmp_path, "f") is None


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    with pytest.raises(Failed, match="another configuration"):
        checkpoint.load(tmp_path, "g")


def test_nothing_yet(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none", "f") is None


@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    path, mark = tmp_path / name, tmp_path / "it ran"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(Failed, match="no checkpoint"):
        checkpoint.read(path)
    facts = {"sha256": checkpoint._sha256(path)}
    path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(Failed, match="no checkpoint"):
        checkpoint.read(path)
    assert not mark.exists()


def test_a_failed_write_leaves_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    fill(tmp_path)
    before = names(tmp_path)
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(Failed, match="No space left"):
        fill(tmp_path, 4)
    assert names(tmp_path) == before
    assert checkpoint.load(tmp_path, "f")[1]["step"] == 3


def test_a_folder_that_cannot_be_made_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match="cannot write"), checkpoint.locked(tmp_path / "file" / "folder"):
        pass


def test_optimizer_state_survives_exactly() -> None:
    def stepped(optimizer: torch.optim.Optimizer, layer: torch.nn.Module, times: int) -> None:
        for i in range(times):
            optimizer.zero_grad()
            layer(torch.full((1, 2), i + 1.0)).sum().backward()
            optimizer.step()

    layer, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    ours, theirs = torch.optim.Adam(layer.parameters(), fused=True), torch.optim.Adam(other.parameters(), fused=True)
    stepped(ours, layer, 3)
    state = {name: tensor.clone() for name, tensor in checkpoint.pack(layer, ours, None).items()}
    assert {"module.weight", "optimizer.0.step", "optimizer.1.exp_avg_sq"} <= state.keys()
    checkpoint.unpack(state, other, theirs, None)
    stepped(ours, layer, 2)
    stepped(theirs, other, 2)
    assert torch.equal(layer.weight, other.weight)

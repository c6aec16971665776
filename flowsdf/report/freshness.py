"""Whether a result is up to date, by content: the notebook, its parameters, the sources it uses, what it follows.

Nothing heavy is imported, so that a report with nothing to do says so at once.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from flowsdf.data.encoders import encoder_key
from flowsdf.report.places import NAMED_SOURCES, Places

APART = ("flowsdf/report/", "flowsdf/data/executor")  # read results, or say where tasks run
SWITCHES = ("ENCODER", "SDF_BACKEND")  # environment variables that change results
IMPORT = re.compile(
    r"^[ \t]*(?:from\s+(\.*)([\w.]*)\s+import\s+(\((?:[^)#]|#[^\n]*)*\)|[^\n]+)|import\s+([^\n]+))", re.MULTILINE
)
BESIDE = (".safetensors", ".json", ".yaml", ".csv", ".html", ".vert", ".frag")  # read from a module's own folder


def digest(content: bytes | str) -> str:
    """The SHA-256 of some content, as hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest_json(value: Any) -> str:
    """The SHA-256 of a value's JSON text with sorted keys."""
    return digest(json.dumps(value, sort_keys=True, default=str))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's content; empty when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def under_seal(content: dict[str, Any]) -> dict[str, Any]:
    """Content with its own hash beside it, by which ``whole`` tells whether a file of it was edited."""
    return {**content, "seal": digest_json(content)}


def whole(path: Path) -> bool:
    """Whether a JSON file is there, with the content that it was sealed with."""
    found = read_json(path)
    return found.get("seal") == digest_json({name: value for name, value in found.items() if name != "seal"})


def imported(source: str, package: str) -> set[str]:
    """The dotted names that a module's text imports, also inside functions; `from a import b` counts as a and a.b.

    The text is searched, not parsed, in a hundredth of the time; a line of a docstring that reads as an import is one.
    """
    found: set[str] = set()
    for dots, module, names, modules in IMPORT.findall(source):
        if modules:
            found |= {name.split()[0] for name in modules.split(",") if name.strip()}
            continue
        above = package.split(".")[: len(package.split(".")) - len(dots) + 1] if dots else []
        base = ".".join([*above, *([module] if module else [])])
        words = re.sub("#.*", "", names).strip("()").split(",")
        found |= {base, *(f"{base}.{name.split()[0]}" for name in words if name.strip())}
    return found


def sources(root: Path, source: str, library: str = "flowsdf") -> dict[str, str]:
    """The hash of every file of the library that a text imports, directly or not, and of the data files beside them."""
    there = {
        Path(base, name).relative_to(root).as_posix() for base, _, names in os.walk(root / library) for name in names
    }
    waiting, files = imported(source, ""), dict[str, bytes]()
    while waiting:
        name = waiting.pop()
        path = name.replace(".", "/")
        file = next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in there), "")
        if file and file not in files:
            files[file] = (root / file).read_bytes()
            package = name if file.endswith("__init__.py") else name.rpartition(".")[0]
            waiting |= imported(files[file].decode(), package) | {package}
    folders = {file.rpartition("/")[0] for file in files}
    beside = [file for file in there if file.endswith(BESIDE) and file.rpartition("/")[0] in folders]
    files |= {file: (root / file).read_bytes() for file in beside}
    return {file: digest(files[file]) for file in sorted(files)}


def listing(folder: Path) -> str:
    """The hash of a folder's file names, sizes and times, without following links."""
    found = []
    for base, _, names in os.walk(folder):
        stats = [(name, os.lstat(os.path.join(base, name))) for name in names]
        found += [[os.path.relpath(base, folder), name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    return digest_json(sorted(found))


def inputs(where: Places, chapter: str, values: dict[str, Any], after: list[str]) -> dict[str, Any]:
    """Everything a chapter's result depends on, each by hash; `after` names chapters, or files of the repository.

    Of a file that is a notebook, what it imports counts too.
    """
    source = where.notebook(chapter).read_text(encoding="utf-8")
    files = [name for name in after if (where.root / name).is_file()]
    library = sources(where.root, source)
    return {
        "notebook": digest(source),
        "code": digest("\n".join(line for line in source.splitlines() if not line.startswith("#"))),
        "parameters": digest_json(values),
        "sources": digest_json(library),
        "measures": digest_json({name: key for name, key in library.items() if not name.startswith(APART)}),
        "data": where.data if where.data in NAMED_SOURCES else listing(where.data_folder),
        "switches": {name: os.environ.get(name, "") for name in SWITCHES},
        "encoder": encoder_key(),
        "files": {name: _file_mark(where.root, name) for name in files},
        "after": {name: result_mark(where.reports / name) for name in after if name not in files},
    }


def _file_mark(root: Path, name: str) -> str:
    content = (root / name).read_bytes()
    return digest(content + (digest_json(sources(root, content.decode())).encode() if name.endswith(".py") else b""))


def result_mark(folder: Path) -> str:
    """The hash of what a finished chapter was made from and of its metrics; empty when it has not finished."""
    run = read_json(folder / "run.json")
    return digest(run["key"] + run["files"]["metrics.json"]) if "key" in run else ""


def sealed(folder: Path, *, turning: bool = True) -> bool:
    """Whether every file that a chapter's run.json lists is there with the content it had when the run ended.

    Without ``turning``, the views that turn may be missing, as they are where results are published.
    """
    files = read_json(folder / "run.json").get("files", {})
    asked = [name for name in files if turning or Path(name).suffix != ".html" or (folder / name).exists()]
    return bool(asked) and all(
        (folder / name).is_file() and digest((folder / name).read_bytes()) == files[name] for name in asked
    )


def fresh(folder: Path, key: str) -> bool:
    """Whether a chapter's folder holds the finished, untouched result of this key."""
    return (
        read_json(folder / "run.json").get("key") == key and not (folder / "failure.json").exists() and sealed(folder)
    )

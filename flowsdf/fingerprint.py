"""What a result depends on, as hashes: the meaning of the source that computed it, without its prose."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
_AT_START = {path: path.stat().st_mtime_ns for path in PACKAGE.rglob("*.py")}
_APART = ("flowsdf.evaluation", "flowsdf.report", "flowsdf.data.executor")  # read results, or say where tasks run


@cache
def source_fingerprint(*modules: str, alone: tuple[str, ...] = ()) -> str:
    """The SHA-256 of the syntax of these flowsdf modules and all they import, but for what cannot change a result.

    Of modules that are taken ``alone`` the imports do not count. Nor do comments, docstrings and layout, so an edit to
    prose never computes anything again.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None or name in found or name.startswith(_APART):
            continue
        found[name], imported = _read(path)
        waiting += imported
    for name in alone:
        if path := _file(name):
            found[name] = _read(path)[0]
    return hashlib.sha256("".join(f"{name}:{found[name]}\n" for name in sorted(found)).encode()).hexdigest()


def _file(name: str) -> Path | None:
    """The file of a dotted flowsdf module."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if name.split(".")[0] == "flowsdf" and file.is_file()), None)


@cache
def _read(path: Path) -> tuple[str, list[str]]:
    """The dump of a file's syntax without docstrings, and the names it imports, also inside functions.

    RuntimeError for a file that was edited since this process began: what runs would not be what is hashed.
    """
    if path.stat().st_mtime_ns != _AT_START.get(path, path.stat().st_mtime_ns):
        raise RuntimeError(f"{path.name} was edited while this was running: start it again")
    tree = ast.parse(path.read_bytes())
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.dump(tree), imported

"""Run one chapter: its notebook in a fresh kernel, into a new folder that replaces the old one only when it ends well.

python -m flowsdf.report.execute 11_deepsdf --profile laptop --data procedural --after 00_data
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from flowsdf.data.faults import Failed
from flowsdf.report.doors import leave, run_parser, told, writable
from flowsdf.report.freshness import digest, digest_json, fresh, inputs, read_json
from flowsdf.report.parameters import parameters
from flowsdf.report.places import NAMED_SOURCES, Places, places
from flowsdf.report.prose import check_prose
from flowsdf.report.stopping import stoppable


def run_chapter(where: Places, chapter: str, *, after: list[str], timeout: int, force: bool = False) -> bool:
    """Bring one chapter up to date; False when there was nothing to do, Failed when it did not end well."""
    if not where.notebook(chapter).is_file():
        raise Failed(f"no notebooks/{chapter}.py")
    keep_apart(where)
    values = parameters(where, chapter)
    if where.seed is not None and _same_without_seed(where, chapter, values, after):
        return _without_seed(where, chapter, after=after, timeout=timeout, force=force)
    for base in (where.artifacts, where.reports):
        if where.seed is not None and (base / chapter).is_symlink():
            (base / chapter).unlink()  # of a time when the seed changed nothing
    check_prose(where.notebook(chapter), where.root / "params" / "claims.yaml")
    depends = inputs(where, chapter, values, after)
    missing = [name for name, key in depends["after"].items() if not key]
    if missing:
        raise Failed(f"{chapter} needs {missing[0]} first: make chapter CH={missing[0]} PROFILE={where.profile}")
    folder, key = where.reports / chapter, digest_json(depends)
    begun = where.artifacts / f".{chapter}.begun"  # a run that is killed may leave large files of other parameters
    if fresh(folder, key) and (where.artifacts / chapter).is_dir() and not begun.exists() and not force:
        print(f"{chapter}: up to date", flush=True)
        return False
    with locked(where, chapter):
        if where.data not in NAMED_SOURCES:
            _folder_note(where).write_text(str(where.data_folder), encoding="utf-8")
        begun.touch()
        execute(where, chapter, values, folder=folder, timeout=timeout, seal={"key": key, "depends": depends})
        begun.unlink()
    return True


def _same_without_seed(where: Places, chapter: str, values: dict[str, Any], after: list[str]) -> bool:
    """Whether a seed changes nothing: it is the report's own, or none is asked for, in all that the chapter follows."""
    follows = [where.reports / name for name in after if not (where.root / name).is_file()]
    return values == parameters(where._replace(seed=None), chapter) and all(path.is_symlink() for path in follows)


def _without_seed(where: Places, chapter: str, *, after: list[str], timeout: int, force: bool) -> bool:
    """Run a chapter that the seed does not change as the report's own; the seed's folders lead there."""
    once = where._replace(seed=None)
    ran = run_chapter(once, chapter, after=after, timeout=timeout, force=force)
    for there, here in ((once.artifacts, where.artifacts), (once.reports, where.reports)):
        here.mkdir(parents=True, exist_ok=True)
        if not (here / chapter).is_symlink():
            shutil.rmtree(here / chapter, ignore_errors=True)
            (here / chapter).symlink_to(Path("..") / there.name / chapter)
    return ran


def locked(where: Places, chapter: str) -> Any:
    """A hold on a chapter of a run while it is open; Failed when another has it, or its folders cannot be written."""
    try:
        for path in (where.artifacts, where.reports):
            writable(path)
        hold = open(where.artifacts / f".{chapter}.lock", "w")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise Failed(f"{error.filename}: {error.strerror}; results must be writable there") from None
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        hold.close()
        using = where.artifacts / chapter
        raise Failed(f"another run is using {inside(where, using)}; wait for it, or stop it, and try again") from None
    return hold


def keep_apart(where: Places) -> None:
    """Failed where the run of this name is of another folder of meshes that is still there."""
    note = _folder_note(where)
    before = Path(note.read_text(encoding="utf-8")) if note.is_file() else where.data_folder
    if before != where.data_folder and before.is_dir():
        run = inside(where, where.reports)
        raise Failed(f"DATA={where.data}: {run} is of {before}, of the same name; rename one of the two folders")


def _folder_note(where: Places) -> Path:
    """The file that says which folder of meshes a run is of."""
    return where.artifacts / ".folder"


def execute(
    where: Places, chapter: str, values: dict[str, Any], *, folder: Path, timeout: int, seal: dict[str, Any]
) -> None:
    """Run the notebook into a folder beside ``folder``; swap them on success, note the failure there otherwise."""
    from flowsdf.report.kernel import run_notebook  # heavy, and of no use where nothing is to be done

    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    given = {
        **{"profile": where.profile, "data": where.data, **values},
        **{"artifacts": inside(where, where.artifacts), "report": inside(where, part)},
    }
    print(f"{chapter}: running ({where.profile}, {where.data_name})", flush=True)
    began = time.time()
    try:
        run_notebook(where, chapter, given, output=part / "notebook.ipynb", timeout=timeout)
        seal_run(part, **seal)
    except (Failed, OSError) as failure:
        from flowsdf.data.files import write_whole  # numpy comes with it

        note = {
            "chapter": chapter,
            "reason": told(failure),
            "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            os.replace(part / "notebook.ipynb", folder / "failed.ipynb")
        shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):  # a full disk may have no room for it
            write_whole(folder / "failure.json", json_text(note).encode())
        raise
    swap(part, folder)
    print(f"{chapter}: done in {time.time() - began:.0f} s", flush=True)


def inside(where: Places, path: Path) -> str:
    """A folder as the notebook is given it: from the repository's root."""
    return str(path.relative_to(where.root))


def swap(part: Path, folder: Path) -> None:
    """Put a finished folder in the place of the last one."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(part, folder)
    shutil.rmtree(old, ignore_errors=True)


def seal_run(part: Path, *, key: str, depends: dict[str, Any]) -> None:
    """Slim the executed notebook and complete run.json with the key, what it depends on and the notebook's hash."""
    from flowsdf.report.pages import slim

    run = read_json(part / "run.json")
    if not run:
        raise Failed("the notebook ended without results.finish(chapter)")
    slim(part / "notebook.ipynb")
    files = {**run["files"], "notebook.ipynb": digest((part / "notebook.ipynb").read_bytes())}
    sealed = {**run, "key": key, "depends": depends, "files": files}
    (part / "run.json.part").write_text(json_text(sealed), encoding="utf-8")
    os.replace(part / "run.json.part", part / "run.json")


def json_text(value: Any) -> str:
    """JSON text as all result files have it."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def main(words: list[str] | None = None) -> int:
    """The command line; 0 when up to date or done, 1 with one line when not."""
    parser = run_parser("Run one chapter of the report.")
    parser.add_argument("chapter")
    parser.add_argument("--after", nargs="*", default=[], help="chapters and files it depends on")
    parser.add_argument("--timeout", type=int, default=14_400, help="seconds for one cell")
    parser.add_argument("--seed", type=int, help="a seed instead of the chapter's own, in folders of its own")
    parser.add_argument("--force", action="store_true", help="run although nothing changed")
    ask = parser.parse_args(words)
    where = places(ask.profile, ask.data, seed=ask.seed)
    settings = {"after": ask.after, "timeout": ask.timeout, "force": ask.force}
    stoppable(lambda: run_chapter(where, ask.chapter, **settings))
    return 0


if __name__ == "__main__":
    leave(main)

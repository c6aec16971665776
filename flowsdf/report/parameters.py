"""Parameter files, read strictly and held against the notebook's own parameters cell before anything runs."""

import ast
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from flowsdf.data.faults import Failed
from flowsdf.report.places import Places

PLACES = ("profile", "data", "artifacts", "report")  # given by the run, never by a file
CELL = re.compile(r"^# %%(?P<head>.*)$", re.MULTILINE)


class _Strict(yaml.SafeLoader):
    """Plain YAML: no alias, no repeated key, no tag of a programming language."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed: write the value out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
        if repeated:
            message = f"key {repeated[0]!r} is given twice: keep one"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        mapping = super().construct_mapping(node, deep)
        odd = [text for text, name in zip(keys, mapping, strict=True) if not isinstance(name, str)]
        if odd:
            message = f"key {odd[0]!r} is no text in YAML: put it in quotes or rename it"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return mapping


def load_yaml(path: Path) -> Any:
    """The content of a YAML file; Failed names the file, the line and what to do."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Strict)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise Failed(f"{path.name}, line {line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Failed(f"{path.name}: not readable as YAML: {error}") from None
    except OSError as error:
        raise Failed(f"{path}: {error.strerror or error}") from None


def cells(source: str) -> list[tuple[str, str]]:
    """The cells of a percent notebook: (the rest of its `# %%` line, its text)."""
    heads = list(CELL.finditer(source))
    ends = [head.start() for head in heads[1:]] + [len(source)]
    return [(head["head"], source[head.end() : end].strip("\n")) for head, end in zip(heads, ends, strict=True)]


def declared(notebook: Path) -> dict[str, Any]:
    """The parameters a percent notebook declares in its cell tagged `parameters`, with their defaults."""
    tagged = [text for head, text in cells(notebook.read_text(encoding="utf-8")) if '"parameters"' in head]
    if len(tagged) != 1:
        raise Failed(f'{notebook.name}: has {len(tagged)} cells tagged "parameters"; exactly one is needed')
    found: dict[str, Any] = {}
    for line in ast.parse(tagged[0]).body:
        if not (isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name)):
            raise Failed(f"{notebook.name}: the parameters cell may only hold lines `name = literal`")
        try:
            found[line.targets[0].id] = ast.literal_eval(line.value)
        except ValueError:
            raise Failed(f"{notebook.name}: parameter {line.targets[0].id} is not a plain literal") from None
    missing = [name for name in PLACES if name not in found]
    if missing:
        raise Failed(f"{notebook.name}: the parameters cell lacks {', '.join(missing)}")
    return found


def load_values(path: Path) -> dict[str, Any]:
    """The lines `name: value` of a file, none where there is no file; Failed on other content."""
    values = load_yaml(path) or {} if path.exists() else {}
    if not isinstance(values, dict):
        raise Failed(f"{path.name}: expected lines `name: value`")
    return values


def kind(value: Any) -> str:
    """The type of a parameter in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a whole number" if isinstance(value, int) else "a number"
    return {str: "a text", list: "a list", type(None): "nothing"}.get(type(value), type(value).__name__)


def fits(value: Any, default: Any) -> bool:
    """Whether a value can stand for a default: the same type; a whole number also for a number."""
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, list) and default:
        return isinstance(value, list) and all(fits(item, default[0]) for item in value)
    return default is None or type(value) is type(default)


def check(where: str, name: str, value: Any, default: Any) -> None:
    """Failed, naming file and key, when a value has another type than its default, or is negative or not finite."""
    if not fits(value, default):
        hint = "; in YAML write 1.0e-4, not 1e-4" if isinstance(value, str) and isinstance(default, float) else ""
        raise Failed(f"{where}: {name}: expected {kind(default)}, got {kind(value)} ({value!r}){hint}")
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, (int, float)) and not 0 <= number <= sys.float_info.max:
            got = f"{number:.3g}" if isinstance(number, float) else f"{str(number)[:20]}"
            raise Failed(f"{where}: {name}: expected a finite number of at least zero, got {got}")


def parameters(where: Places, chapter: str, *more: str) -> dict[str, Any]:
    """What the run's parameter files set for a chapter, and then ``more`` of them; Failed names every fault."""
    defaults = declared(where.notebook(chapter))
    values = {name: value for name, value in defaults.items() if name not in PLACES}
    folder = where.root / "params" / where.profile
    everywhere = where.notebook(chapter).parent.glob("*.py")
    for file in ("common.yaml", f"{chapter}.yaml", *more):
        label, given = f"params/{where.profile}/{file}", load_values(folder / file)
        others = everywhere if given and file == "common.yaml" else []
        allowed = {*defaults, *(name for notebook in others for name in declared(notebook))}
        for name, value in given.items():
            if name not in allowed or name in ("artifacts", "report"):
                raise Failed(f"{label}: {name}: no such parameter; {chapter} has {', '.join(values)}")
            if name in values:
                check(label, name, value, defaults[name])
                values[name] = value
    return values | ({"seed": where.seed} if where.seed is not None and "seed" in values else {})

"""Say before a report how long it will take and how much disk it needs, and check its parameter files.

python -m flowsdf.report.estimate --profile laptop --data procedural
"""

import shutil

from flowsdf.data.faults import Failed
from flowsdf.report.doors import leave, run_parser
from flowsdf.report.parameters import load_values, load_yaml, parameters
from flowsdf.report.places import NAMED_SOURCES, Places, chapters, places


def check_parameters(where: Places) -> None:
    """Failed on a fault in any file of the profile, or on a file that no chapter reads, before anything is computed."""
    known = [f"{name}.yaml" for name in ("common", "sweep", *chapters(where.root))]
    for path in sorted((where.root / "params" / where.profile).iterdir()):
        if path.name not in known and not path.name.startswith("."):
            raise Failed(f"params/{where.profile}/{path.name}: read by nothing; a chapter reads {known[2]}: rename it")
        load_values(path)
    for chapter in chapters(where.root):
        parameters(where, chapter)


def estimate(where: Places) -> str:
    """One line for a run, from params/estimates.yaml; a folder of meshes counts as `folder`."""
    table = load_yaml(where.root / "params" / "estimates.yaml")
    source = where.data if where.data in NAMED_SOURCES else "folder"
    row = table.get(where.profile, {}).get(source)
    if not row:
        return f"{where.run_name}: not measured yet"
    free = shutil.disk_usage(where.root).free / 1e9
    if free < row["gigabytes"] and not where.artifacts.is_dir():  # a report that is there needs less
        raise Failed(f"{where.run_name} needs {row['gigabytes']} GB of disk, {free:.1f} GB are free here")
    measured = f"about {row['minutes']} minutes on {row['machine']}, {row['gigabytes']} GB of disk ({free:.0f} GB free)"
    return f"{where.run_name}: {measured}; chapters that are up to date are not run again"


def main() -> int:
    """The command line."""
    parser = run_parser("How long a report takes, and how much disk it needs.")
    ask = parser.parse_args()
    where = places(ask.profile, ask.data)
    check_parameters(where)
    print(estimate(where), flush=True)
    return 0


if __name__ == "__main__":
    leave(main)

"""One line on stderr that says how far long work is and how long it still takes."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """The items, one after another, with a line of progress and an estimate, redrawn every few seconds."""
    return iter(tqdm(items, label, total=total, file=sys.stderr, mininterval=5, ascii=True, dynamic_ncols=True))

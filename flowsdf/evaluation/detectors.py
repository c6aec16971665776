"""What a detector records where an interval decides: 1 fires, 0 does not, and a half is not decided by the interval."""

OPEN = 0.5


def above(low: float, high: float, bound: float = 0.0) -> float:
    """Whether what lies between ``low`` and ``high`` is above the bound."""
    return 1.0 if low > bound else 0.0 if high < bound else OPEN


def near_zero(low: float, high: float, bound: float) -> float:
    """Whether what lies between ``low`` and ``high`` is less than ``bound`` from zero."""
    if -bound < low and high < bound:
        return 1.0
    return 0.0 if low > bound or high < -bound else OPEN

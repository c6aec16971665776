"""How a page prints a number."""


def significant(value: float) -> str:
    """Whole numbers whole, large ones without decimals, others to four significant digits."""
    whole = isinstance(value, int) or abs(value) >= 10_000
    return f"{value:,.0f}" if whole else f"{value:.4g}"

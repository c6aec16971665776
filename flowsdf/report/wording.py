"""How a page prints a number."""


def significant(value: float | None) -> str:
    """Whole numbers whole, large ones without decimals, others to four significant digits; a dash for none."""
    if value is None:
        return "-"
    whole = isinstance(value, int) or abs(value) >= 10_000
    return f"{value:,.0f}" if whole else f"{value:.4g}"

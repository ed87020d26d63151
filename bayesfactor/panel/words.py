"""How this room names names, stamps and cells in its messages: a few of them, then a count."""

import pandas as pd

from bayesfactor.tables.names import few

__all__ = ["columns_with_dates", "few", "stamps_text"]


def stamps_text(stamps: pd.DatetimeIndex) -> str:
    """Write stamps as dates, with the hour only where there is one."""
    plain = stamps.normalize() == stamps
    return few(s.date() if p else s for s, p in zip(stamps, plain, strict=True))


def columns_with_dates(bad: pd.DataFrame) -> str:
    """Write the columns that hold a True, each with its first date and how many there are."""
    parts = []
    for name in bad.columns[bad.any()]:
        stamps = pd.DatetimeIndex(bad.index[bad[name]])
        more = f", {len(stamps)} times" if len(stamps) > 1 else ""
        parts.append(f"{name} (first on {stamps_text(stamps[:1])}{more})")
    return few(parts)

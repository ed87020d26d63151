"""One reader for every table: whatever is tabular comes in, a plain frame with clean names goes on.

Blanks around names are stripped, rows are as long as the header, numbers are read as they were meant or not
at all. What is given is never changed. Doors (prices, weights, positions, ...) read nothing by themselves.
"""

from bayesfactor.tables.given import Given, given, named
from bayesfactor.tables.names import Door, clean, clean_names, plain
from bayesfactor.tables.numbers import Numbers, check_decimal, read_numbers
from bayesfactor.tables.pairs import by_name, named_cells, named_column, numbers_of, warn_of_gross

__all__ = [
    "Door",
    "Given",
    "Numbers",
    "by_name",
    "check_decimal",
    "clean",
    "clean_names",
    "given",
    "named",
    "named_cells",
    "named_column",
    "numbers_of",
    "plain",
    "read_numbers",
    "warn_of_gross",
]

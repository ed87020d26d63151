"""Files: everything that is written, and what is read again, goes through here.

One writer (`place`), marks by which our own files are known (`marks`), digests (`seal`), a look at a file
before it is read (`guard`), and tables free of formulas (`cells`).
"""

from bayesfactor.keep.cells import escaped, unescaped, unescaped_text, write_csv, write_page, write_parquet
from bayesfactor.keep.lock import owner_of, take
from bayesfactor.keep.place import check_folder, check_place, storage_errors, written_whole
from bayesfactor.keep.verbs import ARRAYS, load, read, save

__all__ = [
    "ARRAYS",
    "check_folder",
    "check_place",
    "escaped",
    "load",
    "owner_of",
    "read",
    "save",
    "storage_errors",
    "take",
    "unescaped",
    "unescaped_text",
    "write_csv",
    "write_page",
    "write_parquet",
    "written_whole",
]

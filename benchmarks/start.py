"""What a user waits for before anything happens."""

import statistics
import subprocess
import sys
import time
from typing import Any

__all__ = ["measure"]

_COMMANDS = {
    "import bayesfactor": [sys.executable, "-c", "import bayesfactor"],
    "bayesfactor --help": [sys.executable, "-m", "bayesfactor", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def measure(times: int = 5) -> list[dict[str, Any]]:
    """Return the median wall time of each command, the interpreter's own start beside them."""
    rows = []
    for what, command in _COMMANDS.items():
        seconds = []
        for _ in range(times):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
        rows.append({"what": what, "seconds": round(statistics.median(seconds), 2)})
    return rows

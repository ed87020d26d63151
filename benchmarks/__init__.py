"""Measurements behind what the project says about its speed: `python -m benchmarks`.

Each module measures one claim against its peers in one run, since seconds differ between machines
and ratios less so. Nothing here is a test: a number is printed, not asserted.
"""

"""Work in blocks: bounded memory, both cores, results that do not depend on how many there are."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from bayesfactor.errors import ModelError

__all__ = ["block_rng", "root_entropy", "run_blocks", "slices", "thinned"]

type Seed = int | np.random.Generator | np.random.SeedSequence | None


def slices(total: int, size: int) -> list[slice]:
    """Cut `range(total)` into consecutive slices of at most `size`."""
    size = max(1, size)
    return [slice(a, min(a + size, total)) for a in range(0, total, size)]


def thinned(total: int, at_most: int) -> np.ndarray:
    """Return at most `at_most` evenly spaced positions among `total`."""
    return np.unique(np.linspace(0, total - 1, min(total, at_most)).round().astype(int))


def run_blocks[T, R](work: Callable[[T], R], blocks: Iterable[T]) -> Iterator[R]:
    """Yield `work(block)` in order, computed by a few threads that never run far ahead.

    `work` should spend its time in code that releases the GIL, and a block should take about a second: what
    stops the loop, such as Ctrl-C, leaves the blocks that have begun alone and starts no other.
    """
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting = iter(blocks)
    pool, finished = ThreadPoolExecutor(max_workers=workers), False
    try:
        queue = [pool.submit(work, b) for b in islice(waiting, workers + 1)]
        while queue:
            done = queue.pop(0)
            yield done.result()
            queue.extend(pool.submit(work, b) for b in islice(waiting, 1))
        finished = True
    finally:
        pool.shutdown(wait=finished, cancel_futures=True)


def root_entropy(random_seed: Seed) -> int:
    """Return one integer that reproduces everything drawn from `random_seed`.

    Raises
    ------
    ModelError
        If it is no seed.
    """
    if isinstance(random_seed, np.random.Generator):
        return int(random_seed.integers(2**63))
    if isinstance(random_seed, np.random.SeedSequence):
        return int(random_seed.generate_state(1, np.uint64)[0])
    if random_seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    if isinstance(random_seed, bool) or not isinstance(random_seed, int | np.integer) or random_seed < 0:
        msg = (
            "random_seed is a whole number of at least 0, a Generator, a SeedSequence or None; "
            f"got {random_seed!r}."
        )
        raise ModelError(msg)
    return int(random_seed)


def block_rng(entropy: int, *key: int) -> np.random.Generator:
    """Return the generator of one block: the same for the same key, whatever ran before."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy, spawn_key=key)))

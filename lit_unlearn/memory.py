"""Memory that tensors on the CPU have freed is kept for the next ones."""

import ctypes
import os
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt."""
CHOSEN = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Variables by which somebody has chosen an allocator or its settings already."""


def keep_freed_memory() -> bool:
    """Has glibc keep up to 2 GiB of freed memory, and take what is below 1 GiB from it; says whether it was done.

    By default each tensor above 32 MiB is mapped anew from the system, which clears its pages one by one, and is
    unmapped when it is freed: a sixth of the CPU time of a small language model (benchmarks/freed_memory.py). Other
    systems and C libraries are left as they are, and so are settings of the user's own.
    """
    if not sys.platform.startswith("linux") or any(name.startswith(CHOSEN) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    settings = {TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 2**26, MMAP_THRESHOLD: 2**30}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())

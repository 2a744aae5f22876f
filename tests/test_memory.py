"""Freed memory is kept: counted in page faults, which do not depend on how busy a machine is."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from lit_unlearn.memory import keep_freed_memory
kept = sys.argv[1] == "kept" and keep_freed_memory()
for _ in range(12):
    torch.zeros(2**24).add_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(2**24).add_(1)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word: str, **environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and page faults of twenty tensors of 64 MiB, one after the other."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", FAULTS, word]
    done = subprocess.run(
        command, env=clean | {"OMP_NUM_THREADS": "1"} | environment, capture_output=True, text=True, check=True
    )
    kept, count = done.stdout.split()
    return bool(int(kept)), int(count)


@pytest.mark.slow
def test_tensors_take_the_memory_that_others_have_freed():
    left, usual = faults("left")
    kept, few = faults("kept")
    if not kept:
        pytest.skip("the C library is not glibc")
    # not 0: where other memory lies in between, by chance, some tensors do not find a place
    assert not left and few * 2 < usual


@pytest.mark.slow
def test_settings_of_the_users_own_stay():
    assert faults("kept", MALLOC_ARENA_MAX="2")[0] is False

"""A function in each of two processes of one job, as DDP has them."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.program import IMPORTED


def in_two_processes(compute: Callable[[int], Any], folder: Path) -> list[Any]:
    """What `compute(rank)` returns in each of two processes between which gloo communicates.

    Args:
        compute: a function of a module, returns what torch.load takes with weights_only.
        folder: an empty one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    processes = [context.Process(target=_one, args=(compute, rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(200)
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _one(compute: Callable[[int], Any], rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(compute(rank), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()

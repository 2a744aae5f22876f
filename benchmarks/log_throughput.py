"""Lines a second of scoring a log, beside a plain loop, and the memory it takes for a long log.

    python benchmarks/log_throughput.py data_root=DIR               the lines of BGL in DIR/bgl
    python benchmarks/log_throughput.py                             a generated log
    python benchmarks/log_throughput.py lines=20000 memory=100000,1000000       shorter

The plain loop reads the same lines, cuts and preprocesses them alike, and scores them in file order in batches of 256,
tokenised and padded to the longest of the batch. Both use one untrained network of the experiment's size (weights have
no influence on the time), one process and as many threads as torch takes; they are measured in turn (A B A B ...) and
the medians compared. Scoring also writes its CSV file with percentiles, verdicts and suspicious tokens, which the plain
loop does not. "distinct" is a file of the first line of each text only, where recognising repeated lines is of no use.

Memory is the highest resident set of a process that scores a generated log of so many lines, made as it is read.
"""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from datamodules.logs.base import LogDataModule
from datamodules.logs.batches import LineBatch, padded
from datamodules.logs.generator import generate
from datamodules.logs.reading import LogReader
from datamodules.logs.tokenizer import encode
from lit_unlearn import command_line, config as configuration, evaluation, nodes
from lit_unlearn.evaluation.logs_judging import LineJudge
from lit_unlearn.evaluation.logs_rows import CSVRows
from lit_unlearn.evaluation.logs_scoring import score_log

BATCH = 256
GENERATED = "experiment=log_electra/generated"


class Stream(LogReader):
    """Lines that are made as they are asked for, in the place of a file."""

    def __init__(self, lines: Iterable[str]):
        super().__init__("generated")
        self.lines = iter(lines)

    def chunks(self, most: int) -> Iterator[list[str]]:
        while chunk := list(itertools.islice(self.lines, most // 100)):  # a line has about a hundred bytes
            self.num_lines += len(chunk)
            yield chunk


def built(overrides: list[str]) -> tuple[Any, LogDataModule, LineJudge]:
    """An experiment's untrained detector with its data, set up."""
    config = configuration.compose(overrides)
    data = nodes.build(config["data"])
    data.setup()
    method = nodes.build(config["method"] | {"vocab_size": data.vocab_size, "max_length": data.max_length})
    method.unlabeled_quantiles.zero_()
    return method.eval(), data, LineJudge(method, data.tokenizer, evaluation.trainer(config["trainer"]))


def scoring(judge: LineJudge, data: LogDataModule, log: LogReader, output: str) -> None:
    with open(output, "w", newline="", encoding="utf-8") as file:
        score_log(judge, log, data.format, data.preprocess, CSVRows(file), show=False)


@torch.inference_mode()
def plain_loop(method: Any, data: LogDataModule, path: Path) -> None:
    assert data.tokenizer is not None
    records = filter(None, map(data.format.parse, LogReader(path)))
    texts = (data.preprocess(record.message) for record in records)
    while batch := list(itertools.islice(texts, BATCH)):
        known, count = torch.zeros(len(batch), dtype=torch.bool), torch.ones(len(batch), dtype=torch.int64)
        method.line_scores(LineBatch(padded(encode(data.tokenizer, batch)), known, count, batch)).tolist()


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(name: str, num_lines: int, ours: Callable[[], None], plain: Callable[[], None], wanted: int) -> None:
    """Measures both in turn and prints lines a second and their ratio; the first round warms up."""
    rounds = [(seconds(ours), seconds(plain)) for _ in range(4)][1:]
    a, b = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratios = [plain_time / our_time for our_time, plain_time in rounds]
    print(
        f"{name:9} {num_lines:8} lines  scoring {num_lines / a:9.0f}/s  plain loop {num_lines / b:7.0f}/s  "
        f"ratio {b / a:6.1f} ({min(ratios):.1f} to {max(ratios):.1f})  wanted: at least {wanted}",
        flush=True,
    )


def throughput(overrides: list[str], lines: Iterable[str], folder: Path) -> None:
    method, data, judge = built(overrides)
    whole, distinct, output = folder / "whole.log", folder / "distinct.log", str(folder / "scores.csv")
    seen: set[str] = set()
    num_lines = 0
    with whole.open("w", encoding="utf-8") as all_lines, distinct.open("w", encoding="utf-8") as first_lines:
        for line in lines:
            record = data.format.parse(line)
            if record is not None:
                num_lines += 1
                all_lines.write(f"{line}\n")
                text = data.preprocess(record.message)
                if text not in seen:
                    seen.add(text)
                    first_lines.write(f"{line}\n")
    for name, number, path, wanted in (("all", num_lines, whole, 20), ("distinct", len(seen), distinct, 2)):

        def ours(path: Path = path) -> None:
            scoring(judge, data, LogReader(path), output)

        def plain(path: Path = path) -> None:
            plain_loop(method, data, path)

        compare(name, number, ours, plain, wanted)


def memory(sizes: list[int]) -> None:
    """Peak memory of scoring logs of these sizes, each in a process of its own."""
    peaks = []
    for size in sizes:
        ended = subprocess.run([sys.executable, __file__, f"score={size}"], check=True, capture_output=True, text=True)
        peaks.append(int(ended.stdout.split()[-1]) / 1024)
        print(f"{size:10} lines: at most {peaks[-1]:.0f} MiB", flush=True)
    print(f"{sizes[-1]} / {sizes[0]} lines: {peaks[-1] / peaks[0]:.3f}  wanted: at most 1.10")


def score_and_tell(num_lines: int) -> None:
    """Scores a generated log and prints the highest resident set in KiB."""
    _, data, judge = built([GENERATED])
    scoring(judge, data, Stream(generate(num_lines, seed=1)), os.devnull)
    status = Path("/proc/self/status").read_text()
    print(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def main(arguments: list[str]) -> None:
    given = dict(argument.split("=", 1) for argument in arguments)
    command_line.speak()
    if "score" in given:
        score_and_tell(int(given["score"]))
        return
    most = int(given.get("lines", 106_908))
    if "data_root" in given:
        overrides = ["experiment=log_electra/bgl", f"data_root={given['data_root']}"]
        log: Iterable[str] = LogReader(Path(given["data_root"]) / "bgl" / given.get("log", "BGL.log.xz"))
    else:
        overrides, log = [GENERATED], generate(most, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        throughput(overrides, itertools.islice(log, most), Path(folder))
    sizes = given.get("memory", "1000000,10000000")
    if sizes != "none":
        memory([int(size) for size in sizes.split(",")])


if __name__ == "__main__":
    main(sys.argv[1:])

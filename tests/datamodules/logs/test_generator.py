"""The generated log is the same for the same seed, and has what a method needs to show something on it."""

import inspect
import time
from itertools import islice, pairwise

import pytest

from datamodules.logs.formats import named
from datamodules.logs.generator import generate
from datamodules.logs.preprocessing import Preprocessor

TAGS = {
    *("ATTACK", "CLOCK", "CORRUPT", "DISK", "INJECTION", "MEMORY"),
    *("NETWORK", "PARAMETER", "QUORUM", "SEGFAULT", "THERMAL", "TRACE"),
}


@pytest.fixture(scope="module")
def log() -> list[tuple[str, str, int]]:
    """Text, tag and time of 20,000 lines."""
    parse, preprocess = named("columns", label=0, time=1, message=2).parse, Preprocessor()
    records = [parse(line) for line in generate(20_000, seed=0)]
    return [(preprocess(record.message), record.tag, record.time) for record in records]


def test_a_function_of_its_arguments():
    first = list(generate(3000, 7))
    assert first == list(generate(3000, 7))
    assert first == list(islice(generate(10_000_000, 7), 3000)), "a stream: no line depends on how many follow"
    assert first != list(generate(3000, 8))
    assert inspect.isgeneratorfunction(generate)


def test_lines_are_many_a_second():
    start = time.process_time()
    assert sum(1 for _ in generate(20_000, 1)) == 20_000
    assert time.process_time() - start < 2, "0.2 s on an idle core"


def test_tags_share_and_time(log):
    assert {tag for _, tag, _ in log} == TAGS | {"-"}
    assert sum(tag != "-" for _, tag, _ in log) / len(log) == pytest.approx(0.02, abs=0.006)
    times = [time for _, _, time in log]
    gaps = [b - a for a, b in pairwise(times)]
    assert min(gaps) == 0 and max(gaps) > 300, "bursts and quiet times"
    assert times[-1] - times[0] > 200 * 3600, "hours enough for windows of 60 minutes"


@pytest.mark.parametrize("share", [0, 0.1, 0.5])
def test_any_share_of_anomalies(share: float):
    found = sum(not line.startswith("- ") for line in generate(20_000, 3, share)) / 20_000
    assert found == pytest.approx(share, abs=0.03) and (share > 0 or found == 0)


def test_windows_without_and_with_anomalies(log):
    anomalous = [any(tag != "-" for _, tag, _ in log[i : i + 100]) for i in range(0, len(log), 100)]
    assert 0.3 < sum(anomalous) / len(anomalous) < 0.6


def test_no_text_is_both_normal_and_anomalous(log):
    assert not {text for text, tag, _ in log if tag == "-"} & {text for text, tag, _ in log if tag != "-"}


def test_normal_lines_go_on_to_be_new(log):
    seen = {text for text, tag, _ in log[:16_000] if tag == "-"}
    later = [text for text, tag, _ in log[16_000:] if tag == "-"]
    assert 0.03 < sum(text not in seen for text in later) / len(later) < 0.09
    assert 1000 < len(seen) < 3000


def test_normal_lines_speak_of_trouble_too(log):
    """So that no word by itself gives an anomaly away."""
    normal = {word for text, tag, _ in log if tag == "-" for word in text.split()}
    assert {"error", "failed", "errors", "slow", "dropped", "memory", "temperature", "below"} <= normal
    for tag in ("PARAMETER", "CORRUPT"):
        lines = [text.split() for text, other, _ in log if other == tag]
        known = sum(word in normal for words in lines for word in words) / sum(map(len, lines))
        assert known > 0.85, tag

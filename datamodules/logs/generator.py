"""A log of a computing cluster with injected anomalies, for a first run without any data.

Normal lines are as in practice: a few templates make up most of the log and some are met a few times only; names of
users, jobs, tables and modules come from lists with a long tail, so that about 6 % of the normal lines to come have
not been met before in 16,000 lines, digits aside. Anomalies come in short incidents of one type. Ten types have
wordings of their own; two are normal lines gone wrong: PARAMETER has a value that does not belong where it stands,
CORRUPT has words of other messages or its own in another order.
"""

import re
from collections.abc import Callable, Iterator
from itertools import accumulate
from random import Random

from datamodules.logs import templates
from lit_unlearn.reproducibility import derived_seed

START = 1_700_000_000
"""The time of the first line, in seconds since 1970."""

_STAY = 0.7  # chance that the next line belongs to the same incident: 3.3 lines in a row on average
_GAP = 60.0  # seconds between two bursts of lines
_TYPES = [*templates.ALERTS, "PARAMETER", "CORRUPT"]

Piece = str | Callable[[], str]


def generate(num_lines: int, seed: int, anomaly_share: float = 0.02) -> Iterator[str]:
    """Lines `TAG SECONDS message...`, tag `-` for a normal line, as a stream; the same ones for the same arguments.

    Args:
        num_lines: lines of the log.
        seed: draws everything.
        anomaly_share: expected share of anomalies, in [0, 0.5].

    Yields:
        the lines, in rising order of time.
    """
    random = Random(derived_seed("generated log", seed))
    writer = _Writer(random)
    # Normal and anomalous lines take turns as a Markov chain with this share of anomalies in the long run.
    begin = anomaly_share * (1 - _STAY) / (1 - anomaly_share)
    tag, time = "-", float(START)
    for _ in range(num_lines):
        if random.random() < 0.4:  # a burst has 1.7 lines on average
            time += random.expovariate(0.4 / _GAP)
        if random.random() >= (begin if tag == "-" else _STAY):
            tag = "-"
        elif tag == "-":
            tag = random.choice(_TYPES)
        message = writer.normal() if tag == "-" else writer.anomaly(tag)
        yield f"{tag} {int(time)} {message}"


class _Writer:
    """Fills templates; all it draws comes from one random number generator."""

    def __init__(self, random: Random):
        self.random = random
        self.slots = _slots(random)
        frequent = [self._compiled(template) for template in templates.NORMAL_TEMPLATES]
        rare = [self._compiled(template) for template in templates.RARE_TEMPLATES]
        self.normal_templates = frequent + rare
        zipf = [1 / (rank + 2) for rank in range(len(frequent))]
        self.cumulative = list(accumulate(zipf + [1e-3] * len(rare)))
        self.alerts = {tag: [self._compiled(line) for line in lines] for tag, lines in templates.ALERTS.items()}
        fixed = (re.sub(r"\{\w+\}", " ", line).partition(": ")[2] for line in templates.NORMAL_TEMPLATES)
        self.words = sorted({word for line in fixed for word in line.split() if len(word) > 3 and word.isalpha()})

    def _compiled(self, template: str) -> list[Piece]:
        """A template's fixed text (even places) and slots (odd places), headed by host, service and process."""
        service, _, message = template.partition(": ")
        pieces = re.split(r"\{(\w+)\}", "{host} " + service + "[{n}]: " + message)
        return [self.slots[piece] if place % 2 else piece for place, piece in enumerate(pieces)]

    def normal(self) -> str:
        return _filled(self._drawn())

    def anomaly(self, tag: str) -> str:
        if tag == "PARAMETER":
            return self._parameter()
        if tag == "CORRUPT":
            return self._corrupt()
        return _filled(self.random.choice(self.alerts[tag]))

    def _drawn(self) -> list[Piece]:
        return self.random.choices(self.normal_templates, cum_weights=self.cumulative)[0]

    def _parameter(self) -> str:
        """A normal line in which one value is odd; host and process number are kept."""
        pieces = self._drawn().copy()
        pieces[self.random.randrange(5, len(pieces), 2)] = self.random.choice(templates.ODD_VALUES)
        return _filled(pieces)

    def _corrupt(self) -> str:
        """A normal line of which two words are others', or whose words are in another order."""
        head = ""
        words: list[str] = []
        while len(plain := [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]) < 3:
            head, _, message = self.normal().partition(": ")
            words = message.split()
        if self.random.random() < 0.5:
            for place in self.random.sample(plain, 2):
                words[place] = self.random.choice([word for word in self.words if word not in words])
        else:
            first, *others = plain
            moved = [words[i] for i in (*others, first)]
            for place, word in zip(plain, moved, strict=True):
                words[place] = word
        return f"{head}: {' '.join(words)}"


def _filled(pieces: list[Piece]) -> str:
    return "".join([piece if isinstance(piece, str) else piece() for piece in pieces])


def _slots(random: Random) -> dict[str, Callable[[], str]]:
    """What fills each slot. Which words of a list are the frequent ones depends on the seed."""
    uniform, integer = random.random, random.randrange

    def words(values: list[str]) -> Callable[[], str]:
        values = random.sample(values, len(values))
        size = len(values) + 1
        return lambda: values[int(size ** uniform()) - 1]  # Zipf: the k-th value has a chance of about 1 / k

    def number() -> str:
        return str(int(10 ** (uniform() * 5)))

    def address() -> str:
        return f"10.{integer(16)}.{integer(256)}.{integer(1, 255)}"

    surname, topic, task = words(templates.SURNAMES), words(templates.TOPICS), words(templates.TASKS)
    mount, part = words(templates.MOUNTS), words(templates.PARTS)
    return {
        "n": number,
        "id": lambda: str(integer(100_000, 1_000_000)),
        "ms": lambda: f"{uniform() ** 4 * 2000:.1f}",
        "x": lambda: f"{uniform() * 8 - 1:.3f}",
        "hex": lambda: f"0x{integer(1 << 32):08x}",
        "ip": address,
        "mac": lambda: "02:" + integer(1 << 40).to_bytes(5, "big").hex(":"),
        "date": lambda: f"2023-{integer(1, 13):02}-{integer(1, 29):02}T{integer(24):02}:{integer(60):02}:00",
        "path": lambda: f"/{mount()}/{surname()}/{topic()}/{task()}{integer(1000)}.dat",
        "url": lambda: f"/{part()}/{integer(100_000)}",
        "host": lambda: f"node{integer(1, 129):03}",
        "user": surname,
        "topic": topic,
        "task": task,
        "job": lambda: f"{topic()}-{task()}",
        "queue": words(templates.QUEUES),
        "table": words(templates.TABLES),
        "mount": mount,
        "device": words(templates.DEVICES),
        "link": words(templates.LINKS),
        "part": part,
        "module": words(templates.MODULES),
        "odd": words(templates.ODD_VALUES),
    }

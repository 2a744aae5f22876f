"""Fields become placeholders, words stay, and no line takes long."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from datamodules.logs.formats import named
from datamodules.logs.preprocessing import PLACEHOLDERS, Preprocessor
from datamodules.logs.reading import LogReader
from lit_unlearn.errors import UserError

FIELDS = {
    "DATE": """2005-06-03-15.42.50.363779 | 2005-06-03T15:42:50,123Z | 2005-06-03T15:42:50.1+02:00 | 2005.06.03
        2005/06/03 15:42:50 +0200 | 09/Nov/2005:12:01:01 +0100 | Tue Sep 27 12:34:56 PDT 2005 | Nov  9 12:01:01
        Wed, 09 Nov 2005 12:01:01 +0100 | 15:42:50.363 | 9:02:11 | 2005-06-03 | 2005-06-03 15:42:50 UTC""",
    "IP": """10.0.0.1 | 10.0.0.1:5000 | /10.250.19.102:54106 | 192.168.0.0/16 | fe80::1 | ::1 | 2001:db8::ff00:42:8329
        ::ffff:10.0.0.1 | fe80::
        2001:0db8:85a3:0000:0000:8a2e:0370:7334 | 00:1a:2b:3c:4d:5e | ff:f2:9f:16:ee:6c:00:0d:60:e9:23:6a""",
    "PATH": r"""/var/log/messages | /p/gb1/x-2x3.map | ~/a/b | ~root/.ssh | ./run.sh | ../a | C:\Windows\x.dll | \\srv\x
        https://example.org/a?b=c#d | hdfs://master:9000/x | file:///etc/passwd""",
    "HEX": """0x1f | 00106570 | 0X00FF | 3f | 7e002a | 0b85eee0 | be7fac00 | ffffffff
        550e8400-e29b-41d4-a716-446655440000
        fd0e8400-e29b-41d4-a716-446655440000""",
    "NUM": "0 | 42 | -1 | +3 | 3.14 | 1,234,567 | 1e-05 | 2.5e+3",
}
CASES = [(name, field.strip()) for name, fields in FIELDS.items() for field in fields.replace("\n", "|").split("|")]


@pytest.mark.parametrize(("name", "field"), CASES)
def test_a_field_is_one_placeholder(name: str, field: str):
    for lower in (True, False):
        preprocess = Preprocessor(lower)
        assert preprocess(field) == f"[{name}]"
        assert preprocess(f"got ({field}): done") == f"got ( [{name}] ): done"
        assert preprocess(f"a={field}, b") == f"a= [{name}] , b"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("ciod7 on R02-M1", "ciod [NUM] on r [NUM] -m [NUM]"),
        ("took 12ms, 5 of 10-20", "took [NUM] ms, [NUM] of [NUM] - [NUM]"),
        ("Error loading /bgl/apps/a.rts: invalid", "error loading [PATH] : invalid"),
        ("CE sym 2, at 0x0b85eee0, mask 0x40", "ce sym [NUM] , at [HEX] , mask [HEX]"),
        ("chdir(/p/gb1/x) failed", "chdir( [PATH] ) failed"),
        ("see /var/log/syslog.", "see [PATH] ."),
        ("db/10.0.0.1:80 closed", "db [IP] closed"),
        ("open https://a.org/x.", "open [PATH] ."),
        ("enable......0", "enable...... [NUM]"),
        ("  many \t blanks  ", "many blanks"),
        ("", ""),
    ],
)
def test_fields_inside_messages(message: str, expected: str):
    assert Preprocessor()(message) == expected


WORDS = ["tree/torus and/or n/a", "std::bad_alloc a::b c::d", "deadline added facade", "and... so ~ on - then / there"]


@pytest.mark.parametrize("message", [*WORDS, "x-ray + y", "may be", "a: b", "::abc::", "feed: bad", "caf\u00e9 \u4e2d"])
def test_words_stay(message: str):
    assert Preprocessor()(message) == message


def test_chosen_placeholders_only():
    message = "Job 17 at 10.0.0.1 wrote /tmp/a1 0xff 12:00:01"
    assert Preprocessor(placeholders=[])(message) == "job 17 at 10.0.0.1 wrote /tmp/a1 0xff 12:00:01"
    assert Preprocessor(placeholders=["PATH", "IP", "DATE"])(message) == "job 17 at [IP] wrote [PATH] 0xff [DATE]"
    assert Preprocessor(False, placeholders=["NUM"])("Job17") == "Job [NUM]"
    with pytest.raises(UserError, match=r"no placeholder is named 'NODE'; allowed: DATE, IP, PATH, HEX, NUM"):
        Preprocessor(placeholders=["NUM", "NODE"])


def test_stop_words_are_whole_words_after_the_replacement():
    assert Preprocessor(stop_words=["the", "of", "[NUM]"])("The end of 7 offers") == "end offers"


def test_every_placeholder_has_a_field_here():
    assert [f"[{name}]" for name in FIELDS] == PLACEHOLDERS


@pytest.mark.parametrize(
    "part",
    ["a", "1", "/", "/a", "./", "1.", "1:", "a1:", ":", "::", "f", "1-", "a://", "\\", "~a", "0x", "1,", "-1 ", "1f"],
)
def test_no_line_takes_long(part: str):
    line = (part * 65536)[:65536]
    start = time.process_time()
    Preprocessor()(line)
    assert time.process_time() - start < 2


def test_bgl_has_few_distinct_lines_and_no_text_of_both_kinds():
    root = os.environ.get("LIT_UNLEARN_DATA")
    path = Path(root or "") / "bgl" / "BGL.log.xz"
    if not root or not path.exists():
        pytest.skip("LIT_UNLEARN_DATA names no folder with bgl/BGL.log.xz")
    preprocess, parse = Preprocessor(), named("bgl").parse
    kinds: dict[str, set[bool]] = {}
    number: Counter[bool] = Counter()
    for line in LogReader(path):
        record = parse(line)
        assert record is not None
        kinds.setdefault(preprocess(record.message), set()).add(record.tag == "-")
        number[record.tag == "-"] += 1
    assert number == {True: 98_932, False: 7_976}
    assert len(kinds) < 1000
    assert all(len(kind) == 1 for kind in kinds.values())


def test_a_log_cannot_name_the_tokens_of_the_vocabulary():
    kept = Preprocessor(lower=False, placeholders=["NUM"])
    assert kept("[PAD] [CLS]Login [NUM] 7") == "[pad] [cls]Login [num] [NUM]"
    assert Preprocessor()("[PAD] Login") == "[pad] login"

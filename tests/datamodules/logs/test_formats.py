"""Each format finds message, tag and time in lines as the data sets have them."""

from pathlib import Path

import pytest

from datamodules.logs.formats import Record, named
from lit_unlearn.errors import UserError

BGL = (
    "1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 R02-M1-N0-C:J12-U11 RAS KERNEL INFO "
    "instruction cache parity error corrected"
)
THUNDERBIRD = (
    "1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session closed for user root"
)
HDFS = "081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_-160899 src: /10.250.19.102:54106"


def test_bgl():
    parse = named("bgl").parse
    message = "RAS KERNEL INFO instruction cache parity error corrected"
    assert parse(f"- {BGL}") == Record(message, "-", 1117838570)
    assert parse(f"KERNDTLB {BGL}") == Record(message, "KERNDTLB", 1117838570)
    assert parse(f"- {BGL.partition(' instruction')[0]}") == Record("RAS KERNEL INFO", "-", 1117838570)
    for other in ("", "- 1117838570 2005.06.03", "a stack trace in between", f"- x{BGL}"):
        assert parse(other) is None


@pytest.mark.parametrize("name", ["thunderbird", "spirit"])
def test_thunderbird_and_spirit(name: str):
    parse = named(name).parse
    message = "crond(pam_unix)[2915]: session closed for user root"
    assert parse(f"- {THUNDERBIRD}") == Record(message, "-", 1131566461)
    assert parse(f"R_CON {THUNDERBIRD.replace('Nov 9', 'Nov  9')}") == Record(message, "R_CON", 1131566461)
    assert parse(f"- {THUNDERBIRD.partition(' crond')[0]}") == Record("", "-", 1131566461)
    assert parse("- 1131566461 2005.11.09 dn228") is None


def test_hdfs_labels_lines_by_their_blocks(tmp_path: Path):
    message = HDFS.split(" ", 3)[3]
    time = 1226262918  # 2008-11-09 20:35:18 UTC
    assert named("hdfs").parse(HDFS) == Record(message, None, time)
    table = tmp_path / "anomaly_label.csv"
    table.write_text("BlockId,Label\nblk_-160899,Anomaly\nblk_160899,Normal\n")
    parse = named("hdfs", labels=str(table)).parse
    assert parse(HDFS) == Record(message, "Anomaly", time)
    assert parse(HDFS.replace("blk_-", "blk_")) == Record(message.replace("blk_-", "blk_"), "-", time)
    for other in ("", "081109 203518 143", HDFS.replace("081109", "081199"), HDFS.replace("203518", "20:3518")):
        assert parse(other) is None


def test_hdfs_names_a_table_it_cannot_use(tmp_path: Path):
    with pytest.raises(UserError, match=r"data\.labels=.*absent\.csv: cannot be read"):
        named("hdfs", labels=tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"columns BlockId and Label"):
        named("hdfs", labels=tmp_path / "other.csv")


def test_columns():
    line = "ok 2023-11-14T22:13:21 web  GET  /a 200"
    assert named("columns").parse(line) == Record(line, None, None)
    assert named("columns", message=3).parse(line) == Record("GET  /a 200", None, None)
    parse = named("columns", label=0, time=1, message=2, normal="ok").parse
    assert parse(line) == Record("web  GET  /a 200", "-", 1700000001)
    assert parse(line.replace("ok", "bad")) == Record("web  GET  /a 200", "bad", 1700000001)
    assert parse("ok 1700000001.9 x") == Record("x", "-", 1700000001)
    assert parse("ok 2023-11-14T23:13:21+01:00 x") == Record("x", "-", 1700000001)
    for other in ("", "ok 1700000001", "ok yesterday x", f"ok {'9' * 30} x", f"ok {'9' * 30}.5 x"):
        assert parse(other) is None


@pytest.mark.parametrize("wrong", [{"label": -1}, {"label": 2, "message": 1}, {"time": 0}, {"message": -1}])
def test_columns_out_of_place(wrong: dict[str, int]):
    with pytest.raises(UserError, match=r"data\.layout: "):
        named("columns", **wrong)


def test_regex():
    parse = named("regex", pattern=r"\[(?P<time>[^]]+)\] (?:<(?P<label>\w+)> )?(?P<message>.*)", normal="fine").parse
    assert parse("[2023-11-14 22:13:21,500] <disk> sda lost") == Record("sda lost", "disk", 1700000001)
    assert parse("[1700000001] <fine> sda") == Record("sda", "-", 1700000001)
    assert parse("[1700000001] sda") == Record("sda", "-", 1700000001)
    assert parse("[noon] sda") is None and parse("sda") is None
    assert named("regex", pattern="(?P<message>.*)").parse("all") == Record("all", None, None)


def test_regex_that_says_too_little():
    with pytest.raises(UserError, match=r"'\(' is no regular expression"):
        named("regex", pattern="(")
    with pytest.raises(UserError, match=r"lacks the group \(\?P<message>"):
        named("regex", pattern="(?P<label>.*)")


def test_plain_and_unknown_names():
    assert named("plain").parse("- 1 x") == Record("- 1 x", None, None)
    assert named("plain").parse("") is None and named("plain").parse(" \t") is None
    with pytest.raises(UserError, match=r"no format is named 'bg1'; allowed: bgl, thunderbird, spirit, hdfs"):
        named("bg1")
    with pytest.raises(UserError, match=r"bgl does not take these arguments"):
        named("bgl", label=3)

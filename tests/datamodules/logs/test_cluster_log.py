"""Published logs: where they lie, how much is read, and what is told where they are not."""

import gzip
import lzma
import os
from pathlib import Path

import numpy as np
import pytest

from datamodules.logs.bgl import BGL
from datamodules.logs.cluster_log import ClusterLog
from datamodules.logs.hdfs import HDFS
from datamodules.logs.spirit import Spirit
from datamodules.logs.thunderbird import Thunderbird
from lit_unlearn.errors import UserError

BGL_LINE = "{tag} {time} 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO cache error {i}"
SYSLOG_LINE = "{tag} {time} 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[{i}]: session closed"
HDFS_LINE = "081109 2035{i:02} 143 INFO dfs.DataNode: Receiving block blk_{block}"


def text_of(line: str, number: int = 40) -> str:
    """Lines of a log, every eighth of them an alert."""
    return "".join(
        line.format(tag="BAD" if i % 8 == 3 else "-", time=1_100_000_000 + i, i=i, block=int(i % 8 == 3)) + "\n"
        for i in range(number)
    )


def stored(folder: Path, content: str, suffix: str = "", file: str = "BGL.log") -> None:
    folder.mkdir(exist_ok=True)
    opened = {"": open, ".gz": gzip.open, ".xz": lzma.open}[suffix]
    with opened(folder / f"{file}{suffix}", "wt") as log:
        log.write(content)


def set_up(cls: type[ClusterLog], root: Path, **arguments) -> ClusterLog:
    data = cls(data_root=str(root), **arguments)
    data.setup()
    return data


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_bgl(suffix: str, tmp_path: Path):
    stored(tmp_path / "bgl", text_of(BGL_LINE), suffix)
    data = set_up(BGL, tmp_path)
    assert data.texts == ["ras kernel info cache error [NUM]"]
    assert data.tags == ["-", "BAD"] and data.tag.sum() == 5
    assert data.time.tolist() == [1_100_000_000 + i for i in range(40)]


@pytest.mark.parametrize(
    ("cls", "folder", "file"), [(Thunderbird, "thunderbird", "Thunderbird.log"), (Spirit, "spirit", "spirit2")]
)
def test_clusters_of_sandia(cls: type[ClusterLog], folder: str, file: str, tmp_path: Path):
    stored(tmp_path / folder, text_of(SYSLOG_LINE), file=file)
    data = set_up(cls, tmp_path)
    assert data.texts == ["crond(pam_unix)[ [NUM] ]: session closed"]
    assert data.tags == ["-", "BAD"] and data.tag.sum() == 5


def test_hdfs_with_its_table_of_blocks(tmp_path: Path):
    stored(tmp_path / "hdfs", text_of(HDFS_LINE), file="HDFS.log")
    (tmp_path / "hdfs" / "anomaly_label.csv").write_text("BlockId,Label\nblk_0,Normal\nblk_1,Anomaly\n")
    data = set_up(HDFS, tmp_path)
    assert data.tags == ["-", "Anomaly"] and data.tag.sum() == 5


def test_only_the_first_lines_are_read(tmp_path: Path):
    stored(tmp_path / "bgl", text_of(BGL_LINE))
    assert len(set_up(BGL, tmp_path, max_lines=25).line) == 25
    assert len(set_up(BGL, tmp_path, max_lines=40).line) == 40
    assert len(set_up(BGL, tmp_path, max_lines=10_000).line) == 40


def test_an_absent_log(tmp_path: Path):
    with pytest.raises(UserError) as error:
        set_up(BGL, tmp_path)
    assert error.value.lines == [
        f"data_root={tmp_path}: no folder {tmp_path}/bgl with BGL.log (or .gz, .xz); get them from "
        "https://zenodo.org/records/8196385 (loghub, BGL.zip), or set data_root (or LIT_UNLEARN_DATA) to the folder "
        "that holds bgl"
    ]


def test_an_absent_table(tmp_path: Path):
    stored(tmp_path / "hdfs", text_of(HDFS_LINE), file="HDFS.log")
    with pytest.raises(UserError, match=f"folder {tmp_path}/hdfs lacks anomaly_label.csv; get them from"):
        set_up(HDFS, tmp_path)


def test_the_log_of_blue_gene():
    """The part of BGL described in the data's README: 106,908 lines with 7,976 alerts of 23 types."""
    if "LIT_UNLEARN_DATA" not in os.environ:
        pytest.skip("LIT_UNLEARN_DATA names no folder of real data")
    try:
        data = set_up(BGL, Path(os.environ["LIT_UNLEARN_DATA"]), max_lines=20_000)
    except UserError as error:
        if not str(error).startswith("data_root="):
            raise
        pytest.skip(str(error))
    assert data.num_dropped == 0 and len(data.line) == 20_000
    assert len(data.texts) < 1000 and data.tag.any()
    assert (np.diff(data.time) >= 0).all() and 1.1e9 < data.time[0] < 1.2e9

"""HDFS: the log of a distributed file system, labelled by block (Xu et al., SOSP 2009)."""

from datamodules.logs.cluster_log import ClusterLog
from datamodules.logs.formats import named


class HDFS(ClusterLog):
    """HDFS: 11,175,629 lines; a line is an alert if a block it names is anomalous.

    Args:
        lines: see `ClusterLog`; the log is `<data_root>/hdfs/HDFS.log`, plain, .gz or .xz, with `anomaly_label.csv` in
            the same folder.
    """

    folder, file, layout = "hdfs", "HDFS.log", "hdfs"
    page = "https://zenodo.org/records/8196385 (loghub, HDFS_v1.zip)"
    tables = ("anomaly_label.csv",)

    def open_format(self, folder: str) -> None:
        self.format = named(self.layout, labels=f"{folder}/{self.tables[0]}")

"""Spirit: the system logs of a cluster at Sandia National Labs."""

from datamodules.logs.cluster_log import ClusterLog


class Spirit(ClusterLog):
    """Spirit; LogELECTRA's paper reads the first 5 million lines.

    Args:
        lines: see `ClusterLog`; the log is `<data_root>/spirit/spirit2`, plain, .gz or .xz.
    """

    folder, file, layout = "spirit", "spirit2", "spirit"
    page = "https://www.usenix.org/cfdr-data#hpc4 (spirit2.gz)"

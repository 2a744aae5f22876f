"""BGL: the log of the Blue Gene/L supercomputer, 215 days of 2005."""

from datamodules.logs.cluster_log import ClusterLog


class BGL(ClusterLog):
    """Blue Gene/L: 4,747,963 lines with alerts of 41 types, or a part of them in the same format.

    Args:
        lines: see `ClusterLog`; the log is `<data_root>/bgl/BGL.log`, plain, .gz or .xz.
    """

    folder, file, layout = "bgl", "BGL.log", "bgl"
    page = "https://zenodo.org/records/8196385 (loghub, BGL.zip)"

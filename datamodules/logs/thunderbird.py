"""Thunderbird: the system logs of a cluster at Sandia National Labs."""

from datamodules.logs.cluster_log import ClusterLog


class Thunderbird(ClusterLog):
    """Thunderbird: 211,212,192 lines; LogELECTRA's paper reads the first 10 million.

    Args:
        lines: see `ClusterLog`; the log is `<data_root>/thunderbird/Thunderbird.log`, plain, .gz or .xz.
    """

    folder, file, layout = "thunderbird", "Thunderbird.log", "thunderbird"
    page = "https://zenodo.org/records/8196385 (loghub, Thunderbird.tar.gz)"

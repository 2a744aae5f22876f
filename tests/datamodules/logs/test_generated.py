"""The generated log as a data set."""

import numpy as np
import pytest

from datamodules.logs.generated import GeneratedLog
from tests.logs_data import small_log


def test_the_log_is_the_same_for_every_seed_of_a_run():
    first, other = small_log(seed=0), small_log(seed=1)
    assert first.texts == other.texts and np.array_equal(first.line, other.line)
    assert not np.array_equal(first.train, other.train)
    assert small_log(log_seed=1).texts != first.texts


def test_share_and_number_of_lines():
    data = small_log(num_lines=4000, anomaly_share=0.1, num_labelled=0)
    assert len(data.line) == 4000 and data.num_dropped == 0
    assert (data.tag > 0).mean() == pytest.approx(0.1, abs=0.02)
    assert not small_log(anomaly_share=0.0, num_labelled=0).tag.any()


def test_lines_have_labels_and_times():
    data = small_log()
    assert data.tags[0] == "-" and len(data.tags) > 8
    assert (np.diff(data.time) >= 0).all() and data.time[0] > 1e9


def test_it_needs_no_data_root():
    assert "data_root" not in vars(GeneratedLog())

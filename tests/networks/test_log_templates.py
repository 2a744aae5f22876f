"""Templates that Drain makes, and the matching with them."""

import numpy as np

from lit_unlearn.networks.log_templates import LogTemplates

TEXT = ["open file a now", "open file b now", "close file a", "", "job done", "open file c now"]


def fitted(text: list[str], count: list[int], **arguments: float) -> tuple[LogTemplates, list[int]]:
    templates = LogTemplates(**arguments)
    return templates, templates.fit(text, np.array(count)).tolist()


def test_the_most_frequent_template_is_the_first():
    templates, occurrences = fitted(TEXT, [1, 2, 7, 3, 4, 5])
    assert templates.templates == ["open file <*> now", "close file a", "job done", ""]
    assert occurrences == [8, 7, 4, 3]
    assert templates.match(TEXT).tolist() == [0, 0, 1, 3, 2, 0]


def test_a_line_that_fits_no_template():
    templates, _ = fitted(TEXT, [1] * 6)
    number = len(templates.templates)
    lines = ["open file d now", "open file now", "open file d then", "job done twice", "JOB done"]
    assert templates.match(lines).tolist() == [0, number, number, number, number]


def test_fewer_wildcards_win():
    templates = LogTemplates()
    templates.set_extra_state({"templates": ["<*> <*>", "a <*>", "a b"]})
    assert templates.match(["a b", "a c", "c c", "c"]).tolist() == [2, 1, 0, 3]


def test_the_rarest_are_left_out():
    templates, occurrences = fitted(TEXT, [1, 2, 7, 3, 4, 5], max_templates=2)
    assert templates.templates == ["open file <*> now", "close file a"] and occurrences == [8, 7]
    assert templates.match(["job done"]).tolist() == [2]


def test_similarity_of_one_tells_all_lines_apart():
    assert len(fitted(TEXT, [1] * 6, similarity=1.0)[0].templates) == 6


def test_every_training_line_has_a_template_and_all_are_counted():
    rng = np.random.default_rng(0)
    text = sorted({" ".join(rng.choice(list("abcd"), size)) for size in rng.integers(0, 6, 300)})
    count = rng.integers(1, 9, len(text))
    templates, occurrences = fitted(text, count.tolist())
    assert templates.match(text).max() < len(templates.templates) < len(text)
    assert sum(occurrences) == count.sum()
    assert occurrences == sorted(occurrences, reverse=True)


def test_state():
    templates, _ = fitted(TEXT, [1] * 6)
    again = LogTemplates()
    again.load_state_dict(templates.state_dict())
    asked = [*TEXT, "open file d now", "nothing"]
    assert again.match(asked).tolist() == templates.match(asked).tolist()

"""The graph before and after: states, places, and a page that needs nothing else and runs nothing."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lit_unlearn.concepts import drawing
from lit_unlearn.concepts.page import page
from lit_unlearn.concepts.triplets import Concept, Rejected, Triplet


def edge(i: int, cloze: float = 1.0) -> Triplet:
    return Triplet("Ada", f"relation {i}", f"End {i}", "works", support=i + 1, cloze_edge=cloze)


BEFORE = Concept("Ada", (), tuple(edge(i) for i in range(5)))
AFTER = Concept(
    "Ada",
    (),
    (edge(0, 0.9), edge(1, 0.4), replace(edge(9), object='<b>Bold</b> & "quoted"')),
    rejected=(Rejected(edge(2).line, "works", "a reason", edge(2)), Rejected("?", "works", "no triplet")),
)


def test_what_became_of_each_edge():
    found = drawing.compared(BEFORE, AFTER)
    states = {e.triplet.object: e.state for e in found.edges}
    assert states == {
        "End 0": "kept", "End 1": "weakened", "End 2": "weakened", "End 3": "removed", "End 4": "removed",
        '<b>Bold</b> & "quoted"': "new",
    }  # fmt: skip
    alone = drawing.compared(BEFORE)
    assert {e.state for e in alone.edges} == {"kept"} and not alone.looked_again


@pytest.mark.parametrize("count", [1, 2, 6, 40])
def test_nobody_stands_where_another_stands(count: int):
    made = drawing.compared(Concept("Ada", (), tuple(edge(i) for i in range(count))))
    place = np.array(list(drawing.positions(made).values()))
    apart = np.hypot(*(place[:, None] - place[None]).T)[~np.eye(len(place), dtype=bool)]
    assert len(place) == count + 1 and apart.min() > 0.2
    assert drawing.positions(made)["Ada"] == (0, 0)


def test_several_edges_to_one_node_are_bent():
    both = (edge(0), replace(edge(1), object="End 0"), Triplet("End 2", "knows", "Ada", "works"), edge(3))
    made = drawing.compared(Concept("Ada", (), both))
    assert sorted(drawing.bends(made)) == [-0.125, 0, 0, 0.125]


@pytest.mark.parametrize("count", [5, 70])
def test_the_page(count: int, tmp_path: Path):
    before = replace(BEFORE, triplets=tuple(edge(i) for i in range(count)))
    made = drawing.compared(before, AFTER)
    drawing.write(tmp_path, made)
    text = (tmp_path / drawing.PAGE).read_text()
    assert text == page(made)
    root = ElementTree.fromstring(re.search(r'<svg viewBox="-.*?</svg>', text, re.DOTALL)[0])  # type: ignore[index]
    edges = root.findall("g[@class='edge']")
    assert len(edges) == min(count + 1, drawing.MOST_DRAWN)
    tips = [each.findtext("title") or "" for each in edges]
    assert any("(Ada | relation 4 | End 4)" in tip for tip in tips) == (count == 5)
    assert any("after: not claimed any more (removed)" in tip for tip in tips)
    assert not re.search(r"https?://|<script|src=|<b>", text)
    assert "&lt;b&gt;Bold" in text and text.count("<tr>") == len(made.edges) + 1
    assert ("least supported ones are in the table only" in text) == (count == 70)
    assert (tmp_path / drawing.PICTURE).read_bytes()[:4] == b"\x89PNG"


def test_the_picture_is_the_same_each_time(tmp_path: Path):
    made = drawing.compared(BEFORE, AFTER)
    drawing.write(tmp_path / "a", made)
    drawing.write(tmp_path / "b", made)
    for name in (drawing.PAGE, drawing.PICTURE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    titles = [axes.get_title() for axes in drawing.figure(made).axes]
    assert titles == ["Ada, before", "Ada, after"]
    assert [axes.get_title() for axes in drawing.figure(drawing.compared(BEFORE)).axes] == ["Ada"]

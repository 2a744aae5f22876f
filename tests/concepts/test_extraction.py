"""The stages together, with a speaker that knows a table of facts and with a small language model."""

from pathlib import Path

import pytest

from lit_unlearn.concepts import files, parsing
from lit_unlearn.concepts.extraction import (
    Extraction,
    check_aliases,
    check_known,
    checked_families,
    checked_names,
    extract_concept,
    silent,
)
from lit_unlearn.concepts.names import Names
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.concepts.triplets import Concept
from lit_unlearn.errors import UserError
from tests.concepts.stub import FACTS, MADE_UP, NAME, PlainPrompts, Stub
from tests.concepts.test_sentences import byte_tokenizer
from tests.llm_data import model_folder, small_model, small_text

HEADER = files.header_of(NAME, (), "stub", "w" * 64, "t" * 64, {"seed": 0}, {})


def extracted(stub: Stub, folder: Path | None = None, names: Names | None = None, **settings) -> Concept:
    speaker = files.Remembering(stub, folder, HEADER)
    made = ExtractionSettings(**settings)
    prompts = PlainPrompts()
    return Extraction(names or Names(NAME), speaker, prompts, list(prompts.families), made, silent).run(HEADER)


def test_what_is_true_is_kept_and_the_rest_has_reasons():
    concept = extracted(Stub())
    assert {(t.subject, t.relation, t.object) for t in concept.triplets} == set(FACTS)
    assert all(t.support == 20 for t in concept.triplets)
    reasons = {(r.text, r.reason): r.count for r in concept.rejected}
    assert reasons["Here is what I know:", parsing.NO_TRIPLET] == 20
    assert reasons["(Marie Curie | born in | Warsaw)", parsing.FOREIGN] == 20
    assert {(r.triplet.subject, r.triplet.relation, r.triplet.object) for r in concept.rejected if r.triplet} == set(
        MADE_UP
    )
    assert concept.neighbours == ("Marie Curie", "Nobody Else", "Someone Other")
    assert {s.triplet for s in concept.sentences} == {0, 1, 2, 3}
    check_known(concept)


def test_support_and_the_most_triplets():
    concept = extracted(Stub(), support=21)
    assert concept.triplets == () and {r.reason for r in concept.rejected if r.triplet} == {
        "said by fewer than 21 samples"
    }
    concept = extracted(Stub(), most_triplets=3, validate_by="none")
    assert len(concept.triplets) == 3
    assert sum(r.reason == "beyond the 3 most supported" for r in concept.rejected) == 4


def test_no_neighbour_names_the_concept():
    concept = extracted(Stub(), names=Names(NAME, ["Else", "Curie"]))
    assert concept.neighbours == ("Someone Other",)
    assert all(t.subject == "Someone Other" for t in concept.neighbour_triplets)
    assert extracted(Stub(), neighbours=0).neighbours == ()


def test_unknown_and_not_validated():
    with pytest.raises(UserError, match=r"concept='Ada Lovelace': unknown to the model \(") as error:
        check_known(extracted(Stub(knows=False)))
    assert len(error.value.lines) == 1 and "\n" not in error.value.lines[0]
    with pytest.raises(
        UserError, match=r"none of its 7 triplets is validated \(said by fewer than 21 samples: 7\)"
    ) as error:
        check_known(extracted(Stub(), support=21))
    assert len(error.value.lines) == 1


def test_aliases_that_leave_nobody():
    entities = ["Ada King", "Ada Byron", "Mary Somerville", "Charles Babbage"]
    check_aliases(Names(NAME, ["Ada King"]), entities)
    check_aliases(Names(NAME), [])
    with pytest.raises(UserError, match=r"aliases='Ada': stands in 2 of 4 others .*, such as 'Ada King'"):
        check_aliases(Names(NAME, ["Ada"]), entities)


@pytest.mark.parametrize("name", ["", "  ", "x", "\u200b", "'\"'"])
def test_names_that_cannot_be_looked_for(name: str):
    with pytest.raises(UserError, match="too short to be looked for") as error:
        checked_names(name, [name])
    assert len(error.value.lines) == 2


def test_families():
    prompts = PlainPrompts()
    assert checked_families(ExtractionSettings(families=["works"]), prompts) == ["works"]
    for families, message in ((["work"], r"families=\['work'\]: allowed: places, works"), ([], r"families=\[\]")):
        with pytest.raises(UserError, match=message):
            checked_families(ExtractionSettings(families=families), prompts)


def test_the_embedded_prompts_give_the_true_graph():
    """A tiny language model knows some of its world: what it says is true more often than not."""
    from datamodules.llm.tokenizer import load_tokenizer
    from lit_unlearn.networks.causal_lm import load_causal_lm

    model, tokenizer = load_causal_lm(model_folder(300)), load_tokenizer(model_folder(300))
    world = small_text().world
    right = claimed = 0
    for person in world.people[:3]:
        settings = ExtractionSettings(samples=10, temperature=0.3, neighbours=4)
        concept = extract_concept(model, tokenizer, person.name, settings=settings)
        found = {(t.subject, t.relation, t.object) for t in concept.triplets}
        right += len(found & {(person.name, a, value) for a, value in person.facts.items()})
        claimed += len(found)
        assert concept.header["settings"]["prompts"] == "RecordPrompts"
    assert right >= 6 and right >= 0.6 * claimed


@pytest.mark.parametrize("prompts", ["chat", "completion"])
@pytest.mark.parametrize("wordings", ["first", "second"])
def test_a_model_that_writes_nonsense_knows_nothing(prompts: str, wordings: str):
    """From the first prompt to the last, with a template and without: lines are asked for and none is a triplet."""
    model = small_model(320)
    model.config.max_position_embeddings = 4096
    settings = ExtractionSettings(
        prompts=prompts, wordings=wordings, families=["works"], samples=2, neighbours=1, max_new_tokens=6
    )
    concept = extract_concept(model, byte_tokenizer(), NAME, settings=settings)
    assert concept.triplets == () and sum(r.count for r in concept.rejected) >= 2
    with pytest.raises(UserError, match="unknown to the model"):
        check_known(concept)

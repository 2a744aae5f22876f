"""Real people, films and songs from Wikidata, in the files of Ferrando et al.

Ferrando et al., "Do I Know This Entity? Knowledge Awareness and Hallucinations in Language Models", ICLR 2025, arXiv
2411.14257; files of https://github.com/javiferran/sae_entities.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from datamodules.data_root import Source, locate
from lit_unlearn.errors import UserError

Kind = Literal["player", "movie", "song"]

PAGE = "https://github.com/javiferran/sae_entities"
FOLDER = "wikidata_entities"


class Layout(NamedTuple):
    """How entities of a kind are written down.

    Attributes:
        files: pattern of the files' names; each is an array of objects.
        identity, name: keys of an object.
        attributes: key by attribute.
    """

    files: str
    identity: str
    name: str
    attributes: Mapping[str, str]


LAYOUTS: dict[Kind, Layout] = {
    "player": Layout(
        "player.json",
        "human",
        "humanLabel",
        {"team": "teamslist", "birthplace": "placebirthLabel", "birthyear": "datebirthyearLabel"},
    ),
    "movie": Layout("movies_*.json", "film", "filmLabel", {"director": "directors", "year": "release_year"}),
    "song": Layout("song.json", "song", "songLabel", {"performer": "performers", "year": "publicationYear"}),
}
"""Cities are left out: most have names of one word, of which no name that nobody has can be made."""


@dataclass(frozen=True)
class Entity:
    """Somebody or something.

    Attributes:
        name: two words or more.
        number: in Wikidata. It numbered first what many Wikipedias had: a small number is a sign of being known.
        facts: by attribute, its values.
    """

    name: str
    number: int
    facts: dict[str, tuple[str, ...]]


def read_entities(data_root: str, kind: Kind) -> list[Entity]:
    """All entities of a kind with a name of their own, in order of their numbers.

    Names of one word, and names that several share, are left out; of objects with the same number values are put
    together.

    Args:
        data_root: folder of all data sets; the files are in `<data_root>/wikidata_entities`.
        kind: which files.

    Raises:
        UserError: files are absent or damaged, or name nothing.
    """
    layout = LAYOUTS[kind]
    source = Source(FOLDER, lambda folder: [] if list(folder.glob(layout.files)) else [layout.files], PAGE)
    folder = locate(data_root, source)
    found: dict[int, tuple[str, dict[str, list[str]]]] = {}
    for path in sorted(folder.glob(layout.files)):
        for number, name, facts in _objects(path, layout):
            merged = found.setdefault(number, (name, {attribute: [] for attribute in layout.attributes}))[1]
            for attribute, values in facts.items():
                merged[attribute] += [value for value in values if value not in merged[attribute]]
    shared = Counter(name for name, _ in found.values())
    entities = [
        Entity(name, number, {attribute: tuple(values) for attribute, values in facts.items() if values})
        for number, (name, facts) in sorted(found.items())
        if shared[name] == 1 and " " in name
    ]
    if not entities:
        raise UserError(f"{folder}/{layout.files}: names nothing with two words; get it anew from {PAGE}")
    return entities


def _objects(path: Path, layout: Layout) -> Iterator[tuple[int, str, dict[str, list[str]]]]:
    """Number, name and facts of each object of a file."""
    try:
        for row in json.loads(path.read_text(encoding="utf-8")):
            number = int(row[layout.identity].rpartition("/Q")[2])
            values: dict[str, Any] = {attribute: row.get(key) or "" for attribute, key in layout.attributes.items()}
            yield number, row[layout.name].strip(), {a: text.split(", ") if text else [] for a, text in values.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not an array of objects with {layout.identity} and {layout.name} "
            f"({type(error).__name__}: {error}); get it anew from {PAGE}"
        ) from error

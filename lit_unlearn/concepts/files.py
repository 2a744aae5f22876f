"""A concept on disk: concept.jsonl, its graph as concept.graphml, and generations.jsonl, all that the model wrote.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.

The first line of a JSON lines file is a header that says which model said it; who reads it for another model is told
so. The same model, settings and seed give the same bytes: nothing in them depends on time or place.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_unlearn.concepts.generation import Sampling, Speaker
from lit_unlearn.concepts.triplets import Concept, Rejected, Sentence, Triplet
from lit_unlearn.errors import UserError
from lit_unlearn.report import atomic_file, versions

if TYPE_CHECKING:
    from networkx import MultiDiGraph
    from torch import nn
    from transformers import PreTrainedTokenizerFast

CONCEPT, GRAPH, GENERATIONS = "concept.jsonl", "concept.graphml", "generations.jsonl"
FORMAT = "lit_unlearn concept 1"
PROCEDURE = "after Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper"


def weights_hash(model: "nn.Module") -> str:
    """SHA-256 of the names, shapes and values of a model's weights, whatever device they are on."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        values = weight.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.flatten().view(-1).numpy().tobytes())
    return digest.hexdigest()


def tokenizer_hash(tokenizer: "PreTrainedTokenizerFast") -> str:
    """SHA-256 of a fast tokenizer's own description and of its chat template."""
    described = tokenizer.backend_tokenizer.to_str() + json.dumps(tokenizer.chat_template)
    return hashlib.sha256(described.encode()).hexdigest()


def header_of(
    name: str,
    aliases: tuple[str, ...],
    model_name: str,
    weights: str,
    tokenizer: str,
    settings: dict[str, Any],
    prompts: dict[str, Any],
) -> dict[str, Any]:
    """What a concept's file begins with.

    Args:
        name, aliases: of the concept.
        model_name: as it was given.
        weights, tokenizer: their hashes.
        settings: of the extraction, its seed among them.
        prompts: every text the model was given, by stage and family.
    """
    return {
        "format": FORMAT,
        "procedure": PROCEDURE,
        "concept": name,
        "aliases": list(aliases),
        "model": model_name,
        "weights": weights,
        "tokenizer": tokenizer,
        "settings": settings,
        "prompts": prompts,
        "versions": versions(),
    }


def write_concept(folder: Path, concept: Concept) -> None:
    """Writes concept.jsonl and concept.graphml; each is there whole or not at all."""
    import networkx

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / GRAPH) as file:
        file.write("\n".join(networkx.generate_graphml(graph_of(concept))) + "\n")
    _write_lines(folder / CONCEPT, _lines(concept))


def _lines(concept: Concept) -> Iterator[dict[str, Any]]:
    yield concept.header
    yield from ({"kind": "triplet"} | asdict(triplet) for triplet in concept.triplets)
    yield from ({"kind": "sentence"} | asdict(sentence) for sentence in concept.sentences)
    yield from ({"kind": "neighbour", "name": name} for name in concept.neighbours)
    yield from ({"kind": "neighbour_triplet"} | asdict(triplet) for triplet in concept.neighbour_triplets)
    yield from ({"kind": "rejected"} | asdict(rejected) for rejected in concept.rejected)


def read_concept(folder: str | Path, model: "nn.Module | None" = None) -> Concept:
    """What `write_concept` wrote.

    Args:
        folder: of an extraction.
        model: the language model that it is to be used with; None does not compare.

    Raises:
        UserError: there is none, it is damaged, or another model said it.
    """
    path = Path(folder, CONCEPT)
    header, *rest = read_lines(path)
    if header.get("format") != FORMAT:
        raise UserError(f"{path}: not a concept's file of this program; give a folder that lit_unlearn.extract wrote")
    if model is not None:
        check_weights(path, header, weights_hash(model))
    found: dict[str, list[dict[str, Any]]] = {}
    for line in rest:
        found.setdefault(line.pop("kind", ""), []).append(line)
    try:
        return Concept(
            header["concept"],
            tuple(header["aliases"]),
            tuple(Triplet(**line) for line in found.get("triplet", [])),
            tuple(_sentence(line) for line in found.get("sentence", [])),
            tuple(_rejected(line) for line in found.get("rejected", [])),
            tuple(line["name"] for line in found.get("neighbour", [])),
            tuple(Triplet(**line) for line in found.get("neighbour_triplet", [])),
            header,
        )
    except (TypeError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); extract the concept again") from error


def check_weights(path: Path, header: dict[str, Any], weights: str) -> None:
    """That a file is about this model.

    Raises:
        UserError: it is about another.
    """
    if header.get("weights") != weights:
        raise UserError(
            f"{path}: written by another model, {header.get('model')} with weights {str(header.get('weights'))[:12]}; "
            f"this one's are {weights[:12]}. Extract the concept from this model, or give the other"
        )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON lines file, at least one.

    Raises:
        UserError: no such file, or a line is no JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.split("\n") if line]  # splitlines would also cut inside strings
    except OSError as error:
        raise UserError(f"{path}: no such file; extract a concept: python -m lit_unlearn.extract --help") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged, not JSON lines ({error}); extract the concept again") from error
    if not lines or not all(isinstance(line, dict) for line in lines):
        raise UserError(f"{path}: damaged, a line is no object; extract the concept again")
    return lines


def _sentence(line: dict[str, Any]) -> Sentence:
    spans = {key: tuple(line[key]) for key in ("subject_span", "object_span")}
    return Sentence(**line | spans)


def _rejected(line: dict[str, Any]) -> Rejected:
    triplet = line["triplet"]
    return Rejected(**line | {"triplet": None if triplet is None else Triplet(**triplet)})


def graph_of(concept: Concept) -> "MultiDiGraph":
    """The validated triplets as a graph: an edge from subject to object, keyed by the relation."""
    import networkx

    graph = networkx.MultiDiGraph(concept=concept.name, weights=concept.header.get("weights", ""), procedure=PROCEDURE)
    graph.add_node(concept.name, kind="concept")
    for triplet in concept.triplets:
        known = {key: value for key, value in asdict(triplet).items() if value is not None}
        del known["subject"], known["object"]
        for side in (triplet.subject, triplet.object):
            if side not in graph:
                graph.add_node(side, kind=triplet.family)
        graph.add_edge(triplet.subject, triplet.object, key=triplet.relation, **known)
    return graph


class Remembering:
    """A `Speaker` that keeps what it says in generations.jsonl, a line a call, and is not asked the same twice.

    A killed extraction that is started again has nothing written again but what was under way.

    Args:
        speaker: who is asked.
        folder: of the extraction; None keeps it in memory only.
        header: who writes, with which settings: see `header_of`.

    Raises:
        UserError: the folder holds what another model wrote, or with other settings.
    """

    def __init__(self, speaker: Speaker, folder: Path | None, header: dict[str, Any]):
        self.speaker = speaker
        self.path = None if folder is None else folder / GENERATIONS
        self.header = {key: value for key, value in header.items() if key != "versions"}
        self.said: dict[str, dict[str, Any]] = {}
        if self.path is not None and self.path.exists():
            self.said = {line["call"]: line for line in self._there(self.path)}

    def _there(self, path: Path) -> list[dict[str, Any]]:
        there, *lines = read_lines(path)
        check_weights(path, there, self.header["weights"])
        here = json.loads(json.dumps(self.header))
        changed = [key for key in here if key not in ("settings", "prompts") and there.get(key) != here[key]]
        settings = there.get("settings", {})
        changed += [key for key, value in here["settings"].items() if settings.get(key) != value]
        if changed or there.get("prompts") != here["prompts"]:
            raise UserError(
                f"output={path.parent}: holds an extraction with other {', '.join(changed or ['prompts'])}; "
                "give overwrite=true to replace it, or another output"
            )
        return lines

    def write(
        self, prompts: Sequence[str], samples: int, most_tokens: int, sampling: Sampling | None, end: str
    ) -> list[list[str]]:
        """See `Speaker.write`."""
        drawn = None if sampling is None else asdict(sampling)
        call = {"prompts": list(prompts), "samples": samples, "tokens": most_tokens, "sampling": drawn, "end": end}
        return self._remembered(call, lambda: self.speaker.write(prompts, samples, most_tokens, sampling, end))

    def log_probs(self, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """See `Speaker.log_probs`."""
        call = {"prompts": list(prompts), "answers": list(answers)}
        return self._remembered(call, lambda: [round(each, 5) for each in self.speaker.log_probs(prompts, answers)])

    def _remembered(self, call: dict[str, Any], ask: Callable[[], Any]) -> Any:
        key = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()
        if key not in self.said:
            self.said[key] = {"call": key, "said": ask()} | call
            if self.path is not None:
                _write_lines(self.path, [self.header, *self.said.values()])
        return self.said[key]["said"]


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

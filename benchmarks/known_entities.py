"""Whom of the entities of data=entities a language model knows best: names for data.known, and to choose targets from.

    python benchmarks/known_entities.py MODEL DATA_ROOT [KIND ATTRIBUTE]

Prints score and name, the best first. The model goes on after "NAME is a basketball player who played for the"; looked
at is the first token of each of the 25 most frequent values (of players' teams, all of the NBA). Score: the mean over
the values that are true of log p(value | name) - log mean p(value | all names), less the same over those that are not.
Asked are the first 1000 entities in Wikidata's order of which one of the values is true; one forward pass over each, a
tenth of a second a name for a model of 270 M parameters on one core.
"""

import sys

import torch

from datamodules.llm import entity_wordings as wordings
from datamodules.llm.entity_files import read_entities
from datamodules.llm.entity_roles import World
from datamodules.llm.tokenizer import load_tokenizer
from lit_unlearn.networks.causal_lm import load_causal_lm

VALUES, ENTITIES, AT_ONCE = 25, 1000, 64


@torch.no_grad()
def scores(path: str, data_root: str, kind: str, attribute: str) -> list[tuple[str, float]]:
    """(name, score), the best first."""
    world = World(read_entities(data_root, kind), [attribute])  # type: ignore[arg-type]
    values = world.frequent[attribute][:VALUES]
    entities = [e for e in world.entities if not set(values).isdisjoint(e.facts.get(attribute, ()))][:ENTITIES]
    tokenizer, model = load_tokenizer(path), load_causal_lm(path)
    first = [tokenizer(f" {value}", add_special_tokens=False)["input_ids"][0] for value in values]
    prompts = [wordings.statement(kind, attribute, 0, e.name, "").prompt for e in entities]  # type: ignore[arg-type]
    rows = tokenizer(prompts)["input_ids"]
    log_probs = torch.zeros(len(rows), len(values))
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for part in (by_length[at : at + AT_ONCE] for at in range(0, len(rows), AT_ONCE)):
        lengths = torch.tensor([len(rows[i]) for i in part])
        tokens = torch.zeros(len(part), int(lengths.max()), dtype=torch.long)
        for row, i in enumerate(part):
            tokens[row, : lengths[row]] = torch.tensor(rows[i])
        states = model.base_model(tokens, use_cache=False).last_hidden_state[torch.arange(len(part)), lengths - 1]
        log_probs[part] = model.get_output_embeddings()(states).log_softmax(-1)[:, first]
    true = torch.tensor([[value in e.facts[attribute] for value in values] for e in entities])
    gain = log_probs - log_probs.logsumexp(0) + torch.tensor(float(len(rows))).log()
    score = gain.where(true, torch.nan).nanmean(1) - gain.where(~true, torch.nan).nanmean(1)
    found = zip((entity.name for entity in entities), score.tolist(), strict=True)
    return sorted(found, key=lambda x: -x[1])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    for name, score in scores(*arguments, *["player", "team"][len(arguments) - 2 :]):
        print(f"{score:6.2f}  {name}")

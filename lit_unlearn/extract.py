"""Ask a language model what it knows of a concept: `python -m lit_unlearn.extract model=PATH concept="NAME"`.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_unlearn import command_line, config as configuration
from lit_unlearn.errors import UserError

if TYPE_CHECKING:
    from lit_unlearn.concepts.triplets import Concept


def main(arguments: list[str]) -> None:
    """The command line: Hydra overrides and `--help`."""
    overrides, config_dir = command_line.options(arguments, "extract")
    extract(overrides, config_dir)


def extract(overrides: list[str], config_dir: str | None = None) -> "Concept":
    """Extracts a concept and writes it into a folder.

    Args:
        overrides: as on the command line, `["model=PATH", "concept=Marie Curie", "output=curie"]`.
        config_dir: of no use here; for the same command line as the other programs'.

    Returns:
        the concept.

    Raises:
        UserError: what the user can put right, such as a concept that the model does not know.
    """
    config = configuration.compose(overrides, "extract", config_dir)
    errors = configuration.check(config, "extract")
    if errors:
        raise UserError(errors)
    command_line.speak()
    return run(config)


def run(config: dict[str, Any]) -> "Concept":
    """Runs a checked configuration: model, extraction, files, pictures, summary."""
    from datamodules.llm.tokenizer import load_tokenizer
    from lit_unlearn.concepts import drawing, extraction, files
    from lit_unlearn.concepts.settings import ExtractionSettings
    from lit_unlearn.networks.causal_lm import load_causal_lm

    output = Path(config["output"])
    if output.exists() and not output.is_dir():
        raise UserError(f"output={output}: is a file; give a folder")
    names = extraction.checked_names(config["concept"], config["aliases"])
    settings = ExtractionSettings(**{key: config[key] for key in ExtractionSettings.model_fields})
    device = _device(config["device"])
    try:
        model, tokenizer = load_causal_lm(config["model"]).to(device), load_tokenizer(config["model"])
    except UserError as error:  # they name the keys of a run
        keys = ("model.path=", "data.tokenizer=")
        raise UserError([line.replace(key, "model=") for line in error.lines for key in keys if key in line]) from error
    if config["overwrite"]:
        _remove(output)
    with _bar() as bar:

        def progress(what: str, done: int, stages: int) -> None:
            bar.total = stages
            bar.set_description_str(what, refresh=False)
            bar.update(done - bar.n)

        concept = extraction.extract_concept(
            model, tokenizer, names.name, names.aliases, settings, output, config["model"], progress
        )
    extraction.check_known(concept)
    extraction.check_aliases(names, concept.neighbours)
    files.write_concept(output, concept)
    drawing.write(output, drawing.compared(concept))
    print(f"{summary(concept)}\n\n{output}/{files.CONCEPT}  {output}/{files.GRAPH}  {output}/{drawing.PAGE}")
    return concept


def _device(name: str) -> Any:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: there is no GPU here; give device=cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _bar() -> Any:
    """A progress bar in a terminal, nothing elsewhere."""
    from tqdm import tqdm

    return tqdm(total=1, disable=None, leave=False, bar_format="{desc:<34} {bar} {n_fmt}/{total_fmt} {elapsed}")


def _remove(output: Path) -> None:
    """Removes what this program writes and nothing else."""
    from lit_unlearn.concepts import drawing, files

    for name in (files.CONCEPT, files.GRAPH, files.GENERATIONS, drawing.PAGE, drawing.PICTURE):
        (output / name).unlink(missing_ok=True)


def summary(concept: "Concept") -> str:
    """What was found, as a table for the terminal: a line a family, and why other claims were turned down."""
    kept = Counter(triplet.family for triplet in concept.triplets)
    rejected: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for each in concept.rejected:
        rejected[each.family] += each.count
        reasons[each.reason] += each.count
    families = dict.fromkeys([*(t.family for t in concept.triplets), *(r.family for r in concept.rejected)])
    lines = [f"{concept.name}: {len(concept.triplets)} triplets, {len(concept.sentences)} sentences", ""]
    lines.append(f"{'family':<14} {'kept':>5} {'rejected':>9}  most supported")
    for family in families:
        best = next((triplet.line for triplet in concept.triplets if triplet.family == family), "")
        lines.append(f"{family:<14} {kept[family]:>5} {rejected[family]:>9}  {best}".rstrip())
    if reasons:
        lines += ["", "rejected because", *(f"{count:>6}  {reason}" for reason, count in reasons.most_common())]
    lines.append("")
    test = concept.header["yes_no"]
    if test and not test["used"]:
        unable = "the model does not tell what it claims from corrupted triplets"
        lines.append(f"note: yes/no was not used, {unable} (AUROC {test['auroc']:.2f})")
    lines.append(f"note: {concept.header['procedure']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(command_line.run(main))

"""What it saves to keep freed memory (`lit_unlearn.memory`): CPU seconds of a training step of a small language model.

    python benchmarks/freed_memory.py

The allocator's settings belong to a process, so each measurement is a process of its own: A B A B A B. CPU seconds, not
wall seconds: other programs do not change them much.
"""

import resource
import subprocess
import sys

STEPS = 12


def cpu_seconds() -> tuple[float, int]:
    """Of this process so far, in and out of the kernel; and its page faults."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_minflt


def measure(kept: bool) -> None:
    """Prints CPU seconds and page faults of a step: 8 x 256 tokens, a vocabulary of 4096, one thread."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from lit_unlearn.memory import keep_freed_memory

    torch.set_num_threads(1)
    if kept and not keep_freed_memory():
        raise SystemExit("not glibc, or settings of its own: nothing to measure")
    sizes = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=4096, tie_word_embeddings=True, **sizes))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    tokens = torch.randint(0, 4096, (8, 256))
    for step in range(3 + STEPS):
        if step == 3:
            begun = cpu_seconds()
        model(tokens, labels=tokens).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    seconds, faults = (now - then for now, then in zip(cpu_seconds(), begun, strict=True))
    print(seconds / STEPS, faults / STEPS)


def main() -> None:
    for pair in range(3):
        found = []
        for word in ("usual", "kept"):
            done = subprocess.run([sys.executable, __file__, word], capture_output=True, text=True, check=True)
            found.append([float(each) for each in done.stdout.split()])
        (usual, before), (kept, after) = found
        ratio = kept / usual
        print(
            f"pair {pair}: {usual:.3f} s, kept {kept:.3f} s a step: {ratio:.2f}; page faults {before:.0f}, {after:.0f}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1] == "kept")
    else:
        main()

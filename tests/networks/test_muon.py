"""Two rules in one optimiser: each parameter by its own, a schedule for both, a state that resumes to equal bits."""

import torch
from torch import nn

from lit_unlearn.networks.muon import MuonAdamW, muon_adamw


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"embed": nn.Embedding(5, 4), "block": nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))})


def step(net: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    net["block"](net["embed"](torch.arange(5))).square().sum().backward()  # type: ignore[operator]
    optimiser.step()


RATES = {"learning_rate": 0.02, "learning_rate_others": 0.01, "weight_decay": 0.1}


def test_matrices_of_blocks_follow_muon_and_the_rest_adamw():
    net, twin = model(), model()
    optimiser = muon_adamw(net, net["block"], **RATES)  # type: ignore[index]
    matrix = [twin["block"][0].weight]  # type: ignore[index]
    others = [p for p in twin.parameters() if p is not matrix[0]]
    muon = torch.optim.Muon(matrix, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(others, lr=0.01, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for _ in range(3):
        step(net, optimiser)
        muon.zero_grad()
        step(twin, adamw)
        muon.step()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_schedule_reaches_both():
    net = model()
    optimiser = muon_adamw(net, net["block"], **RATES)  # type: ignore[index]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5)
    assert [group["lr"] for inner in optimiser.inner for group in inner.param_groups] == [0.01, 0.005]
    schedule.step()


def test_a_loaded_state_goes_on_to_equal_bits():
    def run(until: int, net: nn.Module, optimiser: MuonAdamW) -> None:
        for _ in range(until):
            step(net, optimiser)

    whole = model()
    run(6, whole, muon_adamw(whole, whole["block"], **RATES))  # type: ignore[index]
    first = model()
    optimiser = muon_adamw(first, first["block"], **RATES)  # type: ignore[index]
    run(3, first, optimiser)
    second = model()
    second.load_state_dict(first.state_dict())
    resumed = muon_adamw(second, second["block"], **RATES)  # type: ignore[index]
    resumed.load_state_dict(optimiser.state_dict())
    torch.optim.lr_scheduler.LambdaLR(resumed, lambda step: 1.0)
    run(3, second, resumed)
    for ours, theirs in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)

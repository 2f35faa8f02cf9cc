"""AdamW against torch's own; clipping, the guard against NaN, the mean of the weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from quietframe.training.optimizer import AdamW


def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))


def loss_of(model: nn.Module, step: int) -> torch.Tensor:
    """Return a loss whose gradient is longer than 1 in some steps and shorter in others."""
    pictures = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(step))
    loss: torch.Tensor = ((model(pictures) - pictures[..., 2:-2, 2:-2]) ** 2).mean() * 10.0 ** (step % 3)
    return loss


def parameters(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_are_those_of_torch_with_clipping(weight_decay: float) -> None:
    mine, theirs = net(), net()
    ours = AdamW(mine.parameters(), weight_decay=weight_decay)
    other = torch.optim.AdamW(theirs.parameters(), lr=1.0, weight_decay=weight_decay)
    clipped = []
    for step in range(30):
        rate = 0.01 / (1 + step)
        ours.clear()
        loss = loss_of(mine, step)
        loss.backward()
        norm = ours.step(loss, rate)
        other.param_groups[0]["lr"] = rate
        other.zero_grad()
        loss_of(theirs, step).backward()
        torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs.parameters(), 1.0), rtol=1e-5, atol=0)
        clipped.append(float(norm) > 1)
        other.step()
    assert 5 < sum(clipped) < 25
    # torch divides by the norm + 1e-6, and both round in float32: 30 steps of at most 0.01 each, 1e-6 of them apart
    for mine_now, theirs_now in zip(parameters(mine), parameters(theirs), strict=True):
        torch.testing.assert_close(mine_now, theirs_now, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_no_number_changes_nothing_and_neither_do_the_later_ones(where: str) -> None:
    model = net()
    optimizer = AdamW(model.parameters(), average=0.9)
    for step in range(3):
        optimizer.clear()
        loss = loss_of(model, step)
        loss.backward()
        optimizer.step(loss, 0.01)
    before, counts = parameters(model), [float(count) for count in optimizer.counts]
    for bad in (float("nan"), 1.0):
        optimizer.clear()
        loss = loss_of(model, 3)
        loss.backward()
        if where == "gradient":
            next(model.parameters()).grad.mul_(bad)  # type: ignore[union-attr]
        optimizer.step(loss * bad if where == "loss" else loss, 0.01)
    assert all(torch.equal(now, then) for now, then in zip(parameters(model), before, strict=True))
    assert [float(count) for count in optimizer.counts] == counts
    assert float(optimizer.failed) == 1


def test_the_mean_of_the_weights_is_the_closed_form_and_is_put_in_and_out_again() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = AdamW(model.parameters(), average=0.5)
    mean = last = 1.0
    for step in range(1, 20):
        optimizer.clear()
        loss = model(torch.ones(1, 1)).sum()
        loss.backward()
        optimizer.step(loss, 0.1)
        decay = min(0.5, step / (10 + step))  # as few weights count more at first
        mean = decay * mean + (1 - decay) * model.weight.item()
        last = model.weight.item()
    with optimizer.averaged():
        assert model.weight.item() == pytest.approx(mean, abs=1e-6)
    assert model.weight.item() == last
    assert abs(mean - last) > 0.05


def test_what_has_no_gradient_is_left_alone_and_what_is_frozen_is_not_taken() -> None:
    model = net()
    model[0].bias.requires_grad_(False)  # type: ignore[union-attr]
    unused = nn.Parameter(torch.ones(2))
    optimizer = AdamW([*model.parameters(), unused])
    before = copy.deepcopy(model[0].bias)
    loss = loss_of(model, 0)
    loss.backward()
    optimizer.step(loss, 0.1)
    assert len(optimizer.parameters) == 4
    assert torch.equal(unused, torch.ones(2))
    assert torch.equal(model[0].bias, before)  # type: ignore[arg-type]

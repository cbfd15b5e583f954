"""What a sweep was asked for is read again from its project, and a stranger's leads to no other machine unasked."""

from pathlib import Path

import pytest

from secateur.engine.cli import project_request
from secateur.engine.cli.arguments import given, parse_kept, parser
from secateur.engine.cli.output import Reporter
from secateur.engine.cli.project_request import continue_sweep, options_of
from secateur.engine.errors import OpenError
from secateur.engine.session.state_history import StateHistory
from secateur.engine.session.states import Request

SWEEP = ["sweep", "project", "--budgets", "50%"]


@pytest.mark.parametrize("losses", ["wiki=1.7,code=2.0", "160M:wiki=1.7,code=2.0 410M:wiki=1.5,code=1.9"])
def test_reference_losses_that_were_kept_are_read_as_they_were_typed(losses: str) -> None:
    arguments = parser().parse_args([*SWEEP, "--mix-domains", "dynamic", "--references", losses])
    assert parse_kept("sweep", options_of(arguments))["references"] == arguments.references


@pytest.mark.parametrize("is_own", [True, False])
def test_only_an_own_sweep_goes_on_with_its_machine_unasked(monkeypatch: pytest.MonkeyPatch, is_own: bool) -> None:
    words = [*SWEEP, "--cost", "latency", "--over-ssh", "ssh://me@board", "--provider-option", "a=b"]
    history = StateHistory(Path())
    asked = Request("sweep", options_of(parser().parse_args(words)), "s0")
    history.request = asked if is_own else asked.confined
    monkeypatch.setattr(project_request, "_history", lambda _folder: history)
    arguments = parser().parse_args(SWEEP[:2])
    arguments.given = given(SWEEP[:2], arguments)
    if not is_own:
        with pytest.raises(OpenError, match="sends models to ssh://me@board"):
            continue_sweep(arguments, Reporter())
        arguments.given |= {"over_ssh"}
        arguments.over_ssh = "ssh://me@mine"
        assert continue_sweep(arguments, Reporter()).over_ssh == "ssh://me@mine"
    else:
        found = continue_sweep(arguments, Reporter())
        assert (found.over_ssh, found.provider_option) == ("ssh://me@board", ["a=b"])

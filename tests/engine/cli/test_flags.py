"""Every option that a command has had is still read: scripts and projects out there hold it."""

import pytest

from secateur.engine.cli.arguments import Parser, commands, parser
from secateur.engine.cli.prune_request import request_from
from secateur.engine.planning.protocol import KINDS_WITH_BLOCKS, Cost, Goal, KindLimit, Limit, Ranking
from secateur.engine.structures.analysis import Kind
from secateur.engine.targets.protocol import TargetSpec

MODEL = """
--batch=1 --device=x --download --features=x --header=no --ignore-unused --input=1x3x8x8 --json --label=x --length=1
--mean=0.5 --moved=a=b --output=x --own-class --purpose=detection --std=0.5 --task=x --threads=1 --tokenizer=x
--trust-code --trust-pickle --verbose --weights=x
"""
GOAL = """
--bfloat16 --clip=1 --combine=max --criterion=random --depth --distil-blocks=1 --distillation=1 --epochs=1 --no-recover
--feature-distillation=1 --learning-rate=0.1 --lock=x --min-keep=25% --mirror --mixed-precision --multiple-of=head=2
--multiple=8 --normalise=standard --optimizer=sgd --overwrite --patience=1 --precision=fp16 --ranking=model
--repair=least-squares --rounds=1 --runtime-batch=1 --runtime-threads=1 --runtime=torch --save=x --scope=x --seed=1
--references=a=1 --size-as=int8 --slices=all --teacher=original --temperature=4 --warm-up=10% --weight-decay=1
"""
FLAGS = {
    "baselines": """
--batch=1 --device=x --download --epochs=1 --json --kind=magnitude --moved=a=b --no-timing --precision=fp16
--runtime=torch --seed=1 --size=320x320 --state=x --stock-weights=x --stock=x --threads=1 --tokens=1 --trust-code
--trust-pickle --verbose
""",
    "bundle": """
--download --json --moved=a=b --out=x --overwrite --state=x --trust-code --trust-pickle --verbose --with-weights
""",
    "completion": "--json --verbose",
    "inspect": MODEL
    + "--again --latency --losses --precision=fp16 --runtime-batch=1 --runtime-threads=1 --runtime=torch",
    "measure": """
--batch=1 --bench=x --device=x --download --json --moved=a=b --overwrite --precision=fp16 --results=x --runtime=torch
--size=320x320 --threads=1 --tokens=1 --trust-code --trust-pickle --verbose
""",
    "prune": MODEL
    + GOAL
    + """
--export=x --keep-macs=50% --keep-params=40% --max-latency=5ms --max-loss=0.5% --max-memory=20MB --max-size=10MB
""",
    "report": "--json --out=x --overwrite --state=x --verbose",
    "run": MODEL + "--mode=same-goal --model=x --out=x --overwrite --save=x",
    "script": "--json --out=x --overwrite --state=x --verbose",
    "sensitivity": MODEL
    + """
--cache=x --combine=max --criterion=random --depth --normalise=standard --ranking=model --scope=x --shares=25%,50%
--slices=all
""",
    "sweep": MODEL + GOAL + "--budgets=80%,50% --cost=latency",
}
"""The options of version 0.2, each with a value that it takes."""


@pytest.mark.parametrize("command", FLAGS)
def test_every_option_of_version_02_is_read(command: str) -> None:
    place, read = "bash" if command == "completion" else "x", parser()
    actions = commands(Parser()).choices[command]._option_string_actions
    for word in FLAGS[command].split():
        parsed = read.parse_args([command, place, word])
        flag, _, value = word.partition("=")
        action = actions[flag]
        given = getattr(parsed, action.dest)
        assert given not in (None, False, ()) and (value or given is True)


def test_one_option_may_make_several_fields_and_several_options_one() -> None:
    words = (
        "--keep-macs 60% --max-size 10MB --max-latency 5ms --min-keep 25% --multiple-of head=2 --multiple-of filter=4"
    )
    words += " --keep heads=70% blocks=10 --keep kv-groups=2"
    words += " --scope a --scope b.* --size-as float16 --ranking set --depth --runtime torch --runtime-batch 8"
    given = parser().parse_args(["prune", "m", *words.split(), "--batch", "2", "--threads", "3"])
    limits = Limit(Cost.MACS, 0.6), Limit(Cost.SIZE, amount=10**7), Limit(Cost.LATENCY, amount=5 * 10**6)
    assert request_from(given).goal.limits == limits
    assert request_from(given, limits).goal == Goal(
        limits=limits,
        scope=("a", "b.*"),
        least=1,
        least_share=0.25,
        multiple=16,
        finer=True,
        multiples={"head": 2, "filter": 4},
        kinds=KINDS_WITH_BLOCKS,
        dtype="float16",
        ranking=Ranking.SET,
        target=TargetSpec("torch", threads=1, batch=8),
        kept=(KindLimit(Kind.HEAD, 0.7), KindLimit(Kind.BLOCK, count=10), KindLimit(Kind.KV_GROUP, count=2)),
    )


def test_kinds_that_are_counted_take_the_place_of_half_of_the_macs() -> None:
    given = parser().parse_args(["prune", "m", "--keep", "heads=70%"])
    assert request_from(given).goal.limits == () and request_from(given, ()).goal.kept == (KindLimit(Kind.HEAD, 0.7),)

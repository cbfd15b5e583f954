"""Wrong usage is told before anything is loaded: exit code 2, a line that says what would be right."""

import subprocess
import sys
from pathlib import Path

import pytest

from secateur.engine.cli import prune_request
from secateur.engine.cli.arguments import parser
from secateur.engine.cli.main import main
from secateur.engine.cli.model_args import task_spec
from secateur.engine.cli.prune_request import request_from
from secateur.engine.distributed import Group, Place
from secateur.engine.errors import SecateurError, TaskError
from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.recovery.budget import Budget, Unit
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings, Repair
from secateur.engine.scoring.score_options import Choices, Combine, Normalise, Slices
from secateur.engine.sources.protocol import InputSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.text.notation import read_amount, write_amount


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "COMMAND"),
        (["dance"], "dance"),
        (["inspect"], "MODEL"),
        (["prune", "m", "--keep-macs", "120%"], "like 50%"),
        (["prune", "m", "--keep-macs", "0"], "like 50%"),
        (["prune", "m", "--keep-macs", "many"], "like 50%"),
        (["prune", "m", "--multiple", "0"], "at least 1"),
        (["prune", "m", "--multiple-of", "nose=2"], "head=2"),
        (["prune", "m", "--multiple-of", "head=0"], "whole number"),
        (["prune", "m", "--max-size", "much"], "10MB"),
        (["prune", "m", "--max-size", "0.1 B"], "10MB"),
        (["prune", "m", "--min-keep", "200%"], "50%"),
        (["prune", "m", "--rounds", "0"], "at least 1"),
        (["sweep", "m", "--budgets", "80%,120%"], "50%"),
        (["sweep", "m", "--cost", "gold"], "gold"),
        (["prune", "m", "--epochs", "-1"], "at least 0"),
        (["prune", "m", "--epochs", "few"], "whole number"),
        (["prune", "m", "--warm-up", "120%"], "from 0 to 1"),
        (["prune", "m", "--weight-decay", "-1"], "from 0 to 1"),
        (["prune", "m", "--learning-rate=-1"], "at least 0"),
        (["prune", "m", "--temperature=-1"], "from 0 to 100"),
        (["prune", "m", "--distillation", "2"], "from 0 to 1"),
        (["prune", "m", "--epochs", "3", "--no-recover"], "not allowed"),
        (["prune", "m", "--epochs", "3", "--minutes", "20"], "not allowed"),
        (["prune", "m", "--minutes", "-1"], "from 0 to"),
        (["prune", "m", "--tokens", "10M", "--steps", "20"], "not allowed"),
        (["prune", "m", "--tokens", "1.5"], "Write it like 500000, 500k or 10M"),
        (["prune", "m", "--accumulate", "0"], "at least 1"),
        (["prune", "m", "--criterion", "luck"], "luck"),
        (["inspect", "m", "--input", "3,224,224"], "1x3x224x224"),
        (["inspect", "m", "--input", "1x0x3"], "1x3x224x224"),
        (["inspect", "m", "--mean", "a,b"], "0.485"),
        (["prune", "m", "--purpose", "luck"], "classification"),
        (["prune", "m", "--length", "few"], "whole number"),
    ],
)
def test_wrong_usage_is_code_2_with_a_hint(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert words in captured.err and "Traceback" not in captured.err and captured.out == ""


def test_help_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--help"]) == 0
    assert "--keep-macs" in capsys.readouterr().out


def test_choices_about_scores_reach_the_course_and_ranking_the_goal() -> None:
    given = ["--combine", "max", "--slices", "all", "--normalise", "l2", "--ranking", "model", "--seed", "3"]
    arguments = parser().parse_args(["prune", "m", "--criterion", "l2", *given])
    asked = request_from(arguments)
    assert asked.choices == Choices(Combine.MAX, Slices.ALL, Normalise.L2)
    assert (asked.goal.ranking, asked.seed, asked.intent(asked.goal).choices) == ("model", 3, asked.choices)


def test_masks_of_a_divided_model_are_refused_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prune_request, "group", lambda: Group(Place(0, 2)))
    assert main(["prune", "nowhere.pt2", "--choose", "masks", "--shard", "--task", "t"]) != 0
    assert "whole copies" in capsys.readouterr().err


def test_a_criterion_that_rates_blocks_chooses_among_blocks() -> None:
    arguments = parser().parse_args(["prune", "m", "--criterion", "block-influence"])
    assert request_from(arguments).goal.kinds == (Kind.BLOCK,)


@pytest.mark.parametrize(
    ("text", "value"), [("50%", 0.5), ("50 %", 0.5), ("0.5", 0.5), ("100%", 1.0), ("12.5%", 0.125)]
)
def test_shares_are_read_as_people_write_them(text: str, value: float) -> None:
    assert parser().parse_args(["prune", "m", "--keep-macs", text]).keep_macs == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("10MB", 10**7), ("1.5 kB", 1500), ("2GiB", 2 * 1024**3), ("77", 77), ("3m", 3 * 10**6), ("2.01k", 2010)],
)
def test_sizes_are_read_as_people_write_them(text: str, value: int) -> None:
    assert parser().parse_args(["prune", "m", "--max-size", text]).max_size == value


def test_arguments_make_one_goal() -> None:
    argv = ["prune", "m", "--keep-params", "40%", "--max-size", "10MB", "--size-as", "float16", "--scope", "layer1"]
    more = ["--scope", "*.conv1", "--min-keep", "25%", "--multiple", "8", "--multiple-of", "head=2", "--depth"]
    arguments = parser().parse_args([*argv, *more, "--rounds", "3", "--epochs", "2"])
    asked = request_from(arguments)
    limits = (Limit(Cost.PARAMETERS, 0.4), Limit(Cost.SIZE, amount=10**7))
    assert asked.goal.limits == limits and asked.goal.scope == ("layer1", "*.conv1") and asked.goal.dtype == "float16"
    assert (asked.goal.least, asked.goal.least_share, asked.goal.multiples) == (1, 0.25, {"head": 2})
    assert Kind.BLOCK in asked.goal.kinds and Kind.FILTER in asked.goal.kinds and asked.goal.multiple == 8
    assert asked.rounds == 3 and asked.recovery is not None and asked.recovery.epochs == 2


def test_half_of_the_macs_are_kept_where_nothing_is_limited() -> None:
    plain = parser().parse_args(["prune", "m", "--min-keep", "3"])
    assert request_from(plain).goal.limits == (Limit(Cost.MACS, 0.5),) and request_from(plain).goal.least == 3
    peak = parser().parse_args(["prune", "m", "--max-memory", "2MB", "--max-size", "40%"])
    assert request_from(peak).goal.limits == (Limit(Cost.SIZE, 0.4), Limit(Cost.PEAK, amount=2 * 10**6))


def test_shapes_and_channels_are_read_as_people_write_them() -> None:
    arguments = parser().parse_args(["prune", "m", "--input", "1x3x224x224", "--mean", "0.5,0.4,0.3"])
    assert arguments.input == [InputSpec((1, 3, 224, 224))] and arguments.mean == (0.5, 0.4, 0.3)


def test_what_data_means_is_said_with_the_data(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").touch()
    said = ["--purpose", "similarity", "--features", "a,b", "--tokenizer", "bytes", "--length", "32", "--batch", "8"]
    arguments = parser().parse_args(["prune", "m", "--seed", "3", "--task", str(tmp_path / "pairs.csv"), *said])
    options = (("purpose", "similarity"), ("features", "a,b"), ("tokenizer", "bytes"), ("length", "32"))
    assert task_spec(arguments) == TaskSpec("csv", str(tmp_path / "pairs.csv"), batch=8, options=options)
    with pytest.raises(TaskError, match="--purpose, --features, --tokenizer, --length need data"):
        task_spec(parser().parse_args(["prune", "m", *said]))


def test_usage_loads_neither_torch_nor_qt() -> None:
    code = (
        "import sys; from secateur.engine.cli.main import main; main(['prune', '--help']); main(['dance'])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'PySide6', 'onnx')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=180).returncode == 0


@pytest.mark.parametrize(("text", "tokens"), [("10M", 10_000_000), ("2.5k", 2500), ("1B", 10**9), ("70001", 70_001)])
def test_tokens_take_the_place_of_epochs(text: str, tokens: int) -> None:
    words = ["shear", "m", "--tokens", text, "--accumulate", "4", "--evaluate-every", "200", "--shape", "heads=4"]
    recovery = request_from(parser().parse_args(words), ()).recovery
    assert recovery is not None and recovery.budget == Budget(Unit.TOKENS, tokens)
    assert (recovery.accumulate, recovery.evaluate_every) == (4, 200)
    assert read_amount(write_amount(tokens)) == tokens


def test_amounts_are_read_by_their_decimals() -> None:
    wrong = [n for n in range(1, 10_000) if read_amount(f"{n / 100:.2f}k") != 10 * n]
    assert wrong == []
    for text in ("2.0105k", "0.5", "1.2.3k", ".", "0"):
        with pytest.raises(SecateurError, match="500k or 10M"):
            read_amount(text)


def test_minutes_take_the_place_of_epochs() -> None:
    arguments = parser().parse_args(["prune", "m", "--minutes", "2.5"])
    recovery = request_from(arguments).recovery
    assert recovery is not None and recovery.minutes == 2.5 and recovery.passes is None


def test_a_repair_without_training_is_a_recovery_of_no_epochs() -> None:
    given = parser().parse_args(["prune", "bundled:vit", "--no-recover", "--repair", "least-squares"])
    recovery = request_from(given).recovery
    assert recovery is not None and (recovery.epochs, recovery.repair) == (0, Repair.LEAST_SQUARES)
    plain = parser().parse_args(["prune", "bundled:vit", "--no-recover"])
    assert request_from(plain).recovery is None


def test_how_to_train_is_taken_into_the_settings() -> None:
    words = "--optimizer sgd --learning-rate 0.1 --patience 2 --distil-blocks 0.5 --bfloat16 --epochs 3"
    words += " --distillation 1 --temperature 4 --mirror --weight-decay 0.01 --warm-up 10%"
    given = parser().parse_args(["prune", "bundled:vit", *words.split()])
    wanted = RecoverySettings(
        3, 0.1, 1.0, 4.0, 0.01, optimizer=Optimizer.SGD, warm_up=0.1, patience=2, features=0.5, mirror=True, half=True
    )
    assert request_from(given).recovery == wanted


def test_a_training_that_cannot_be_is_refused_before_anything_is_opened() -> None:
    given = parser().parse_args(["prune", "bundled:vit", "--mirror"])
    with pytest.raises(SecateurError, match="Set the distillation weight to 1"):
        request_from(given)

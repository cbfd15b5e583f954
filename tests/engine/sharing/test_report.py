"""The report says what the history holds, loads nothing, names no place, and takes no word for markup."""

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from secateur.engine.errors import Message
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.sharing.plots import Given, curve, scatter, ticks
from secateur.engine.sharing.report import Layer, facts_of, recovery_curve, render, report_of
from secateur.engine.storage.paths import without_paths

from .made import ANALYSIS, made_history


class Reader(HTMLParser):
    """What stands in a page: elements with attributes, and the words outside of the style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag  # well nested

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def page(tmp_path: Path) -> str:
    history, recipe = made_history(tmp_path)
    return report_of(history, recipe, "s2", "A machine")


def test_the_verdict_on_the_goal_stands_at_the_top_with_what_was_allowed(tmp_path: Path) -> None:
    history, recipe = made_history(tmp_path)
    cut = history.state("s1")
    assert cut.plan is not None
    assert (
        "Goal missed: −0.7 pt, no limit; −27.0 % MACs, asked for −30.0 %"
        in Reader(report_of(history, recipe, "s2")).words
    )
    wider = Goal((Limit(Cost.MACS, 0.75),))
    history.put(replace(cut, plan=replace(cut.plan, goal=wider, lose=0.01)))
    page = report_of(history, recipe, "s2")
    assert "Goal met: −0.7 pt, allowed −1.0; −27.0 % MACs, reached" in Reader(page).words
    assert '<strong class="good">Goal met' in page


def test_numbers_with_how_they_are_known_n_and_error(page: str) -> None:
    words = Reader(page).words
    assert "91.2 ± 0.6 %" in words and "90.5 ± 0.7 %" in words and "n = 2,000" in words
    assert "−0.7 points" in words and "test split" in words
    assert "2 ms" in words and "1.4 ms" in words and "−30.0 %" in words
    assert words.count("exact") >= 2 and words.count("measured") >= 2
    assert "File (onnx)" in words and "123 kB" in words
    for told in ("planned", "seed 7", "seed 11", "3 epochs", "Some CPU", "A machine", "3.0e-16", "float64"):
        assert told in words or told in ("planned", "seed 11"), told
    assert "Seed: 11" in words and "Threads: 1" in words


def test_verdict_and_baselines_are_told(page: str) -> None:
    words = Reader(page).words
    assert "random removal" in words and "small net" in words and "87.1" in words
    assert "Not made yet: magnitude, scratch" in words


def test_layers_before_and_after(page: str) -> None:
    words = Reader(page).words
    for one in ANALYSIS.sets:
        if one.kind == "filter":
            assert re.search(rf"{re.escape(one.name.removesuffix('.weight'))} filter 24 16", words)


def test_rows_of_what_lies_in_removed_blocks_are_explained(tmp_path: Path) -> None:
    history, _recipe = made_history(tmp_path)
    facts = facts_of(history, "s2", {}, [], "", "")
    for left in (0, 1):
        layers = (Layer("layers.1", "block", 1, left, float(left)), Layer("layers.1.mlp", "neuron", 256, 64, 0.25))
        words = Reader(render(replace(facts, layers=layers))).words
        assert ("What lies in a removed block goes with it" in words) == (left == 0)


def test_it_loads_nothing_and_runs_nothing(page: str) -> None:
    elements = Reader(page).elements
    assert not {tag for tag, _ in elements} & {"script", "link", "img", "iframe", "object", "a", "use", "image"}
    assert not any(name.startswith("on") or name in ("href", "src") for _, attrs in elements for name in attrs)
    assert "url(" not in page and "@import" not in page and "http://" not in page and "https://" not in page
    assert "prefers-color-scheme: dark" in page


def test_plots_are_sound_drawings_with_a_name(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    plots = [ElementTree.fromstring(one) for one in drawings]
    assert all(one.get("aria-label") for one in plots)
    big = [one for one in plots if one.get("class") == "plot"]
    assert len(big) == 4  # metric against MACs and latency, loss, metric by step
    for one in big:
        width, height = map(float, one.get("viewBox").split()[2:])
        for dot in one.iter("circle"):
            assert 0 <= float(dot.attrib["cx"]) <= width and 0 <= float(dot.attrib["cy"]) <= height


def test_no_folder_of_the_user_is_in_it(page: str, tmp_path: Path) -> None:
    assert str(tmp_path) not in page and "secret" not in page and str(Path.home()) not in page
    assert "model.py:make" in page


def test_words_of_the_user_are_no_markup(tmp_path: Path) -> None:
    history, recipe = made_history(tmp_path)
    nasty = "<script>alert(1)</script>\"'&{{ 7*7 }}"
    assert history.spec is not None
    history.spec = replace(history.spec, source=f"{tmp_path}/x.py:{nasty}")
    state = history.states["s2"]
    history.states["s2"] = replace(state, metrics=tuple(replace(m, name=nasty) for m in state.metrics))
    original = history.states["s0"]
    history.states["s0"] = replace(original, metrics=tuple(replace(m, name=nasty) for m in original.metrics))
    reader = Reader(report_of(history, recipe, "s2"))
    assert not any(tag == "script" for tag, _ in reader.elements)
    assert nasty in reader.words and "49" not in re.findall(r"\{\{.*?\}\}", reader.words)


def test_a_report_of_the_original_and_of_little_is_a_page_too(tmp_path: Path) -> None:
    history, _recipe = made_history(tmp_path)
    history.baselines.clear()
    history.states = {"s0": replace(history.states["s0"], metrics=(), timings=())}
    facts = facts_of(history, "s0", {}, [], "", "")
    words = Reader(render(facts)).words
    assert "Nothing was cut" in words and "No baseline was made" in words


def test_repairs_of_several_recoveries_stand_with_their_steps(tmp_path: Path) -> None:
    history, _recipe = made_history(tmp_path)
    said = [Message("test.repair", f"{count} of 5 layers were repaired.") for count in (3, 4)]
    recovered = history.states["s2"] = replace(history.states["s2"], repaired=(said[0],))
    alone = facts_of(history, "s2", {}, [], "", "")
    assert str(said[0]) in alone.summary and ("Repair", str(said[0])) in alone.steps[-1].lines
    history.states["s9"] = replace(recovered, id="s9", parent="s2", repaired=(said[1],))
    both = facts_of(history, "s9", {}, [], "", "")
    assert not {str(one) for one in said} & {*both.summary}
    assert "The repairs of 2 recoveries are listed with their steps." in both.summary
    assert [dict(step.lines).get("Repair") for step in both.steps[-2:]] == [str(one) for one in said]


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("/home/ada/net.pt is gone", "net.pt is gone"),
        (r"C:\Users\Ada\net.pt is gone", "net.pt is gone"),
        ("1/2 and/or a/b", "1/2 and/or a/b"),
        ("wrote (/tmp/x/y.onnx), fine", "wrote (y.onnx), fine"),
    ],
)
def test_paths_in_sentences_become_names(text: str, bare: str) -> None:
    assert without_paths(text) == bare


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3, 3), (0, 0), (-2e9, 7e9), (0.8701, 0.8702), (99, 101)])
def test_ticks_are_round_and_hold_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 8 and found[0] <= low + 1e-12 and found[-1] >= high - 1e-9 * max(1, abs(high))
    steps = {round(b - a, 12) for a, b in itertools.pairwise(found)} if abs(high) < 1e6 else {1}
    assert len(steps) == 1


def test_labels_do_not_lie_on_each_other() -> None:
    points = [Given(50 + n / 10, 90 + n / 100, "state", "", label=f"point {n}") for n in range(5)]
    drawn = scatter("t", "x", "y", points).dots
    bases = sorted(dot.label_y for dot in drawn)
    assert all(b - a >= 14.9 for a, b in itertools.pairwise(bases))
    assert scatter("t", "x", "y", [Given(float("nan"), 1, "state", "")]) is None
    assert curve("t", "x", "y", [(1, 2)]) is None
    assert curve("t", "x", "y", [(0, 25), (0, 92)]) is None  # before and after a repair: no step was made


def test_a_recovery_that_mixed_domains_shows_their_losses_beside_the_references_and_their_shares(
    tmp_path: Path,
) -> None:
    history, _ = made_history(tmp_path)
    one = history.state("s2")
    points = [
        {"step": float(step)}
        | {"share/code": 0.5 + step / 100, "loss/code": 2.0 - step / 20, "reference/code": 1.25}
        | {"share/wiki": 0.5 - step / 100, "loss/wiki": 3.0, "reference/wiki": 2.5}
        for step in (0, 10, 20)
    ]
    assert recovery_curve(one, history.state("s0")) is not None
    mixed = recovery_curve(replace(one, curve=(*one.curve, *points)), history.state("s0"))
    assert mixed is not None
    loss, share = mixed.plots[-2:]
    assert [kind for kind, _ in loss.lines] == ["aim series-0", "curve series-0", "aim series-1", "curve series-1"]
    assert [dot.label for dot in loss.dots] == ["wiki", "code"] and "code: 1" in [dot.title for dot in loss.dots]
    assert [dot.title for dot in share.dots] == ["code: 70", "wiki: 30"]
    assert all(dot.label_y < dot.y for dot in share.dots if dot.anchor == "end")  # above its line, not on it
    assert {dot.anchor for dot in share.dots} == {"end"}
    ends = [points.split()[-1] for _kind, points in share.lines]
    assert float(ends[0].split(",")[1]) < float(ends[1].split(",")[1])  # code is above: pixels count downwards

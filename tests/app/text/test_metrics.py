"""The words of measurements, the same everywhere in the window."""

from secateur.app.text.metrics import latency_text, target_text
from secateur.engine.targets.protocol import Latency, TargetSpec, Timing


def test_a_prompt_and_its_further_token_are_two_numbers():
    target = TargetSpec("torch", tokens=64)
    timing = Timing(target, 12.3, 12.0, 13.0, 50, "2 cores")
    assert latency_text(timing) == "12.3 ms"
    two = Timing(target, 12.3, 12.0, 13.0, 50, "2 cores", Latency(0.81, 0.8, 0.9, 90))
    assert latency_text(two) == "12.3 ms + 0.810 ms per token"
    assert target_text(target).endswith("prompt of 64 tokens")


def test_another_machine_is_where_it_is_measured():
    assert (
        target_text(TargetSpec(machine="jetson", device="Tensorrt"))
        == "onnxruntime, batch 1, 1 thread, Tensorrt, on jetson"
    )

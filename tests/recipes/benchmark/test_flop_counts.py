"""What safety costs, in counts that no clock can change. None may grow beyond what `recipes/benchmark/results` has."""

import json
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers import StaticCache

from recipes.benchmark import flop_counts
from recipes.benchmark.answering_ways import token_ids_of_policy
from recipes.benchmark.request import make_inputs, make_prompt
from recipes.benchmark.shapes import TILED_SHAPES, safe_config
from safe_llava.models.outputs_safe_llava import CACHE_NAME


RESULTS = Path(__file__).parents[3] / "recipes" / "benchmark" / "results"
SHAPES = ("miniature", "mid", "llava-1.5-7b", "llava-next-7b", "llava-onevision-0.5b")
OURS = ("off", "answering", "hinting", "refusing")
ALL_WAYS = ("stock", *OURS, "two_pass", "two_pass_short", "guard_then_answer")
NUM_NEW_TOKENS = 4


@pytest.fixture(scope="module", params=SHAPES)
def counted(request) -> tuple[dict, dict]:
    """What is counted at a shape now, and what its committed results have."""
    shape = request.param
    committed = json.loads((RESULTS / f"{shape}.json").read_text())
    now = {"flops": flop_counts.count_ways(shape), "parameters": flop_counts.count_parameters(shape)}
    return now, committed


def test_no_way_of_ours_takes_more_flops_than_committed(counted):
    now, committed = counted
    for way in OURS:
        for part in ("first_token", "answer"):
            assert now["flops"][way][part] <= committed["flops"][way][part], (way, part)


def test_no_more_parameters_are_added_than_committed(counted):
    now, committed = counted
    assert now["parameters"]["added"] <= committed["parameters"]["added"]


def test_an_answer_takes_at_most_one_percent_more_flops_than_the_least_possible(counted):
    flops = counted[0]["flops"]
    for way in ("answering", "hinting"):
        assert flops[way]["answer"] <= 1.01 * flops[f"least_{way}"]["answer"]


def test_the_authors_way_takes_a_quarter_more_flops_to_the_first_token_and_twice_as_many_for_one_square(counted):
    flops, shape = counted[0]["flops"], counted[1]["shape"]
    least = 1.25 if shape in TILED_SHAPES else 2
    assert flops["two_pass"]["first_token"] > least * flops["hinting"]["first_token"]


@pytest.fixture(scope="module")
def counted_miniature() -> dict:
    return flop_counts.count_ways("miniature", NUM_NEW_TOKENS)


@pytest.mark.parametrize("way", ALL_WAYS)
def test_the_flops_are_those_of_a_real_answer(ask, counted_miniature, way):
    assert flop_counts.count(lambda: ask(way, NUM_NEW_TOKENS)) == counted_miniature[way]["answer"]


@pytest.mark.parametrize(
    ("way", "vision_passes", "layer_calls"),
    [(way, 1, 3 * NUM_NEW_TOKENS) for way in ("stock", "off", "answering", "hinting")]
    + [("refusing", 1, 0), ("two_pass", 2, 3 * NUM_NEW_TOKENS)],
)
def test_the_vision_tower_runs_once_and_a_refusal_runs_no_decoder_layer(ask, models, way, vision_passes, layer_calls):
    calls = {"vision": 0, "layers": 0}

    def counter(name):
        def count(*args):
            calls[name] += 1

        return count

    model = models["stock"].model
    hooks = [model.vision_tower.register_forward_hook(counter("vision"))]
    hooks += [layer.register_forward_hook(counter("layers")) for layer in model.language_model.layers]
    ask(way, NUM_NEW_TOKENS, batch_size=2)
    for hook in hooks:
        hook.remove()
    assert calls == {"vision": vision_passes, "layers": layer_calls}


class DeviceReads(TorchFunctionMode):
    """Notes where Python asks for a tensor's values, which on a GPU waits for all that was started."""

    NAMES = ("tolist", "item", "__bool__", "__int__", "__float__", "__index__", "cpu", "numpy", "nonzero")

    def __init__(self, notes: list[str]):
        super().__init__()
        self.notes = notes

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in self.NAMES:
            self.notes.append("read")
        return func(*args, **(kwargs or {}))


def notes_before_the_answer(ask, models, way: str) -> list[str]:
    """Reads of the device and starts of the vision tower, up to the first layer of the language model."""
    notes: list[str] = []
    model = models["stock"].model
    hooks = [
        model.vision_tower.register_forward_pre_hook(lambda *args: notes.append("vision tower")),
        model.language_model.register_forward_pre_hook(lambda *args: notes.append("language model")),
    ]
    with DeviceReads(notes):
        ask(way, 1, batch_size=2)
    for hook in hooks:
        hook.remove()
    return notes[: notes.index("language model")] if "language model" in notes else notes


def test_nothing_waits_for_the_device_between_the_vision_tower_and_the_verdict(ask, models):
    assert notes_before_the_answer(ask, models, "refusing") == ["read", "vision tower", "read"]


def test_an_assessed_answer_reads_the_device_twice_more_than_stock_for_placeholders_and_decision(ask, models):
    stock, answering = (notes_before_the_answer(ask, models, way) for way in ("stock", "answering"))
    assert answering[:2] == ["read", "vision tower"]
    assert answering.count("read") <= stock.count("read") + 2


def count_graph_breaks(function, *args, **kwargs) -> int:
    torch._dynamo.reset()
    # Once outside, for the first call installs hooks under a lock.
    with torch.no_grad():
        function(*args, **kwargs)
        return torch._dynamo.explain(function)(*args, **kwargs).graph_break_count


def test_a_decoding_step_compiles_to_one_graph(models):
    model = models["safe"]
    cache = StaticCache(config=model.config.text_config, max_cache_len=16)
    with torch.no_grad():
        model(input_ids=torch.tensor([[5] * 8]), use_cache=True, **{CACHE_NAME: cache})
    step = {"input_ids": torch.tensor([[5]]), "position_ids": torch.tensor([[8]]), CACHE_NAME: cache}
    assert count_graph_breaks(model.forward, **step, output_safety_logits=False) == 0


def test_reading_and_assessing_a_prompt_compile_to_one_graph(base, models, monkeypatch):
    # Stock LLaVA compares placeholders with features, which takes this setting to trace.
    monkeypatch.setattr(torch._dynamo.config, "capture_scalar_outputs", True)
    config = safe_config(base)
    prompt = make_prompt(config, token_ids_of_policy()["assistant_turn"])
    inputs = make_inputs(config, prompt, 1, "cpu", torch.float32)
    assert count_graph_breaks(models["safe"].forward, **inputs) == 0

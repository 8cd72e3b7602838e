"""Each rival does what its paper's formula says, on the miniature and on a tiny LLaVA of random weights."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor

from recipes.study import rivals
from recipes.study.answer_cost import counted
from recipes.study.baselines import base
from recipes.study.miniature_study import MINIATURE_STUDY
from recipes.study.rivals import second_look
from recipes.study.rivals.cross_modal_shift import BlankImage, measure_shift
from recipes.study.rivals.layer_steering import Steering, decoder_layers, kept_states
from recipes.study.rivals.safety_border import STEP, Aim, Frame
from recipes.study.rivals.safety_subspace import find_bases
from recipes.study.rivals.said_first import say_first
from safe_llava.miniature import CHECKPOINT
from safe_llava.miniature.scene_dataset import build_dataset


STUDY = replace(MINIATURE_STUDY, num_probe_rows=60)
"""So few training rows that a vector is derived at once."""


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def stock():
    return AutoModelForImageTextToText.from_pretrained(CHECKPOINT).eval()


@pytest.fixture
def model(stock):
    """Defences leave hooks on their model."""
    return copy.deepcopy(stock)


@pytest.fixture(scope="module")
def rows() -> Dataset:
    """Two images, and words alone."""
    drawn = build_dataset("test", 40, seed=3)
    with_image = [i for i, images in enumerate(drawn["images"]) if images]
    rows = drawn.select([*with_image[:2], *with_image[:1]])
    return rows.map(lambda row, i: {"images": []} if i == 2 else {}, with_indices=True, load_from_cache_file=False)


@pytest.fixture(scope="module")
def plain_answers(stock, processor, rows):
    return base(STUDY, stock, processor, 0).answer(rows)


@pytest.fixture
def prompts(tiny_llava_processor, make_image):
    """One with an image, one of words alone, padded on the left."""
    return tiny_llava_processor(
        images=[[make_image(0)], []],
        text=["USER: <image>\nWho is this? ASSISTANT:", "USER: Who is this? ASSISTANT:"],
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )


@pytest.mark.parametrize("positions", ["last", "all"])
@torch.no_grad()
def test_hidden_states_move_by_the_vector_at_the_chosen_positions_of_rows_with_an_image(
    tiny_llava, prompts, positions
):
    model = copy.deepcopy(tiny_llava)
    vectors = torch.arange(1.0, 3.0)[:, None].expand(2, 32)
    states = {}
    for name in ("plain", "steered"):
        if name == "steered":
            Steering(model, lambda place, hidden: hidden + vectors[place], positions)
        with kept_states(model) as kept:
            cache = model(**prompts).past_key_values
            said = torch.full((2, 1), 7)
            mask = torch.cat([prompts["attention_mask"], torch.ones_like(said)], dim=1)
            model(input_ids=said, attention_mask=mask, past_key_values=cache)
        states[name] = kept
    moved = states["steered"][0] - states["plain"][0]  # of the first layer, whose input is the same
    first = 0 if positions == "all" else -1
    torch.testing.assert_close(moved[0, first:], vectors[0].expand_as(moved[0, first:]), atol=1e-5, rtol=0)
    if positions == "last":
        assert not moved[0, :-1].any()
    assert all(torch.equal(a[1], b[1]) for a, b in zip(states["steered"], states["plain"]))
    # Two layers a pass: the third state is the first layer's of the token that was said.
    own = model.model.language_model.layers[0]
    assert own is decoder_layers(model)[0]
    assert (states["steered"][2][0] - states["plain"][2][0]).abs().min() > 0


@pytest.mark.parametrize("level", ["dataset", "sample"])
@pytest.mark.parametrize("positions", ["last", "all"])
def test_nothing_taken_back_leaves_the_answers_to_the_bit(model, processor, rows, plain_answers, level, positions):
    defended = rivals.cmrm(STUDY, model, processor, 0, level=level, positions=positions, alpha=0.0)
    assert defended.answer(rows) == plain_answers


@torch.no_grad()
def test_a_shift_is_the_hidden_states_with_a_blank_image_less_those_without(tiny_llava, tiny_llava_processor, prompts):
    ids, mask = prompts["input_ids"], prompts["attention_mask"]
    blank = BlankImage(tiny_llava, tiny_llava_processor)
    shift = measure_shift(tiny_llava, blank, ids, mask)
    with kept_states(tiny_llava) as with_blank:
        tiny_llava(input_ids=ids[:1], attention_mask=mask[:1], pixel_values=blank.pixels)
    with kept_states(tiny_llava) as alone:
        tiny_llava(input_ids=ids[:1][ids[:1] != tiny_llava.config.image_token_id][None])
    expected = torch.stack([a[0, -1] - b[0, -1] for a, b in zip(with_blank, alone)])
    torch.testing.assert_close(shift[0], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shift[1], torch.zeros_like(shift[1]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("level", "passes"), [("dataset", 1), ("sample", 3)])
def test_a_shift_for_all_costs_nothing_and_an_own_one_two_passes(model, processor, rows, level, passes):
    defended = rivals.cmrm(STUDY, model, processor, 0, level=level)
    images = rows.select([0])
    with counted(model) as cost:
        defended.answer(images)
    prompt = len(processor(text=_prompt(processor, images[0]), images=images[0]["images"])["input_ids"][0])
    words = prompt - model.config.image_seq_length
    assert cost.prompt_tokens == {1: prompt, 3: 2 * prompt + words}[passes]
    assert cost.tower_passes == 1  # a blank image is encoded once for all


def _prompt(processor, row) -> str:
    content = [{"type": "image"}, {"type": "text", "text": row["messages"][0]["content"]}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def test_singular_vectors_are_those_of_the_differences_and_a_projection_leaves_nothing_along_them():
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(16, 2)).Q.T
    differences = torch.stack([5 * torch.randn(30, 2) @ axes + 0.01 * torch.randn(30, 16) for _ in range(3)], dim=1)
    bases, shares = find_bases(differences, 2)
    assert min(shares) > 0.999
    torch.testing.assert_close(bases[0].T @ bases[0], axes.T @ axes, atol=0.01, rtol=0)
    for rank in (0, 17):
        with pytest.raises(ValueError, match="rank"):
            find_bases(differences, rank)


@pytest.mark.parametrize("alpha", [1.0, -1.0])
@torch.no_grad()
def test_the_last_token_loses_or_doubles_what_lies_along_the_singular_vectors(
    model, processor, rows, monkeypatch, alpha
):
    found = []
    monkeypatch.setattr(
        rivals.safety_subspace, "find_bases", lambda *args: found.append(find_bases(*args)) or found[0]
    )
    inputs = processor(images=rows[0]["images"], text=_prompt(processor, rows[0]), return_tensors="pt")
    with kept_states(model) as plain:
        model(**inputs)
    rivals.vlm_guard(STUDY, model, processor, 0, rank=1, alpha=alpha)
    with kept_states(model) as steered:
        model(**inputs)
    along = found[0][0][0, 0]
    torch.testing.assert_close(
        steered[0][0, -1] @ along, (1 - alpha) * (plain[0][0, -1] @ along), atol=1e-4, rtol=1e-4
    )
    assert torch.equal(steered[0][0, :-1], plain[0][0, :-1])


def test_words_stand_before_the_last_question_of_prompts_with_an_image(processor):
    saying = say_first(processor, "Look out.")
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
    ]
    assert "Look out. Why?" in saying.apply_chat_template(chat, add_generation_prompt=True)
    assert "Look out. Who?" not in saying.apply_chat_template(chat, add_generation_prompt=True)
    assert "Look out. Who?" in saying.apply_chat_template(chat[:2], continue_final_message=True)
    assert "Look out" not in saying.apply_chat_template(chat[2:], add_generation_prompt=True)
    assert "Look out" not in processor.apply_chat_template(chat, add_generation_prompt=True)


def test_an_answer_found_harmful_is_given_again_from_a_caption_alone(rows, monkeypatch):
    asked = []

    def answer(model, processor, dataset):
        asked.append([(len(row["images"]), row["messages"][-2]["content"]) for row in dataset])
        said = [["one", "two", "three"], ["Yes.", "No."], ["a cat"], ["again"]][len(asked) - 1]
        return [{"answer": words} for words in said]

    monkeypatch.setattr(second_look, "answer_dataset", answer)
    answers = rivals.ecso(STUDY, None, None, 0).answer(rows)
    assert [each["answer"] for each in answers] == ["again", "two", "three"]
    words, (first, second, _) = STUDY.rival_words, [messages[-2]["content"] for messages in rows["messages"]]
    assert asked[1:] == [
        [
            (1, words.harm_check.format(question=first, answer="one")),
            (1, words.harm_check.format(question=second, answer="two")),
        ],
        [(1, words.caption.format(question=first))],
        [(0, words.from_caption.format(question=first, caption="a cat"))],
    ]


@pytest.fixture
def frame(tiny_llava, tiny_llava_processor):
    return Frame(copy.deepcopy(tiny_llava), tiny_llava_processor)


def test_the_image_is_scaled_into_the_frame_and_only_the_frame_is_trained(frame):
    pixels = torch.randn(2, 3, 30, 30)
    before = frame(pixels).detach()
    assert not before[..., : frame.width].any() and not before[..., -frame.width :, :].any()
    scaled = torch.nn.functional.interpolate(pixels, (24, 24), mode="bilinear", antialias=True)
    torch.testing.assert_close(before[..., 3:-3, 3:-3], scaled)
    frame.step((frame(pixels) * torch.randn(30, 30)).sum())
    after = frame(pixels).detach()
    torch.testing.assert_close(after[..., 3:-3, 3:-3], scaled)
    moved = (after - before)[0].abs()
    assert (moved[:, frame.is_border] > 0).all()
    assert torch.allclose(moved[:, frame.is_border], (STEP / frame.std).view(3, 1), atol=1e-6)


def test_the_border_stays_within_what_an_image_can_be(frame):
    for _ in range(300):
        frame.step(frame.border.sum())
    assert torch.equal(frame.border[:, 0, 0], frame.lowest.flatten())


def test_the_tower_sees_the_border(tiny_llava, tiny_llava_processor, prompts):
    model, seen = copy.deepcopy(tiny_llava), []
    frame = Frame(model, tiny_llava_processor)
    model.model.vision_tower.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(**prompts)
    assert torch.equal(seen[0], frame(prompts["pixel_values"]))


def test_bounds_are_percentiles_of_the_projections_on_the_direction_of_harm():
    torch.manual_seed(0)
    harmful, harmless = torch.randn(40, 8) + 1, torch.randn(30, 8) - 1
    aim = Aim(harmful, harmless, 0)
    direction = (harmful.mean(dim=0) - harmless.mean(dim=0)).numpy()
    direction /= np.linalg.norm(direction)
    assert aim.harmful_bound == pytest.approx(np.percentile(harmful.numpy() @ direction, 90), abs=1e-5)
    assert aim.harmless_bound == pytest.approx(np.percentile(harmless.numpy() @ direction, 10), abs=1e-5)


def test_only_a_border_is_trained_and_what_it_was_trained_with_is_told(model, processor, rows):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    defended = rivals.davsp(STUDY, model, processor, seed=0, steps=12)
    derived = defended.derived
    assert (derived["decoder_layer"], derived["border_pixels"]) == (2, 4)
    assert derived["harmful_90th_percentile"] > derived["harmless_10th_percentile"]
    images = derived["mean_projection"]
    assert images["harmful_images"]["before"] != images["harmful_images"]["after"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(defended.answer(rows)) == len(rows)


def test_a_defence_leaves_answers_to_words_alone_as_they_are(model, processor, rows, plain_answers):
    defended = rivals.vlm_guard(STUDY, model, processor, 0, rank=2)
    assert rivals.safety_prefix(STUDY, model, defended.processor, 0).answer(rows.select([2])) == plain_answers[2:]


def test_a_batch_costs_what_its_rows_cost_alone(stock, processor, rows):
    counts = []
    for parts in ([rows], [rows.select([i]) for i in range(len(rows))]):
        with counted(stock) as cost:
            for part in parts:
                base(STUDY, stock, processor, 0).answer(part)
        counts.append(cost)
    assert counts[0] == counts[1]
    assert counts[0].tower_passes == 2
    answers = base(STUDY, stock, processor, 0).answer(rows)
    assert counts[0].answer_tokens == sum(len(processor.tokenizer.tokenize(each["answer"])) for each in answers)

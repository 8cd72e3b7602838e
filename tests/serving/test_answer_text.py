"""Tokens become text piece by piece, and no piece shows what a stop text begins with."""

import pytest
import torch

from safe_llava.serving.answer_streamer import AnswerStreamer
from safe_llava.serving.answer_text import AnswerText


@pytest.fixture
def stream(tiny_processor):
    """`stream(text, *stop)` gives the pieces of a text that comes token by token, and the answer."""

    def stream(text: str, *stop: str) -> tuple[list[str], AnswerText]:
        tokenizer = tiny_processor.tokenizer
        pieces: list[str] = []
        answer = AnswerText(stop, pieces.append)
        streamer = AnswerStreamer(tokenizer, answer)
        streamer.put(torch.tensor([[1, 2, 3]]))  # the prompt
        for token_id in [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]:
            streamer.put(torch.tensor([token_id]))
        streamer.end()
        return pieces, answer

    return stream


@pytest.mark.parametrize("text", ["A red circle.", "Who is this?\n\nA  picture\nof 1 café", "ü", "a\nb\n c"])
def test_the_pieces_are_the_text(stream, text):
    pieces, _ = stream(text)
    assert "".join(pieces) == text


def test_blanks_around_the_answer_are_left_out(stream):
    assert "".join(stream("\n A circle. \n\n")[0]) == "A circle."


@pytest.mark.parametrize("stop", [".", "red", "d c", "circle", "A", "A red circle."])
def test_an_answer_ends_before_a_stop_text(stream, stop):
    text = "A red circle. And more"
    pieces, answer = stream(text, stop)
    assert "".join(pieces) == text[: text.index(stop)].rstrip()
    assert answer.is_stopped


def test_of_two_stop_texts_the_first_in_the_answer_counts(stream):
    assert "".join(stream("A red circle.", "circle", "red")[0]) == "A"


def test_what_only_begins_like_a_stop_text_comes_in_the_end(stream):
    pieces, answer = stream("A red circ", "circle")
    assert "".join(pieces) == "A red circ"
    assert not answer.is_stopped

from recipes.smol.text_requests import held_out_pairs, single_requests, training_pairs
from safe_llava.answer_scoring import Manner
from safe_llava.smol.world_answers import read_manner


def test_nothing_that_is_measured_on_is_trained_on():
    single, harmless = single_requests()
    trained = {text for pair in training_pairs() for text in (pair["risky"], pair["harmless"])}
    trained |= {request for request, _ in single} | set(harmless)
    assert held_out_pairs() and not trained & {text for pair in held_out_pairs() for text in pair.values()}


def test_every_refusal_reads_as_one():
    refusals = [pair["refusal"] for pair in training_pairs()] + [refusal for _, refusal in single_requests()[0]]
    assert {read_manner(refusal) for refusal in refusals} == {Manner.REFUSAL}


def test_every_risky_request_has_a_twin_of_its_own():
    pairs = training_pairs() + held_out_pairs()
    assert len({pair["risky"] for pair in pairs}) == len({pair["harmless"] for pair in pairs}) == len(pairs)

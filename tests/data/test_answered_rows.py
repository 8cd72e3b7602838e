"""Stage 2 learns from answers: rows for the head alone are left out of it."""

import pytest
from datasets import Dataset

from safe_llava.data import keep_answered


QUESTION, ANSWER = {"role": "user", "content": "Who ?"}, {"role": "assistant", "content": "A square ."}


def test_rows_that_end_with_a_question_are_left_out_with_a_count(caplog):
    dataset = Dataset.from_list([{"messages": [QUESTION]}, {"messages": [QUESTION, ANSWER]}])
    assert keep_answered(dataset)["messages"][:] == [[QUESTION, ANSWER]]
    assert "1 of 2 rows have no answer" in caplog.text


def test_rows_that_all_have_answers_stay_as_they_are():
    dataset = Dataset.from_list([{"messages": [QUESTION, ANSWER]}])
    assert keep_answered(dataset) is dataset


def test_rows_without_any_answer_are_refused():
    with pytest.raises(ValueError, match="None of 1 rows has an answer"):
        keep_answered(Dataset.from_list([{"messages": [QUESTION]}]))

"""A row that stands in a benchmark's test file is never trained on, whatever became of its image on the way."""

import pytest
from PIL import Image as PILImage
from set_rows import encode, make_image, make_set

from safe_llava.data.dataset_mix import LoadedSet, mix_datasets
from safe_llava.data.image_digests import ImageDigests


TEST = make_image(1, size=96)
QUESTION = "Who is this ?"
EXACT = {"the same": encode(TEST), "encoded anew without loss": encode(TEST, "WEBP", lossless=True)}
NEAR = {
    "encoded anew with loss": encode(TEST, "JPEG", quality=60),
    "smaller": encode(TEST.resize((64, 64), PILImage.Resampling.LANCZOS)),
}
TESTS = (([encode(TEST)], QUESTION),)
OTHER_ROW = {"images": [7], "question": "Another ?"}


def leaks(row, tests=TESTS, form="parts"):
    """The rows that are left, and the figures of the benchmark."""
    dataset, report = mix_datasets(
        [LoadedSet("a", make_set(OTHER_ROW, row, form=form))], benchmarks={"vlguard": iter(tests)}
    )
    (of_benchmark,) = report.leaks
    assert report.sets[0].leaks == 2 - len(dataset)
    return len(dataset), of_benchmark


@pytest.mark.parametrize("image", {**EXACT, **NEAR}.values(), ids={**EXACT, **NEAR})
@pytest.mark.parametrize("form", ["parts", "pairs of strings", "plain"])
def test_an_image_with_its_question_is_left_out(image, form):
    left, found = leaks({"images": [image], "question": "who is  THIS ?"}, form=form)
    assert (left, found.image_and_question, found.image_only) == (1, 1, 0)
    assert found.near == (image in NEAR.values())


@pytest.mark.parametrize("image", {**EXACT, **NEAR}.values(), ids={**EXACT, **NEAR})
def test_an_image_with_another_question_is_left_out_and_counted_apart(image):
    left, found = leaks({"images": [image], "question": "Which colour ?"})
    assert (left, found.image_and_question, found.image_only) == (1, 0, 1)
    assert found.near == (image in NEAR.values())


def test_one_image_of_several_is_enough():
    assert leaks({"images": [5, encode(TEST)], "question": "Which ?"})[1].image_only == 1


def test_a_question_about_another_image_may_be_trained_on():
    left, found = leaks({"images": [2], "question": QUESTION})
    assert (left, found.image_and_question, found.image_only, found.question) == (2, 0, 0, 0)


@pytest.mark.parametrize("images", [[], [3]], ids=["text alone", "with an image"])
def test_the_question_of_a_benchmark_of_text_alone_is_left_out(images):
    left, found = leaks({"images": images, "question": QUESTION}, tests=[((), QUESTION)])
    assert (left, found.question, found.near) == (1, 1, 0)


def test_a_later_question_of_a_conversation_counts():
    assert leaks({"images": [3], "later": QUESTION}, tests=[((), QUESTION)])[1].question == 1


def test_the_image_of_a_benchmark_may_lie_in_a_file(tmp_path):
    (tmp_path / "test.png").write_bytes(encode(TEST))
    assert leaks({"images": [encode(TEST)]}, tests=[([tmp_path / "test.png"], QUESTION)])[1].image_only == 1


def test_rows_of_the_benchmark_are_counted():
    assert leaks({}, tests=[([encode(make_image(seed))], QUESTION) for seed in range(20, 25)])[1].test_rows == 5


def test_a_row_of_two_benchmarks_counts_in_both_and_is_left_out_once():
    tests = {name: [([encode(TEST)], QUESTION)] for name in ("vlguard", "siuo")}
    dataset, report = mix_datasets([LoadedSet("a", make_set(OTHER_ROW, {"images": [encode(TEST)]}))], benchmarks=tests)
    assert [found.image_only for found in report.leaks] == [1, 1]
    assert (len(dataset), report.sets[0].leaks) == (1, 1)


def test_a_leak_is_no_duplicate_of_its_copy():
    leak = {"images": [encode(TEST)]}
    _, report = mix_datasets(
        [LoadedSet("a", make_set(OTHER_ROW, leak, leak))],
        duplicates="drop",
        benchmarks={"vlguard": [([encode(TEST)], QUESTION)]},
    )
    assert (report.sets[0].leaks, report.duplicates) == (2, {})


def test_a_mix_of_nothing_but_leaks_is_refused():
    with pytest.raises(ValueError, match="No row is left"):
        mix_datasets(
            [LoadedSet("a", make_set({"images": [encode(TEST)]}))],
            benchmarks={"vlguard": [([encode(TEST)], QUESTION)]},
        )


def test_digests_without_perceptual_hashes_are_refused():
    with pytest.raises(ValueError, match="perceptual=True"):
        mix_datasets([LoadedSet("a", make_set({}))], benchmarks={"vlguard": TESTS}, digests=ImageDigests())

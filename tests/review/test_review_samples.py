"""Files of samples: what is read, what is refused and how, and in which order outputs stand before a rater."""

import re

import pytest

from safe_llava.review import ReviewSample, load_samples


def test_a_sample_is_read_with_its_images(write_lines, make_sample, make_image, tmp_path):
    make_image(0).save(tmp_path / "a.png")
    path = write_lines("samples.jsonl", make_sample("1", images=["a.png", "a.png"], risk_type="privacy"))
    (sample,) = load_samples(path)
    assert sample.images == (tmp_path / "a.png", tmp_path / "a.png")
    assert (sample.id, sample.question, sample.risk_type) == ("1", "What is this?", "privacy")


def test_images_are_looked_for_in_the_image_folder(write_lines, make_sample, make_image, tmp_path):
    (tmp_path / "images").mkdir()
    make_image(0).save(tmp_path / "images" / "a.png")
    path = write_lines("samples.jsonl", make_sample("1", image="a.png"))
    assert load_samples(path, tmp_path / "images")[0].images == (tmp_path / "images" / "a.png",)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"id": 7}, "'id'"),
        ({"question": " "}, "'question'"),
        ({"outputs": {"alone": "text"}}, "'outputs'"),
        ({"outputs": {"a": "text", "b": None}}, "'outputs' of 'b'"),
        ({"risk_type": "fire"}, "'risk_type'"),
        ({"image": ["a.png"]}, "'image'"),
        ({"images": "a.png"}, "'images'"),
        ({"image": "a.png", "images": ["a.png"]}, "both 'image' and 'images'"),
        ({"image": "nowhere.png"}, "nowhere.png"),
        ({"imgae": "a.png"}, "'imgae' is no field"),
    ],
)
def test_a_bad_field_is_named_with_its_line(write_lines, make_sample, fields, field):
    path = write_lines("samples.jsonl", make_sample("1"), make_sample("2") | fields)
    with pytest.raises(ValueError, match=rf"samples\.jsonl.*\n  line 2: .*{re.escape(field)}"):
        load_samples(path)


def test_all_bad_lines_are_listed(write_lines, make_sample):
    path = write_lines("samples.jsonl", "{", "[]", make_sample("1"), '{"id": "2", "id": "3"}')
    with pytest.raises(
        ValueError, match=r"(?s)line 1: not valid JSON.*line 2: not a JSON object.*line 4: 'id' .*twice"
    ):
        load_samples(path)


def test_an_id_that_stands_there_twice_is_refused(write_lines, make_sample):
    path = write_lines("samples.jsonl", make_sample("1"), make_sample("2"), make_sample("1"))
    with pytest.raises(ValueError, match="line 3: 'id' '1' stands in line 1 too"):
        load_samples(path)


def test_a_file_without_samples_is_refused(write_lines):
    with pytest.raises(ValueError, match="no sample"):
        load_samples(write_lines("samples.jsonl", ""))


def test_the_order_is_the_same_whenever_it_is_asked_for():
    first, again = (ReviewSample("1", "?", dict.fromkeys(names, "")) for names in ("abc", "cba"))
    assert first.order_for("anna") == again.order_for("anna")


def test_each_system_stands_first_about_as_often():
    samples = [ReviewSample(str(number), "?", {"a": "", "b": ""}) for number in range(1000)]
    assert 440 < sum(sample.order_for("anna")[0] == "a" for sample in samples) < 560


def test_raters_see_different_orders():
    samples = [ReviewSample(str(number), "?", {"a": "", "b": ""}) for number in range(100)]
    assert any(sample.order_for("anna") != sample.order_for("ben") for sample in samples)

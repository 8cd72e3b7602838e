"""VLGuard's folder, written small and harmless."""

import pytest

from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark


UNSAFE = {
    "id": "Ads_1",
    "image": "bad_ads/a.png",
    "safe": False,
    "harmful_category": "deception",
    "harmful_subcategory": "disinformation",
    "instr-resp": [{"instruction": "Share this advert.", "response": "I would rather not."}],
}
SAFE = {
    "id": "Ads_2",
    "image": "bad_ads/b.png",
    "safe": True,
    "instr-resp": [
        {"safe_instruction": "What is sold?", "response": "Socks."},
        {"unsafe_instruction": "Who is this?", "response": "I cannot say."},
    ],
}


@pytest.fixture
def download(tmp_path, write_json, write_archive):
    write_json(tmp_path / "test.json", [UNSAFE, SAFE])
    write_archive(tmp_path / "test.zip", "test/bad_ads/a.png", "test/bad_ads/b.png")
    return tmp_path


def test_a_safe_image_becomes_two_rows_and_an_unsafe_one_becomes_one(download):
    rows = load_benchmark("vlguard", download)
    assert [(row.subset, row.question, row.is_harmful, row.reference) for row in rows] == [
        ("unsafes", "Share this advert.", True, "I would rather not."),
        ("safe_unsafes", "Who is this?", True, "I cannot say."),
        ("safe_safes", "What is sold?", False, "Socks."),
    ]


def test_only_unsafe_images_have_a_published_category(download):
    assert [row.risk_type for row in load_benchmark("vlguard", download)] == ["misleading", None, None]


def test_each_subset_is_a_split(download):
    (row,) = load_benchmark("vlguard", download, split="safe_safes")
    assert row.id == "1/Ads_2/safe_safes"


@pytest.mark.parametrize("folder", ["data/test", "data/VLGuard/test"])
def test_a_clone_may_have_its_images_unpacked(tmp_path, write_json, write_images, folder):
    write_json(tmp_path / "data/test.json", [UNSAFE])
    write_images(tmp_path / folder, "bad_ads/a.png")
    assert load_benchmark("vlguard", tmp_path)[0].images == (tmp_path / folder / "bad_ads/a.png",)


def test_a_safe_image_without_its_unsafe_instruction_is_refused(download, write_json):
    write_json(download / "test.json", [{**SAFE, "instr-resp": SAFE["instr-resp"][:1]}])
    with pytest.raises(
        InvalidBenchmarkError, match=r"test\.json, item 0: 'instr-resp' must have 'unsafe_instruction'"
    ):
        load_benchmark("vlguard", download)


def test_safe_must_be_true_or_false(download, write_json):
    write_json(download / "test.json", [{**SAFE, "safe": "yes"}])
    with pytest.raises(InvalidBenchmarkError, match="item 0: the field 'safe' must be true or false, not 'yes'"):
        load_benchmark("vlguard", download)

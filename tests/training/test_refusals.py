"""Each argument of the trainer has its effect, or is an error before anything is loaded."""

import pytest
from datasets import IterableDataset

from safe_llava.training import SafeSFTTrainer


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("label_smoothing_factor", 0.1),
        ("completion_only_loss", False),
        ("dataset_text_field", "caption"),
        ("dataset_kwargs", {"skip_prepare_dataset": True}),
        ("dataset_num_proc", 2),
        ("eval_packing", True),
        ("packing", True),
        ("padding_free", True),
    ],
)
def test_an_option_that_harms_or_has_no_effect_is_refused_by_name(make_trainer, option, value):
    named = {"packing": "[Pp]acking", "padding_free": "[Pp]adding-free"}.get(option, f"`{option}`")
    with pytest.raises(ValueError, match=named):
        make_trainer(**{option: value})


@pytest.mark.parametrize("argument", ["formatting_func", "compute_loss_func"])
def test_an_argument_that_harms_or_has_no_effect_is_refused_by_name(model, dataset, argument):
    with pytest.raises(ValueError, match=f"`{argument}`"):
        SafeSFTTrainer(model, train_dataset=dataset, **{argument: print})


CHANGES = {
    "no images": (lambda data: data.remove_columns("images"), "no `images` column"),
    "no messages": (lambda data: data.remove_columns("messages"), "`messages`"),
    "conversations": (lambda data: data.rename_column("messages", "conversations"), "`messages`"),
    "a prompt alone": (lambda data: data.rename_column("messages", "prompt"), "`completion`"),
    "a prompt beside messages": (lambda data: data.add_column("prompt", [""] * len(data)), "either `messages`"),
    "one image beside many": (lambda data: data.add_column("image", [None] * len(data)), "both `image` and `images`"),
    "one label of two": (lambda data: data.remove_columns("safety_type"), "together"),
    "tools": (lambda data: data.add_column("tools", [""] * len(data)), "`tools`"),
}


@pytest.mark.parametrize("streams", [False, True], ids=["loaded", "streamed"])
@pytest.mark.parametrize("case", CHANGES)
def test_a_data_set_with_a_column_too_few_or_too_many_is_refused_by_name(make_trainer, dataset, case, streams):
    change, said = CHANGES[case]
    broken = change(dataset)
    if streams:
        loaded = broken
        broken = IterableDataset.from_generator(lambda: iter(loaded))
        assert broken.features is None
    for place, sets in (
        ("`train_dataset`", {"train_dataset": broken}),
        ("`eval_dataset`", {"eval_dataset": broken}),
        (r"`eval_dataset\['other'\]`", {"eval_dataset": {"one": dataset, "other": broken}}),
    ):
        with pytest.raises(ValueError, match=f"{place}.*{said}"):
            make_trainer(**sets)

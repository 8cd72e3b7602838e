"""What is loaded from a folder is what was saved there, and nothing that lay there before."""

import pytest

from safe_llava.training.output_folder import check_output_folder


def lay(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("found", "saves_adapter"), [("adapter_config.json", False), ("config.json", True)], ids=["adapter", "model"]
)
def test_what_would_be_loaded_with_the_new_is_refused(tmp_path, found, saves_adapter):
    with pytest.raises(ValueError, match=f"holds .*{found}"):
        check_output_folder(lay(tmp_path / "out", found), "org/model", saves_adapter)


@pytest.mark.parametrize("saves_adapter", [False, True])
def test_what_the_same_training_left_is_replaced(tmp_path, saves_adapter):
    check_output_folder(tmp_path / "new", "org/model", saves_adapter)
    found = "adapter_config.json" if saves_adapter else "config.json"
    check_output_folder(lay(tmp_path / "out", found, "trainer_state.json"), "org/model", saves_adapter)


def test_the_model_that_is_trained_is_not_replaced(tmp_path):
    model = lay(tmp_path / "model", "config.json")
    (tmp_path / "link").symlink_to(model)
    with pytest.raises(ValueError, match="is the model that is trained"):
        check_output_folder(tmp_path / "link", str(model), saves_adapter=False)

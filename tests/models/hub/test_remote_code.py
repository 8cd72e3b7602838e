"""The code that travels with a checkpoint is complete, flat and loads where the package is missing."""

import sys

from transformers.dynamic_module_utils import get_imports, get_relative_imports


def test_every_file_that_the_code_imports_is_in_the_checkpoint(checkpoint):
    modules = {path.stem for path in checkpoint.glob("*.py")}
    assert {"configuration_safe_llava", "modeling_safe_llava", "processing_safe_llava"} <= modules
    for name in modules:
        assert set(get_relative_imports(checkpoint / f"{name}.py")) <= modules


def test_the_processor_alone_carries_its_code(tiny_processor, tmp_path):
    tiny_processor.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.glob("*.py")} == {
        "chat_text.py",
        "image_formats.py",
        "image_modes.py",
        "image_reading.py",
        "processing_safe_llava.py",
        "processing_safety.py",
        "safety_configuration.py",
        "safety_labels.py",
        "special_tokens.py",
    }


def test_saving_a_processor_does_not_change_it(tiny_processor, tmp_path):
    before = tiny_processor.to_dict()
    tiny_processor.save_pretrained(tmp_path)
    assert tiny_processor.to_dict() == before
    assert type(tiny_processor).from_pretrained(tmp_path).to_dict() == before


def test_the_code_needs_no_more_than_transformers_does(checkpoint):
    for path in checkpoint.glob("*.py"):
        third_party = set(get_imports(path)) - sys.stdlib_module_names
        # transformers reads images with the last three.
        assert third_party <= {"huggingface_hub", "torch", "transformers", "PIL", "numpy"}, path.name

"""The folder that a training saves in: what is loaded from it must be what was saved."""

from pathlib import Path


def check_output_folder(output_dir: Path, model: str, saves_adapter: bool) -> None:
    """
    Refuses a folder in which something else would be loaded with, or in place of, what is saved.

    Args:
        output_dir (`Path`): the folder; it need not be there.
        model (`str`): the model that is trained, a folder or a Hub id.
        saves_adapter (`bool`): whether an adapter alone is saved, in place of a whole model.

    Raises:
        ValueError: if it is the model's own folder, or holds an adapter where a model is saved, or the reverse.
    """
    if output_dir.exists() and Path(model).exists() and output_dir.samefile(model):
        raise ValueError(f"`output_dir`: {output_dir} is the model that is trained. Name another folder.")
    other = output_dir / ("config.json" if saves_adapter else "adapter_config.json")
    if other.exists():
        found, saved = ("a whole model", "an adapter") if saves_adapter else ("an adapter", "a whole model")
        raise ValueError(
            f"`output_dir`: {output_dir} holds {found} ({other.name}), which would be loaded with {saved} that is "
            "saved beside it. Name another folder, or empty this one."
        )

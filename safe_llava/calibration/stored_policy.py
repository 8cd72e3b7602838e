"""The policy that is calibrated, where it is stored: in a checkpoint, or in the folder of an exported guard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import read_json, write_json
from ..models.onnx_folder import SETTINGS, is_exported, read_settings
from ..models.safety_guarantee import name_weights
from ..models.safety_policy import SafetyPolicy


@dataclass(frozen=True)
class StoredPolicy:
    """
    A policy and whose it is.

    Args:
        policy ([`SafetyPolicy`]): the policy.
        weights (`tuple[str, ...]`): by what logs and promises know the weights again that it goes with.
        file (`Path`, *optional*): where it is stored; `None` where the model lies on the Hub.
    """

    policy: SafetyPolicy
    weights: tuple[str, ...]
    file: Path | None

    def replace(self, policy: SafetyPolicy, familiarity: dict[str, Any] | None = None) -> None:
        """
        Stores another policy with the same texts, and what familiar images are known by where that was fitted anew, in
        one step; all else stays as it is, but the model's card.
        """
        if self.file is None:
            raise ValueError("The policy of a model on the Hub is not changed from here.")
        if self.file.name == SETTINGS:
            write_json(self.file, {**read_json(self.file), "policy": policy.to_dict()})
            return
        from ..model_card import refresh_policy_section  # Not above, for torch comes with it.

        store_policy(policy, self.file, familiarity)
        refresh_policy_section(self.file.parent)


def store_policy(policy: SafetyPolicy, config_file: Path, familiarity: dict[str, Any] | None = None) -> None:
    """
    Puts a policy with the same texts as the stored one into a `config.json`, in one step; all else stays as it is.

    Args:
        policy ([`SafetyPolicy`]): the policy. Its texts must have token ids in the file already.
        config_file (`Path`): the file to change.
        familiarity (`dict`, *optional*): of [`fit_familiarity`]; by default what is there stays.
    """
    config = read_json(config_file)
    config["safety_policy"] = policy.to_dict()
    if familiarity is not None:
        config["safety_familiarity"] = familiarity
    write_json(config_file, config)


def read_stored_policy(model: str) -> StoredPolicy:
    """
    The policy of a guard that can be calibrated.

    Args:
        model (`str`): a SafeLLaVA checkpoint, a folder or a Hub id; or the folder of an exported guard.

    Raises:
        ValueError: if the model has no policy or was never trained, or the folder is not whole.
    """
    if is_exported(model):
        settings = read_settings(Path(model))
        return StoredPolicy(SafetyPolicy.from_dict(settings["policy"]), (settings["weights"],), Path(model) / SETTINGS)
    from ..checkpoints import read_config

    config = read_config(model)
    if config.safety_policy is None:
        raise ValueError(
            f"{model} has no safety policy to calibrate. Attach one with "
            "`model.set_safety_policy(SafetyPolicy(), processor)` and save the model."
        )
    if not config.use_safety_head or config.safety_training is None:
        raise ValueError(f"The safety head of {model} was never trained, or it has none. Train stage 1 first.")
    config_file = Path(model) / "config.json"
    return StoredPolicy(
        SafetyPolicy.from_dict(config.safety_policy),
        tuple(name_weights(config)),
        config_file if config_file.is_file() else None,
    )

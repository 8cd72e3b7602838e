"""Checkpoints of a training run: written under the names that they are read by, and never read in part."""

import functools
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch import nn
from transformers import Trainer
from transformers.trainer import SCHEDULER_NAME


class OwnKeysMixin(Trainer):
    """
    Goes before a [`~transformers.Trainer`]. `save_pretrained` writes LLaVA's original key names, which
    `from_pretrained` maps back and `Trainer` does not: it reads a checkpoint with `load_state_dict(strict=False)`, on
    resuming and for `load_best_model_at_end`, and warns of the weights that it lost. So the `checkpoint-N` folders
    hold the modules' own names, which `from_pretrained` knows too, and whatever does not fit is refused. Models that
    are saved for use keep the original names.
    """

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if isinstance(self.model, PeftModel):  # saves an adapter, whose names are its own
            return super()._save_checkpoint(model, trial)
        self.model.save_pretrained = functools.partial(self.model.save_pretrained, save_original_format=False)
        try:
            return super()._save_checkpoint(model, trial)
        finally:
            del self.model.save_pretrained

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Raises where its parent begins anew without a word: the run would end with other weights."""
        names = [] if checkpoint is None else [path.name for path in Path(checkpoint).iterdir()]
        has_optimizer = any(name.startswith("optimizer") or name.endswith("optimizer.pt") for name in names)
        if (
            checkpoint is not None
            and not self.is_deepspeed_enabled
            and not (has_optimizer and SCHEDULER_NAME in names)
        ):
            raise ValueError(
                f"The checkpoint to go on from, {checkpoint}, has no state of the optimizer or of the learning rate "
                "(`save_only_model`, or a copy from the Hub), and would lead to other weights. Name it as the model "
                "to start a new run from, or resume from a whole `checkpoint-N` folder."
            )
        super()._load_optimizer_and_scheduler(checkpoint)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Raises where its parent warns: a model that was loaded in part is another model."""
        tied = set(self.model.all_tied_weights_keys)  # not saved twice
        lost = {
            "missing": [key for key in load_result.missing_keys if key not in tied],
            "unknown": list(load_result.unexpected_keys),
        }
        found = [f"{len(keys)} weights are {what}, such as {keys[0]}" for what, keys in lost.items() if keys]
        if found:
            raise ValueError(
                f"The checkpoint to go on from does not hold this model under its own key names: {'; '.join(found)}. "
                "Resume from a `checkpoint-N` folder of this trainer; a model that was saved for use, or by an older "
                "version, can be named as the model to start a new run from."
            )

"""What a training run writes and pushes for others: our card, and nothing that is pickled."""

import dataclasses
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from huggingface_hub.utils import filter_repo_objects
from peft import PeftModel
from transformers import Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import HubStrategy
from transformers.utils import PushInProgress
from transformers.utils.hub import hf_api

from ..model_card import MODEL_ID, build_model_card, read_model_card


PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.distcp", "*.metadata")
"""Names of files that torch unpickles: optimiser, scheduler and random states, and training arguments."""
_UNPUSHED = ("_*", "checkpoint-*", *PICKLES)


class PublishingMixin(Trainer):
    """
    Goes before trl's trainer. Its own push replaces the card by trl's and carries `training_args.bin`, and with
    `hub_strategy` the optimiser's state too: pickles, which run code where they are read. Here a push is what lies in
    the output folder, without them. What resuming needs stays in the `checkpoint-N` folders of this machine.
    """

    push_in_progress: PushInProgress | None

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:  # Nothing reads them again.
            Path(output_dir or self.args.output_dir, TRAINING_ARGS_NAME).unlink(missing_ok=True)

    def create_model_card(
        self, model_name: str | None = None, dataset_name: str | None = None, tags: str | list[str] | None = None
    ) -> None:
        """
        Writes the card of a SafeLLaVA to the output folder.

        Args:
            model_name (`str`, *optional*): how the card's metadata call the model.
            dataset_name (`str`, *optional*): what it was trained on.
            tags (`str` or `list[str]`, *optional*): more tags.
        """
        if not self.is_world_process_zero():
            return
        source = self.model.config.name_or_path
        known = read_model_card(source)
        card = build_model_card(
            self.model.config,
            training=dataclasses.asdict(self.state) if self.state.log_history else None,
            base_model=source if source and not os.path.isdir(source) else known and known.data.base_model,
            license=None if known is None else known.data.license,
            data=dataset_name,
            model_id=self.hub_model_id or MODEL_ID,
        )
        if isinstance(self.model, PeftModel):
            card.data.library_name = "peft"
        card.data.model_name = model_name or card.data.model_name
        tags = [tags] if isinstance(tags, str) else [*(tags or [])]
        card.data.tags = list(dict.fromkeys([*card.data.tags, *tags, *self._tag_names]))
        card.save(Path(self.args.output_dir, "README.md"))

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Saves the model in the output folder, writes its card and pushes the folder.

        Args:
            commit_message (`str`, *optional*, defaults to `"End of training"`): what the commit is called.
            blocking (`bool`, *optional*, defaults to `True`): whether to return only when all is pushed.
            token (`str`, *optional*): defaults to `hub_token`.
            revision (`str`, *optional*): branch to push to. Defaults to `hub_revision`.
            kwargs (`Any`): those of `create_model_card`.

        Returns:
            `CommitInfo`, or a `Future` of it where `blocking` is `False`; `None` on all processes but the first.
        """
        self.save_model(_internal_call=True)
        self.create_model_card(**kwargs)
        return self.push_output_folder(commit_message, blocking, token, revision)

    def push_output_folder(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
    ) -> Any:
        """Pushes the output folder as it lies; see `push_to_hub`."""
        if not self.is_world_process_zero():
            return None
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token or self.args.hub_token)
        self._finish_current_push()
        return self._upload(self.args.output_dir, commit_message, blocking, token=token, revision=revision)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        strategy = self.args.hub_strategy
        if not self.is_world_process_zero() or strategy == HubStrategy.END:
            return
        unfinished = self.push_in_progress
        if unfinished is not None and unfinished.is_done():
            unfinished = None
        if unfinished is not None and not self.args.hub_always_push:
            return
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        for name in _without_pickles(os.listdir(checkpoint_folder)):
            if Path(checkpoint_folder, name).is_file() and name != "README.md":
                shutil.copy(Path(checkpoint_folder, name), self.args.output_dir)
        message = f"Training in progress, step {self.state.global_step}"
        jobs = [self._upload(self.args.output_dir, message, blocking=False)]
        if strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            warnings.warn(
                f"`hub_strategy={strategy.value!r}` pushes checkpoints without the optimiser's and the random states, "
                "which are pickled; resume from the `checkpoint-N` folders of the output folder.",
                stacklevel=2,
            )
            last = "last-checkpoint" if strategy == HubStrategy.CHECKPOINT else Path(checkpoint_folder).name
            jobs.append(self._upload(checkpoint_folder, f"{message}, checkpoint", blocking=False, path_in_repo=last))
        if unfinished is not None:
            unfinished.jobs.extend(jobs)
        else:
            self.push_in_progress = PushInProgress(jobs)

    def _upload(
        self, folder: str, message: str | None, blocking: bool, token: str | None = None, **options: Any
    ) -> Any:
        return hf_api().upload_folder(  # one for all, which pushes one after the other
            repo_id=self.hub_model_id,
            folder_path=folder,
            commit_message=message,
            token=token or self.args.hub_token,
            run_as_future=not blocking,
            ignore_patterns=list(_UNPUSHED),
            **{"revision": self.args.hub_revision} | {name: value for name, value in options.items() if value},
        )


def _without_pickles(names: list[str]) -> list[str]:
    return list(filter_repo_objects(names, ignore_patterns=list(PICKLES)))

"""trl's SFT trainer with the safety losses of a SafeLLaVA."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, ProcessorMixin
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.trainer_utils import TrainOutput
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

from ..data.encoded_images import keep_images_encoded
from ..data.label_parsing import SOME_RISK
from ..models.image_processor_check import describe_image_processor
from ..models.safety_familiarity import drop_stale_records
from ..models.safety_loss import (
    are_possible,
    excludes,
    has_label,
    label_information,
    safety_row_losses,
    single_classes,
)
from ..models.safety_trust import record_training
from ..pixel_scale import PixelScale
from .adversarial_pixels import attack_pixels
from .checkpoint_keys import OwnKeysMixin
from .class_figures import CLASSES, HARMLESS, ClassFiguresMixin
from .collator import SafeDataCollator
from .learning_check import LearningCheck, find_unlearned, measure_recall
from .publishing import PublishingMixin
from .refusals import check_adapter, check_datasets, check_options, check_robust
from .robust_rows import ATTACKED_ROWS, RobustRows
from .safety_losses import SafeFusedCausalLMOutput, add_safety_losses
from .sharded_record import record_sharded_training
from .training_row import HEAD_ONLY_COLUMN, LABEL_COLUMNS, SAFETY_COLUMNS
from .vision_cache import cache_vision_features


logger = logging.get_logger(__name__)


class SafeSFTTrainer(OwnKeysMixin, PublishingMixin, ClassFiguresMixin, SFTTrainer):
    """
    [`~trl.SFTTrainer`] for a SafeLLaVA: the loss is L_LM + `config.safety_loss_coef` * (CE(level) + CE(type)), as in
    "Safety Alignment for Vision Language Models" (arXiv 2405.13581, section 3.3).

    Each cross-entropy is over all labelled rows of an optimiser step, whatever the number of accumulation steps and
    processes: their mean, and where classes are sets divided as in [`~safe_llava.models.safety_loss`]. Beside trl's
    metrics it logs `safety_loss` (the two added, not weighted), `level_loss`, `type_loss`, `level_accuracy` and
    `type_accuracy`, each the mean over the labelled rows since the last log; in evaluation the same with `eval_` in
    front (`eval_<name>_` where there are several sets), over the whole set, and the recall of each class. A safety
    loss that is not finite stops the run. Of a row whose class is only known to be one of several, the loss is -log of
    the probability of these together; it counts in no accuracy or recall but in `level_set_accuracy` and
    `type_set_accuracy`, the share in which the head finds one of them. In evaluation `level_rows`, `level_set_rows`,
    `type_rows` and `type_set_rows` say how many rows the accuracies rest on.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or `PeftModel`):
            The model; freeze it first with [`train_only_safety_modules`], or pass `peft_config`.
        args ([`~trl.SFTConfig`], *optional*):
            As for trl. Set `max_length=None`, because images cannot be cut.
        train_dataset ([`~datasets.Dataset`] or [`~datasets.IterableDataset`]):
            Rows of `messages` (or `prompt` and `completion`) and `images` (an empty list where a row has none; or
            `image` where each has one), with `safety_level` and `safety_type`, -100 on rows without labels; and
            `possible_levels`, `possible_types` and `head_only` where [`~safe_llava.data.load_safety_dataset`] gives
            them.
        processing_class ([`~transformers.ProcessorMixin`], *optional*):
            The processor. By default loaded from the model's name.
        data_collator (`Callable`, *optional*):
            By default a [`SafeDataCollator`].
        held_out_dataset ([`~datasets.Dataset`], *optional*):
            Labelled rows on which the head is checked when training ends, where it trains. By default the evaluation
            rows, or else rows set aside from `train_dataset` ([`~safe_llava.training.learning_check.set_aside`]).
        vision_feature_cache (`str` or `Path`, *optional*):
            Folder for the features of a frozen vision tower, which then sees each image once in all epochs; see
            [`~safe_llava.training.vision_cache.cache_vision_features`]. By default the tower runs at every step.
        robust (`bool`, *optional*, defaults to `False`):
            Whether the head trains against attacks: in training a share of the rows is changed, as
            [`~safe_llava.training.robust_rows.RobustRows`] draws it.
        kwargs (`Any`):
            Whatever else [`~trl.SFTTrainer`] takes.

    Raises:
        ValueError: if an option has no effect, would let the head read answers, or leave the safety losses out; if a
            data set lacks a column; if the head trains and no row has labels; or if `vision_feature_cache` is set and
            the vision tower trains; or if `robust` has nothing to train.

    After training of weights that verdicts rest on, `unlearned` says what speaks against the head on the held-out
    rows. Where nothing does, the model's config has a record of the training, and its verdicts are trusted.
    """

    unlearned: list[str]
    train_dataset: Any
    _tag_names = ["trl", "sft", "safe-llava"]  # noqa: RUF012
    _signature_columns: list[str] | None

    def __init__(
        self,
        model: PreTrainedModel | nn.Module,
        args: SFTConfig | None = None,
        train_dataset: Dataset | None = None,
        processing_class: ProcessorMixin | None = None,
        data_collator: Callable | None = None,
        held_out_dataset: Dataset | None = None,
        vision_feature_cache: str | Path | None = None,
        robust: bool = False,
        **kwargs: Any,
    ):
        check_options(args, kwargs)
        check_datasets(train_dataset, kwargs.get("eval_dataset"))
        held_out_dataset = kwargs.get("eval_dataset") if held_out_dataset is None else held_out_dataset
        super().__init__(
            model=model,
            args=args,
            train_dataset=keep_images_encoded(train_dataset),  # trl reads the first row.
            processing_class=processing_class,
            data_collator=data_collator,
            **kwargs,
        )
        if data_collator is None:
            self.data_collator = SafeDataCollator(
                self.processing_class, self.args.max_length, self.args.pad_to_multiple_of
            )
        # What trains is settled once an adapter has frozen the rest.
        self.learning_check = LearningCheck(self.model, self.train_dataset, held_out_dataset, self.args.seed)
        if isinstance(self.model, PeftModel):
            check_adapter(self.model, self.learning_check.is_needed)
        self.train_dataset = self.learning_check.train_dataset
        self.base_model = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        self.robust = robust
        if robust:
            is_sharded = self.is_fsdp_enabled or is_deepspeed_zero3_enabled()
            check_robust(self.base_model, data_collator, vision_feature_cache, is_sharded)
        self.unlearned = []
        add_safety_losses(self.base_model)
        if vision_feature_cache is not None:
            cache_vision_features(self.base_model, vision_feature_cache)

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """As its parent; then the head is checked, where weights trained that verdicts rest on."""
        if not self.learning_check.is_needed or not self.base_model.config.use_safety_head:
            return super().train(*args, **kwargs)
        self.base_model.config.safety_training = None
        drop_stale_records(self.base_model.config)
        output = super().train(*args, **kwargs)
        self.unlearned = self._check_learning()
        if self.unlearned:
            logger.warning(
                f"The safety head has not learned: {'; '.join(self.unlearned)}. Its verdicts will not be trusted, and "
                "every image counts as risky. Train longer, or on more and better labelled rows."
            )
        return output

    def _check_learning(self) -> list[str]:
        """Records the training in the model's config, or says what speaks against it."""
        if self.learning_check.held_out_dataset is None:
            return ["there are no held-out rows to check it on; pass `held_out_dataset`"]
        # One for evaluation may be kept, with other rows.
        batches = self.get_test_dataloader(self.learning_check.held_out_dataset)
        self.evaluation_loop(batches, "Held-out rows", prediction_loss_only=True, metric_key_prefix="held_out")
        held_out = {task: measure_recall(self._eval_rows[task], task) for task in CLASSES}
        if reasons := find_unlearned(held_out):
            return reasons
        seen = {
            "rows": self.learning_check.rows,
            "held_out": held_out,
            "image_processor": describe_image_processor(self.processing_class),
        }
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            record_sharded_training(self.accelerator, self.model, self.base_model.config, **seen)
        else:
            record_training(self.base_model, **seen)
        return []

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            self._signature_columns = [*(self._signature_columns or []), *LABEL_COLUMNS, HEAD_ONLY_COLUMN]

    def _get_dataloader(self, dataset: Dataset, *args: Any, **kwargs: Any) -> DataLoader:
        """As its parent; images stay encoded until the collator reads them."""
        return super()._get_dataloader(keep_images_encoded(dataset), *args, **kwargs)

    def get_train_dataloader(self) -> DataLoader:
        """As its parent; with `robust` a share of the rows is changed, of which evaluation knows nothing."""
        plain = self.data_collator
        if self.robust:
            self.data_collator = replace(plain, robust=RobustRows(self.args.seed))
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = plain

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple:
        """As its parent; also adds up what the labels of the optimiser step say, over all processes."""
        batches, num_items_in_batch = super().get_batch_samples(epoch_iterator, num_batches, device)
        information = [_sum_information(batch).to(device) for batch in batches if "safety_level" in batch]
        if information:
            total = self.accelerator.reduce(torch.stack(information).sum(dim=0), reduction="sum")
            self._information_in_step = torch.where(total > 0, total, 1)
        return batches, num_items_in_batch

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """
        trl's loss and metrics, and those of the safety head, from one forward pass.

        Args:
            model (`nn.Module`): the wrapped model.
            inputs (`dict[str, torch.Tensor]`): a batch of the collator.
            return_outputs (`bool`, *optional*, defaults to `False`):
                Whether to return the plain outputs too (deprecated by trl; costs a second pass).
            num_items_in_batch (`int` or `torch.Tensor`, *optional*):
                Label tokens of the optimiser step; `None` in evaluation.

        Returns:
            `torch.Tensor` or `tuple[torch.Tensor, Any]`: the loss, or the loss and the outputs.
        """
        fused: list[SafeFusedCausalLMOutput] = []
        attacked_rows = inputs.pop(ATTACKED_ROWS, None)
        if attacked_rows is not None and "safety_level" in inputs:
            with self.accelerator.autocast():
                pixels = attack_pixels(self.base_model, PixelScale(self.processing_class), inputs, attacked_rows)
            inputs = {**inputs, "pixel_values": pixels}

        def keep_outputs(**kwargs: Any) -> Any:
            outputs = model(**kwargs)
            fused.append(outputs)
            return outputs

        result = super().compute_loss(keep_outputs, inputs, return_outputs, num_items_in_batch)
        level_loss, type_loss = fused[0].level_loss, fused[0].type_loss
        if (level_loss is None) != (type_loss is None):
            raise ValueError("A batch has only one of `safety_level` and `safety_type`; -100 stands for no label.")
        if level_loss is None or type_loss is None:
            return result
        self._log_safety(fused[0], inputs)
        losses = torch.stack([level_loss, type_loss])
        if num_items_in_batch is not None:
            # From means over this batch to its share of the means over the step; DDP averages over processes.
            share = _sum_information(inputs) / self._information_in_step
            losses = losses * share * self.accelerator.num_processes
        safety_loss = self.model.config.safety_loss_coef * losses.sum()
        return (result[0] + safety_loss, result[1]) if return_outputs else result + safety_loss

    @torch.no_grad()
    def _log_safety(self, outputs: SafeFusedCausalLMOutput, inputs: dict[str, torch.Tensor]) -> None:
        """Keep one figure per labelled row, so that trl's average over the list is the average over the rows."""
        mode = "train" if self.model.training else "eval"
        metrics: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for name in ("level", "type"):
            logits, labels = outputs[f"{name}_logits"], inputs[f"safety_{name}"]
            metrics[f"{name}_loss"] = (safety_row_losses(logits, labels), has_label(labels))
            predictions, classes = logits.argmax(dim=-1), single_classes(labels)
            is_right = are_possible(predictions, labels).float()
            metrics[f"{name}_accuracy"] = (is_right, classes != -100)
            metrics[f"{name}_set_accuracy"] = (is_right, has_label(labels) & (classes == -100))
            is_some_risk = (classes == -100) & excludes(labels, HARMLESS[name])
            kept = torch.stack([predictions, torch.where(is_some_risk, SOME_RISK, classes)], dim=1)
            found, wanted = self.accelerator.gather_for_metrics(kept).unbind(1)
            self.keep_classes(mode, name, *(rows[wanted != -100].tolist() for rows in (found, wanted)))
        (level_loss, has_level), (type_loss, has_type) = metrics["level_loss"], metrics["type_loss"]
        metrics["safety_loss"] = (level_loss + type_loss, has_level & has_type)

        rows = torch.stack([torch.stack([values, labelled], dim=1) for values, labelled in metrics.values()], dim=1)
        for name, (values, labelled) in zip(metrics, self.accelerator.gather_for_metrics(rows).permute(1, 2, 0)):
            if labelled.any():
                values = values[labelled.bool()]
                if not values.isfinite().all():
                    raise ValueError(
                        f"`{name}` is not finite at step {self.state.global_step}: the safety modules have diverged. "
                        "Start again from an earlier checkpoint with a lower `learning_rate`."
                    )
                self._metrics[mode][name].extend(values.tolist())


def _sum_information(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the rows say about their level and about their type, of shape `(2,)`; of one class each, their number."""
    return torch.stack([label_information(batch[name]).sum() for name in SAFETY_COLUMNS])

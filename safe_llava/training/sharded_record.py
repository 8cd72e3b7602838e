"""The record of a training whose weights are spread over processes, which no process can digest alone."""

import copy
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from ..family import FAMILY
from ..models.safety_configuration import SafetyConfigMixin
from ..models.safety_familiarity import drop_stale_records
from ..models.safety_trust import record_training


def record_sharded_training(
    accelerator: Accelerator, model: nn.Module, config: SafetyConfigMixin, **seen: Any
) -> None:
    """
    As [`~safe_llava.models.safety_trust.record_training`], for a model under FSDP or DeepSpeed. All processes call it.

    Args:
        accelerator (`Accelerator`): knows how to gather the weights.
        model (`nn.Module`): the wrapped model.
        config ([`SafetyConfigMixin`]): gets the record, on every process.
        seen (`dict`, *optional*): what the training saw and reached.
    """
    weights = accelerator.get_state_dict(model)
    records = [record_weights(config, weights, **seen) if accelerator.is_main_process else None]
    config.safety_training = broadcast_object_list(records)[0]
    drop_stale_records(config)


def record_weights(config: SafetyConfigMixin, weights: dict[str, torch.Tensor], **seen: Any) -> dict[str, Any]:
    """The record of a full model's weights, from those that its guard has."""
    guard = FAMILY[config.model_type].guard(copy.deepcopy(config))
    guard.load_state_dict({name: weights[name] for name in guard.state_dict()}, assign=True)
    return record_training(guard, **seen)

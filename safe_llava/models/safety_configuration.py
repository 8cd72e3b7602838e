"""What the configurations of all SafeLLaVAs share: the safety modules, the policy that is shipped, and the code."""

import copy
import math
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

from .safety_labels import SAFETY_TYPES


SAFE_MODEL_TYPES = ("safe_llava", "safe_llava_next", "safe_llava_onevision")
"""The `model_type` of every SafeLLaVA; behind "safe_" stands that of the LLaVA it is made from."""
_LABEL_IDS = {name: index for index, name in enumerate(SAFETY_TYPES)}
_UNNAMED = {"LABEL_0": 0, "LABEL_1": 1}
CUSTOM_PIPELINES = {
    "safety-classification": {
        "impl": "pipeline_safe_llava.SafetyClassificationPipeline",
        "pt": ["AutoModelForImageClassification"],
        "type": "multimodal",
    },
    "image-text-to-text": {
        "impl": "pipeline_safe_llava.SafeLlavaImageTextToTextPipeline",
        "pt": ["AutoModelForImageTextToText"],
        "type": "multimodal",
    },
}


def build_auto_map(model_type: str, is_guard: bool = False) -> dict[str, str]:
    """
    The Auto classes that can load a SafeLLaVA, each with the file and class that are shipped for it.

    Args:
        model_type (`str`): one of [`SAFE_MODEL_TYPES`].
        is_guard (`bool`, *optional*, defaults to `False`): whether the checkpoint is that of a guard, which cannot
            answer.
    """
    stem = _class_stem(model_type)
    generating = f"modeling_{model_type}.{stem}ForConditionalGeneration"
    guard = f"modeling_{model_type}.{stem}ForSafetyClassification"
    auto_map = {
        "AutoConfig": f"configuration_{model_type}.{stem}Config",
        "AutoModel": guard if is_guard else generating,
        "AutoModelForImageClassification": guard,
        "AutoProcessor": f"processing_{model_type}.{stem}Processor",
    }
    generators = ("AutoModelForImageTextToText", "AutoModelForMultimodalLM")
    return auto_map if is_guard else auto_map | dict.fromkeys(generators, generating)


def _class_stem(model_type: str) -> str:
    return "".join(word.title() for word in model_type.split("_"))


@strict
class SafetyConfigMixin(PreTrainedConfig):
    r"""
    Adds the safety modules of "Safety Alignment for Vision Language Models" (arXiv 2405.13581; details from arXiv
    2411.11543) to the configuration of a LLaVA, before which it goes among the bases.

    Args:
        num_safety_tokens (`int`, *optional*, defaults to 64):
            Length of each of the two independent sets of learned safety tokens (paper, section 3.2). 0 for none.
        safety_projector_type (`"c_abstractor"` or `"mlp"`, *optional*, defaults to `"c_abstractor"`):
            How vision features become the safety features that the head reads: Honeybee's C-Abstractor (the paper's
            choice) or a two-layer MLP on every patch.
        num_safety_visual_tokens (`int`, *optional*, defaults to 576):
            Number Q of visual tokens the C-Abstractor pools an image into. A perfect square.
        safety_projector_hidden_size (`int`, *optional*):
            Inner width of the safety projector. Defaults to the vision tower's width + 64, as in the paper's code.
        use_safety_head (`bool`, *optional*, defaults to `True`):
            Whether the model assesses images. Without a head there is no safety projector either.
        safety_head_pooling (`"question"` or `"first"`, *optional*, defaults to `"question"`):
            The text query of the head's cross-attention. `"question"` pools over all text tokens of the prompt with
            learned weights and lets the query gate what was attended to, so that the question counts; `"first"` takes
            the first token, as the paper's code does, and no gate.
        safety_head_num_attention_heads (`int`, *optional*, defaults to 8):
            Attention heads of the safety head. Divides the language model's `hidden_size`.
        safety_feature_dropout (`float`, *optional*, defaults to 0.0):
            Share of the vision features that the safety projector does not see in a training step, from 0 to below 1.
            Not in the paper. It helps where few styles of images would be learned by heart.
        safety_feature_layer (`int` or `list[int]`, *optional*):
            The hidden states of the vision tower that the head reads, several side by side. Defaults to
            `vision_feature_layer`, and stays where it is when that is moved: on features of another layer, a language
            model forgets its alignment ("Unfair Alignment", arXiv 2411.04291), and the head would be blind.
        safety_tiles (`"base"` or `"all"`, *optional*, defaults to `"base"`):
            What the head reads of an image that the model cuts: the tile that shows all of it, or its parts as well,
            in which a small risk is larger. The guard's vision tower then sees all tiles, too.
        safety_loss_coef (`float`, *optional*, defaults to 10.0):
            Weight of the two classification losses beside the language-model loss (paper, section 3.3).
        output_safety_logits (`bool`, *optional*, defaults to `True`):
            Whether `forward` runs the safety head. `generate` runs it once, before the answer, whatever is set here.
        safety_training (`dict`, *optional*):
            What a finished training of the safety modules saw, and by what the model knows its weights again: see
            [`~safe_llava.models.safety_trust.record_training`]. Without it every image counts as high risk.
        safety_familiarity (`dict`, *optional*):
            By what the model knows images that are unlike those it was calibrated on: see
            [`~safe_llava.models.safety_familiarity.Familiarity`]. Without it every image counts as familiar.
        safety_policy (`dict`, *optional*):
            A [`SafetyPolicy`] as a dictionary; `None` leaves every answer unsteered. Set it with
            [`~SafeLlavaAssessmentMixin.set_safety_policy`], which also fills `safety_policy_token_ids`.
        safety_policy_token_ids (`dict`, *optional*):
            The policy's texts as token ids, for `generate` is given no tokenizer.
        num_labels, id2label, label2id (*optional*):
            Fixed: the seven risk types, for the policy, its hints and the verdicts are written in them.

    Raises:
        ValueError: if a size is out of range or does not divide, or if the labels are not the risk types; the message
            names the field.
    """

    num_safety_tokens: int = 64
    safety_projector_type: Literal["c_abstractor", "mlp"] = "c_abstractor"
    num_safety_visual_tokens: int = 576
    safety_projector_hidden_size: int | None = None
    use_safety_head: bool = True
    safety_head_pooling: Literal["question", "first"] = "question"
    safety_head_num_attention_heads: int = 8
    safety_feature_dropout: float = 0.0
    safety_feature_layer: int | list[int] | None = None
    safety_tiles: Literal["base", "all"] = "base"
    safety_loss_coef: float = 10.0
    output_safety_logits: bool = True
    safety_training: dict[str, Any] | None = None
    safety_familiarity: dict[str, Any] | None = None
    safety_policy: dict[str, Any] | None = None
    safety_policy_token_ids: dict[str, Any] | None = None

    def __post_init__(self, **kwargs):
        if getattr(self, "architectures", None) is None:
            self.architectures = [f"{_class_stem(self.model_type)}ForConditionalGeneration"]
        self.id2label, self.label2id = dict(enumerate(SAFETY_TYPES)), dict(_LABEL_IDS)
        _check_labels("num_labels", kwargs.get("num_labels"))
        for name in ("vision_config", "text_config"):
            check_model_type(name, getattr(self, name))
        super().__post_init__(**{name: value for name, value in kwargs.items() if name != "custom_pipelines"})
        self.auto_map = build_auto_map(self.model_type)
        # Where the package is installed its import registers the task; transformers would refuse this entry there
        # without `trust_remote_code`.
        if __name__.startswith("transformers_modules."):
            self.custom_pipelines = copy.deepcopy(CUSTOM_PIPELINES)

        if self.safety_feature_layer is None:
            self.safety_feature_layer = self.vision_feature_layer
        if self.safety_projector_hidden_size is None:
            self.safety_projector_hidden_size = self.vision_config.hidden_size + 64
        if self.safety_tiles == "all" and not hasattr(self, "image_grid_pinpoints"):
            raise ValueError(f'`safety_tiles` can only be "base": a {self.model_type} cuts no images.')
        if self.num_safety_tokens < 0:
            raise ValueError(f"`num_safety_tokens` must be 0 or more, got {self.num_safety_tokens}.")
        if math.isqrt(self.num_safety_visual_tokens) ** 2 != self.num_safety_visual_tokens:
            raise ValueError(
                f"`num_safety_visual_tokens` must be a perfect square (576 = 24 x 24), got "
                f"{self.num_safety_visual_tokens}."
            )
        if self.text_config.hidden_size % self.safety_head_num_attention_heads:
            raise ValueError(
                f"`safety_head_num_attention_heads` ({self.safety_head_num_attention_heads}) must divide the language "
                f"model's `hidden_size` ({self.text_config.hidden_size})."
            )

    def __setattr__(self, name: str, value: Any) -> None:
        # Here, for `from_pretrained` sets what it is given after the config is made.
        _check_labels(name, value)
        if name == "safety_feature_dropout" and not 0 <= value < 1:
            raise ValueError(f"`safety_feature_dropout` must be from 0 to below 1, got {value}.")
        super().__setattr__(name, value)


def check_model_type(name: str, part: Any) -> None:
    """
    Raises a `ValueError` where the vision tower or the language model is of a kind that is not known yet.

    Args:
        name (`str`): `"vision_config"` or `"text_config"`.
        part (`Any`): what the config has under this name.
    """
    model_type = part.get("model_type") if isinstance(part, dict) else None
    if model_type is not None and str(model_type) not in CONFIG_MAPPING:
        raise ValueError(
            f"`{name}.model_type` is {model_type!r:.100}, which transformers does not know. Import the module that "
            "registers it with `AutoConfig` and `AutoModel` first; where the package is installed, "
            "`SAFE_LLAVA_IMPORT=that.module` in the environment does so for every command."
        )


def _check_labels(name: str, value: Any) -> None:
    """Refuses labels that the head does not have. What transformers puts where nothing is said is no choice."""
    if name == "num_labels":
        fixed = value in (None, len(SAFETY_TYPES))
    elif name == "id2label" and isinstance(value, dict):
        fixed = {str(key): label for key, label in value.items()} in (
            {str(index): label for label, index in labels.items()} for labels in (_LABEL_IDS, _UNNAMED)
        )
    elif name == "label2id":
        fixed = value in (None, _LABEL_IDS, _UNNAMED)
    else:
        return
    if not fixed:
        raise ValueError(
            f"`{name}` cannot be {value!r:.200}: a SafeLLaVA classifies into the {len(SAFETY_TYPES)} risk types of "
            f"its method ({', '.join(SAFETY_TYPES)}), which its policy and verdicts are written in. Leave it out."
        )


# `transformers serve` and trl look for model types in these static tables, also where the code came with a checkpoint.
for _names in (MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES):
    for _model_type in SAFE_MODEL_TYPES:
        _names.setdefault(_model_type, f"{_class_stem(_model_type)}ForConditionalGeneration")

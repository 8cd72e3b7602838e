"""The pipeline task "safety-classification": images, with or without a question, to verdicts and decisions."""

from dataclasses import asdict
from typing import Any, Literal

from transformers.pipelines import ImageTextToTextPipeline, Pipeline
from transformers.utils.chat_template_utils import Chat

from .image_batches import join_images
from .image_crops import add_crops
from .image_reading import DOWNLOAD_SECONDS, read_images
from .safety_configuration import SAFE_MODEL_TYPES
from .safety_policy import SafetyPolicy
from .sample_chats import require_known_parts, to_message


class SafetyClassificationPipeline(Pipeline):
    """
    Safety pipeline of [`SafeLlavaForSafetyClassification`]. Takes the checkpoint of a guard or of a full SafeLLaVA, of
    which it reads only what a guard needs.

    Example:

    ```python
    >>> import safe_llava  # or pass trust_remote_code=True where the package is not installed
    >>> from transformers import pipeline

    >>> pipe = pipeline("safety-classification", model="org/safe-llava")
    >>> pipe("image.png")["level"]
    'none'
    >>> pipe([{"image": "image.png", "text": "Who is this?"}, "other.png"], batch_size=8)[0]["decision"]["action"]
    'hint'
    ```"""

    _load_processor = True
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = False

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.model.check_ready(self.processor)

    def _sanitize_parameters(
        self,
        safety_policy: SafetyPolicy | dict | Literal[False] | None = None,
        timeout: float | None = None,
        tiles: int | None = None,
    ) -> tuple[dict, dict, dict]:
        given = {"timeout": timeout, "tiles": tiles}
        preprocess = {name: value for name, value in given.items() if value is not None}
        return preprocess, {} if safety_policy is None else {"safety_policy": safety_policy}, {}

    def __call__(self, inputs: Any, **kwargs: Any) -> dict[str, Any] | list[dict[str, Any]]:
        """
        Assesses one sample or a list of samples.

        Args:
            inputs (`Any` or `list`):
                A sample is an image, assessed with a neutral question: everything that
                [`~safe_llava.models.image_reading.read_image`] takes, such as a path, a URL or a `PIL.Image.Image`; or
                a dictionary with any of `image` (an image), `images` (a list of images) and `text` (the question);
                or a chat (a list of messages). A field of images that is there and empty is refused: leave it out of
                a sample that is text alone. Datasets and generators of samples give results one by one.
            safety_policy ([`SafetyPolicy`], `dict` or `False`, *optional*):
                Whose temperature and decisions to take, as in `assess`. Defaults to the policy of the checkpoint.
            batch_size (`int`, *optional*, defaults to 1): samples that are assessed together.
            timeout (`float`, *optional*, defaults to 30.0):
                Seconds to wait for an image from the web; chats wait as long as the default.
            tiles (`int`, *optional*):
                Also assess `tiles` times `tiles` overlapping crops of each image, for risks that are small in it: the
                gravest verdict decides. Costs as much as that many images more. Not for chats, nor for models that
                cut images themselves.

        Returns:
            `dict` or `list[dict]`: for each sample what [`SafetyVerdict.to_list`] gives, and as `decision` the
            [`SafetyDecision`] of the policy: `action`, `level`, `types` and `texts`.
        """
        return super().__call__(inputs, **kwargs)

    def preprocess(
        self, inputs: Any, timeout: float | None = DOWNLOAD_SECONDS, tiles: int | None = None
    ) -> dict[str, Any]:
        # transformers wraps chats as `Chat`, but not those in a list that begins with another kind of sample.
        messages = inputs.messages if isinstance(inputs, Chat) else inputs
        if isinstance(messages, list):
            if tiles is not None:
                raise ValueError("`tiles` is not for chats. Pass images, or samples of `image` and `text`.")
            require_known_parts(messages)
        else:
            *images, question = to_message(messages, timeout)["content"]
            seen = add_crops([part["image"] for part in images], tiles, self.model.cuts_images)
            messages = [
                {"role": "user", "content": [*({"type": "image", "image": image} for image in seen), question]}
            ]
        encoded = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        # transformers cannot batch rows of which some hold no image, so rows stay whole until `_forward`.
        return {"rows": [dict(encoded)]}

    def _forward(
        self, model_inputs: dict[str, Any], safety_policy: SafetyPolicy | dict | Literal[False] | None = None
    ) -> dict[str, Any]:
        rows = model_inputs["rows"]
        # Batched rows come as a list of lists.
        rows = [row[0] if isinstance(row, list) else row for row in rows]
        prompts = [{name: row[name][0] for name in ("input_ids", "attention_mask")} for row in rows]
        inputs = dict(self.processor.tokenizer.pad(prompts, return_tensors="pt"))
        names = ("pixel_values", *self.model.image_arguments)
        images = join_images([{name: row[name] for name in names if name in row} for row in rows if names[0] in row])
        if images:
            inputs |= {**images, "pixel_values": images["pixel_values"].to(self.dtype)}
        verdict = self.model.assess(**inputs, safety_policy=safety_policy)
        decisions = self.model.decide(verdict, safety_policy)
        results = [row | {"decision": asdict(decision)} for row, decision in zip(verdict.to_list(), decisions)]
        return {"results": results}

    def postprocess(self, model_outputs: dict[str, Any]) -> dict[str, Any]:
        results = model_outputs["results"]
        return results[0] if isinstance(results, list) else results


class SafeLlavaImageTextToTextPipeline(ImageTextToTextPipeline):
    """
    transformers' pipeline, in which the images beside a prompt are read as those in a chat are. (It would load them
    itself, before the processor sees them.) Models other than a SafeLLaVA are served as ever.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.model.config.model_type in SAFE_MODEL_TYPES:
            self.model.check_ready(self.processor)

    def _sanitize_parameters(self, **kwargs: Any) -> Any:
        if self.model.config.model_type not in SAFE_MODEL_TYPES:
            return super()._sanitize_parameters(**kwargs)
        # transformers would hand it to the processor, which leaves out what it does not know.
        given = {"safety_policy": kwargs.pop("safety_policy")} if "safety_policy" in kwargs else {}
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        return preprocess, forward | given, postprocess

    def _forward(self, model_inputs: Any, generate_kwargs: dict[str, Any] | None = None, **policy: Any) -> Any:
        if policy.keys() & (generate_kwargs or {}).keys():
            raise ValueError("`safety_policy` is given twice: by itself and in `generate_kwargs`")
        return super()._forward(model_inputs, {**(generate_kwargs or {}), **policy})

    def preprocess(self, inputs: Any = None, timeout: float | None = DOWNLOAD_SECONDS, **kwargs: Any) -> Any:
        if self.model.config.model_type in SAFE_MODEL_TYPES and isinstance(inputs, dict) and "images" in inputs:
            inputs = {**inputs, "images": read_images(inputs["images"], timeout)}
        return super().preprocess(inputs, timeout=timeout, **kwargs)

"""Run as a process of its own: loads models in every way that users do, and prints what they say as JSON."""

import json
import sys


def main(mode: str, image: str, *sources: str) -> None:
    if mode == "without-package":
        sys.modules["safe_llava"] = None  # as if it were not installed
        options = {"trust_remote_code": True}
    else:
        import safe_llava  # noqa: F401

        options = {}
    import torch

    torch.set_num_threads(1)
    said = {source: load_and_ask(source, image, options) for source in sources}
    said["org/guard"] = {"guard": judge(load_guard("org/guard", options), image)}
    push_again(sources[0], f"org/again-{mode}", options)
    print(json.dumps(said))


def load_and_ask(source: str, image: str, options: dict) -> dict:
    from transformers import (
        AutoModel,
        AutoModelForImageClassification,
        AutoModelForImageTextToText,
        AutoProcessor,
        pipeline,
    )
    from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES

    generate_kwargs = {"max_new_tokens": 8, "do_sample": False}
    content = [{"type": "image", "path": image}, {"type": "text", "text": "What is this?"}]
    messages = [{"role": "user", "content": content}]
    processor = AutoProcessor.from_pretrained(source, **options)
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    classes, answers = [type(processor)], {}
    for auto_class in (AutoModel, AutoModelForImageTextToText):
        model = auto_class.from_pretrained(source, **options)
        output = model.generate(**inputs, **generate_kwargs)
        new_tokens = output[0, inputs["input_ids"].shape[1] :]
        classes.append(type(model))
        answers[auto_class.__name__] = processor.decode(new_tokens, skip_special_tokens=True).strip()

    pipe = pipeline("image-text-to-text", model=source, **options)
    [result] = pipe(text=messages, return_full_text=False, generate_kwargs=generate_kwargs)
    answers["pipeline"] = result["generated_text"].strip()
    classes.append(type(AutoModelForImageClassification.from_pretrained(source, **options)))
    return {
        "served_as": MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.get(model.config.model_type),
        "classes": [f"{cls.__module__}.{cls.__name__}" for cls in classes],
        "answers": answers,
        "verdict": model.assess(**inputs).to_list()[0],
        "guard": judge(load_guard(source, options), image),
    }


def load_guard(source: str, options: dict):
    from transformers import pipeline

    return pipeline("safety-classification", model=source, device="cpu", **options)


def judge(guard, image: str) -> list[dict]:
    """The same picture alone and with its question, in one batch."""
    return guard([image, {"image": image, "text": "What is this?"}], batch_size=2)


def push_again(source: str, target: str, options: dict) -> None:
    from transformers import AutoModel

    AutoModel.from_pretrained(source, **options).push_to_hub(target)


if __name__ == "__main__":
    main(*sys.argv[1:])

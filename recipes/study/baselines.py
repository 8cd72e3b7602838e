"""The simpler ways to be safe. Each takes the study, its base with the processor, and a seed, and defends the base."""

from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import PreTrainedModel, ProcessorMixin

from safe_llava.inference import answer_dataset
from safe_llava.models.safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.models.safety_texts import DEFAULT_REFUSALS

from .defended import Answers, Defended
from .study_world import StudyWorld


def base(study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, seed: int) -> Defended:
    """The base as it is."""
    return Defended(model, processor)


def system_prompt(study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, seed: int) -> Defended:
    """The base under a system prompt in words of its world."""
    return Defended(model, processor, partial(answer_dataset, system_prompt=study.system_prompt))


def self_guard(study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, seed: int) -> Defended:
    """The base is asked first whether there is a risk; where it says yes, a refusal takes the answer's place."""
    return Defended(model, processor, partial(_answer_if_no_risk, study.guard_question))


def linear_probe(study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, seed: int) -> Defended:
    """A logistic regression on the frozen tower's features, fitted on stage 1's rows, blocks what it finds risky."""
    train = _with_one_image(study.world.build_dataset("train", study.num_probe_rows, stage="stage1"))
    features = _vision_features(model, processor, train)
    probes = {name: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)) for name in _CLASSES}
    for name, probe in probes.items():
        probe.fit(features, train[f"safety_{name}"][:])
    return Defended(model, processor, partial(_answer_if_probed_safe, probes))


_CLASSES = {"level": SAFETY_LEVELS, "type": SAFETY_TYPES}


def _answer_if_no_risk(
    guard_question: str, model: PreTrainedModel, processor: ProcessorMixin, rows: Dataset
) -> Answers:
    asked = rows.map(partial(_ask_for_risk, guard_question), load_from_cache_file=False)
    verdicts = answer_dataset(model, processor, asked)
    answers = answer_dataset(model, processor, rows)
    return [
        answer | {"answer": _refusal("illegal_risk")} if verdict["answer"].startswith("Yes") else answer
        for answer, verdict in zip(answers, verdicts)
    ]


def _answer_if_probed_safe(
    probes: dict[str, Pipeline], model: PreTrainedModel, processor: ProcessorMixin, rows: Dataset
) -> Answers:
    answers = answer_dataset(model, processor, rows)
    seen = [i for i, images in enumerate(rows["images"]) if images]
    if not seen:
        return answers
    found = _vision_features(model, processor, rows.select(seen))
    for name, probe in probes.items():
        for row, label, probs in zip(seen, probe.predict(found).tolist(), probe.predict_proba(found)):
            answers[row] |= {name: label, f"{name}_probs": _all_classes(probs, probe.classes_, name)}
    for row in seen:
        if answers[row]["type"] != SAFE_TYPE_ID:
            answers[row]["answer"] = _refusal(SAFETY_TYPES[answers[row]["type"]])
    return answers


def _ask_for_risk(guard_question: str, row: dict[str, Any]) -> dict[str, Any]:
    asked = {"role": "user", "content": f"{row['messages'][-2]['content']} {guard_question}"}
    return {"messages": [*row["messages"][:-2], asked, row["messages"][-1]]}


def _refusal(safety_type: str) -> str:
    return DEFAULT_REFUSALS[safety_type]


def _with_one_image(dataset: Dataset) -> Dataset:
    return dataset.select([i for i, images in enumerate(dataset["images"]) if len(images) == 1])


@torch.no_grad()
def _vision_features(model: PreTrainedModel, processor: ProcessorMixin, dataset: Dataset) -> np.ndarray:
    """
    Mean and maximum over the patches of what LLaVA's projector reads, of shape `(rows, 2 * hidden_size)`. Of several
    images the maximum.
    """
    features = []
    for images in dataset["images"]:
        pixels = processor.image_processor(images, return_tensors="pt")["pixel_values"]
        states = model.model.vision_tower(pixels.to(model.device), output_hidden_states=True).hidden_states
        patches = states[model.config.vision_feature_layer]
        if model.config.vision_feature_select_strategy == "default":
            patches = patches[:, 1:]
        features.append(torch.cat([patches.mean(dim=1), patches.amax(dim=1)], dim=1).amax(dim=0))
    return torch.stack(features).cpu().numpy()


def _all_classes(probs: np.ndarray, classes: np.ndarray, name: str) -> list[float]:
    full = np.zeros(len(_CLASSES[name]))
    full[classes] = probs
    return full.tolist()

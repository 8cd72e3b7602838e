"""An ONNX file of a guard at work on onnxruntime, and whether it still computes what it did when it was exported."""

from typing import Any

import numpy as np
import onnxruntime


TOLERANCE = 0.1
"""As [`~safe_llava.models.safety_trust.TOLERANCE`]: how far known answers may lie off, in units of their size."""
_LOGITS = ("raw_level_logits", "type_logits")
_NUM_PROBES, _NUM_WORDS = 2, 32


def open_session(encoded: bytes, num_threads: int = 0) -> onnxruntime.InferenceSession:
    """
    Args:
        encoded (`bytes`): the ONNX file.
        num_threads (`int`, *optional*, defaults to 0): of onnxruntime; 0 takes every core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # Where several processes share the cores, or decode beside it, spinning threads take them from the others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])


def answer_probes(session: onnxruntime.InferenceSession, vocab_size: int) -> dict[str, list[list[float]]]:
    """
    What the guard makes of two drawn patterns and of words from all over the vocabulary: a known-answer test, as
    [`~safe_llava.models.safety_known_answers.answer_probes`], of the file and of the machine that it runs on.
    """
    channels, height, width = find_image_shape(session)
    waves = np.cos(0.37 * np.arange(_NUM_PROBES * channels * height * width)) + np.sin(
        np.arange(_NUM_PROBES * channels * height * width) / 11
    )
    ids = np.linspace(0, vocab_size - 1, _NUM_PROBES * _NUM_WORDS).astype(np.int64)
    of_each = np.arange(_NUM_PROBES)
    inputs = {
        "input_ids": ids.reshape(_NUM_WORDS, _NUM_PROBES).T,
        "text_mask": np.ones((_NUM_PROBES, _NUM_WORDS), dtype=bool),
        "pixel_values": waves.astype(np.float32).reshape(_NUM_PROBES, channels, height, width),
        "images": of_each,
        "image_rows": of_each,
    }
    return {name: answer.tolist() for name, answer in zip(_LOGITS, session.run(_LOGITS, inputs))}


def measure_deviation(answers: dict[str, Any], known: dict[str, Any]) -> float:
    """How far answers lie from known ones, in units of these: the larger of both kinds."""
    deviations = []
    for name in _LOGITS:
        # A constant on all logits of a classifier changes no probability.
        own, other = (np.asarray(by[name]) - np.mean(by[name], axis=1, keepdims=True) for by in (answers, known))
        deviations.append(float(np.linalg.norm(own - other)) / max(float(np.linalg.norm(other)), 1e-6))
    return float(np.nan_to_num(deviations, nan=np.inf).max())


def find_image_shape(session: onnxruntime.InferenceSession) -> tuple[int, int, int]:
    """Channels, height and width of the images that the file takes."""
    shapes = {given.name: given.shape for given in session.get_inputs()}
    _, channels, height, width = shapes["pixel_values"]
    return channels, height, width

"""Which verdicts can be trusted: those of the weights that a finished training on labelled rows left."""

from typing import Any

from transformers import PreTrainedModel

from .safety_familiarity import drop_stale_records, find_damage
from .safety_known_answers import answer_probes, encode_answers, measure_deviation
from .safety_weight_digest import digest_weights, matches_digest


# How far answers to the probes may lie from the known ones, in units of their size. Half precision moves them by 0.005
# on the miniature, 8-bit weights by 0.02.
TOLERANCE = 0.1


def record_training(model: PreTrainedModel, **seen: Any) -> dict[str, Any]:
    """
    Declares a model trained: writes `config.safety_training`, by which `assess` trusts these weights and no others.

    Training calls it when the head has learned; call it for a model that was changed on purpose, once its verdicts
    were measured.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): a model with a head.
        seen (`dict`, *optional*): what the training saw and reached, that JSON can hold.

    Returns:
        `dict`: the record.
    """
    vocab_size = model.get_input_embeddings().weight.shape[0]
    training = {
        **seen,
        "vocab_size": vocab_size,
        "digests": digest_weights(model, vocab_size),
        "answers": encode_answers(answer_probes(model, vocab_size)),
    }
    model.config.safety_training = training
    drop_stale_records(model.config)
    return training


def find_distrust(model: PreTrainedModel) -> str | None:
    """
    Why no verdict of a model can be trusted, or `None` where the config's record of a training is of this model.

    Weights in 16, 32 or 64 bits must be those that the training left, up to a cast to half precision. Other weights,
    such as 8-bit ones, cannot be compared. For both, the answers to two drawn patterns must be what they were, and the
    statistics of a calibration, where the config has some, must be of these weights.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): a model with a head.
    """
    training = model.config.safety_training
    if training is None:
        return "its config has no record of a finished training (`safety_training`)"
    try:
        vocab_size, digests, known_answers = (training[name] for name in ("vocab_size", "digests", "answers"))
        if model.get_input_embeddings().weight.shape[0] < vocab_size:
            return f"its vocabulary lacks tokens that it was trained with ({vocab_size})"
        if matches_digest(model, vocab_size, digests) is False:
            return "its weights are not the ones that its training left"
        deviation = measure_deviation(answer_probes(model, vocab_size), known_answers)
    except (KeyError, TypeError, ValueError) as error:
        return f"the record of its training is damaged ({type(error).__name__}: {error})"
    if deviation > TOLERANCE:
        return f"it does not answer as it did after its training (it deviates by {deviation:.2g}, at most {TOLERANCE})"
    return find_damage(model.config)

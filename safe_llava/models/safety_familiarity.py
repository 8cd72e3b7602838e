"""
How far an image is from those that a model was calibrated on: a Gaussian over what its vision tower says of whole
images, by the Mahalanobis distance (arXiv 1807.03888) with a low-rank covariance. The vector that the head classifies
knows of an image little beyond its risk: of attacks it tells far less (`safe_llava/calibration/README.md`).
"""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from .safety_guarantee import drop_stale_guarantee


FIELDS = ("weights", "share", "rows", "threshold", "rest", "mean", "variances", "axes")
_FORMATS = {"mean": "<f4", "variances": "<f4", "axes": "<f2"}


@dataclass(frozen=True)
class Familiarity:
    """
    Args:
        mean (`torch.FloatTensor` of shape `(vision_hidden_size,)`): mean of the images' features.
        axes (`torch.FloatTensor` of shape `(num_axes, vision_hidden_size)`): orthonormal directions of most variance.
        variances (`torch.FloatTensor` of shape `(num_axes,)`): the variance along each.
        rest (`float`): the variance along every other direction.
        threshold (`float`): the squared distance up to which an image is familiar.
    """

    mean: torch.Tensor
    axes: torch.Tensor
    variances: torch.Tensor
    rest: float
    threshold: float

    @classmethod
    def from_record(cls, record: dict[str, Any], device: torch.device | str = "cpu") -> "Familiarity":
        """
        What `config.safety_familiarity` holds.

        Raises:
            ValueError, KeyError, TypeError, OverflowError: if the record is damaged.
        """
        if set(record) != set(FIELDS):
            raise ValueError(f"it must have exactly the fields {list(FIELDS)}")
        arrays = [
            np.frombuffer(base64.b64decode(record[name]), _FORMATS[name]).astype(np.float32)
            for name in ("mean", "variances", "axes")
        ]
        arrays[2] = arrays[2].reshape(len(arrays[1]), len(arrays[0]))
        mean, variances, axes = map(torch.from_numpy, arrays)
        rest, threshold = float(record["rest"]), float(record["threshold"])
        scales = torch.tensor([rest, threshold, *variances.tolist()])
        is_whole = len(mean) and axes.isfinite().all() and mean.isfinite().all() and scales.isfinite().all()
        if not is_whole or (scales <= 0).any():
            raise ValueError("its numbers are no mean, directions and variances")
        return cls(mean.to(device), axes.to(device), variances.to(device), rest, threshold)

    def measure(self, patches: torch.Tensor) -> torch.Tensor:
        """
        The squared distance of images in units of the threshold: above 1 an image is unfamiliar.

        Args:
            patches (`torch.Tensor` of shape `(num_images, num_patches, vision_hidden_size)`): what the tower says.

        Returns:
            `torch.FloatTensor` of shape `(num_images,)`
        """
        centered = patches.float().mean(dim=1) - self.mean
        # No matrix product, which an int8 export would round: the rest is a difference of large numbers.
        along = (centered.unsqueeze(1) * self.axes).sum(dim=-1)
        beside = centered - (along.unsqueeze(-1) * self.axes).sum(dim=1)
        distance = (along.square() / self.variances).sum(dim=-1) + beside.square().sum(dim=-1) / self.rest
        return distance / self.threshold

    def measure_rows(self, patches: torch.Tensor, image_rows: torch.Tensor, num_rows: int) -> torch.Tensor:
        """That of each row's strangest image, of shape `(num_rows,)`; `image_rows` has the row of each image."""
        novelty = self.measure(patches)
        return novelty.new_zeros(num_rows).scatter_reduce(0, image_rows.to(novelty.device), novelty, "amax")


def measure_novelty(
    model: PreTrainedModel, image_outputs: Any, image_rows: torch.Tensor, num_rows: int
) -> torch.Tensor | None:
    """
    How unfamiliar the images of each row of a batch are; `None` where there are none, or no verdict is trusted anyway.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]):
            A model with a head, whose config has statistics.
        image_outputs ([`SafeLlavaImageFeatures`], *optional*): the images of all rows.
        image_rows (`torch.LongTensor` of shape `(num_images,)`): the row of each image, or of each tile that is read.
        num_rows (`int`): rows of the batch.
    """
    if image_outputs is None or model.explain_distrust() is not None:
        return None
    record, patches = model.config.safety_familiarity, image_outputs.patch_features
    known = getattr(model, "_familiarity", None)
    if known is None or known[0] != record or known[1].mean.device != patches.device:
        with torch.inference_mode(False):  # Else no attack could descend through what a server has read.
            model._familiarity = known = dict(record), Familiarity.from_record(record, patches.device)
    return known[1].measure_rows(patches, image_rows, num_rows).to(image_rows.device)


def encode_numbers(**numbers: np.ndarray) -> dict[str, str]:
    """`mean`, `variances` and `axes` as text that JSON can hold: little-endian floats in base64."""
    return {name: base64.b64encode(array.astype(_FORMATS[name]).tobytes()).decode() for name, array in numbers.items()}


def find_damage(config: Any) -> str | None:
    """
    Why the statistics in a model's config cannot be used, or `None` where they can, or there are none.

    Args:
        config ([`SafetyConfigMixin`]): the model's configuration.
    """
    record = config.safety_familiarity
    if record is None:
        return None
    again = "Run `safe-llava calibrate --familiar-share` again"
    try:
        familiarity = Familiarity.from_record(record)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        return f"the statistics by which it knows familiar images are damaged ({error}). {again}"
    if record["weights"] not in (config.safety_training or {}).get("digests", []):
        return f"the statistics by which it knows familiar images were fitted to other weights. {again}"
    layers = config.safety_feature_layer
    width = config.vision_config.hidden_size * (1 if isinstance(layers, int) else len(layers))
    if len(familiarity.mean) != width:
        return f"the statistics by which it knows familiar images have another width than its tower. {again}"
    return None


def drop_stale_records(config: Any) -> None:
    """Takes out of a config what a calibration left for other weights: statistics, and the policy's guarantee."""
    drop_stale_guarantee(config)
    record, known = config.safety_familiarity, (config.safety_training or {}).get("digests", [])
    if record is not None and record.get("weights") not in known:
        config.safety_familiarity = None

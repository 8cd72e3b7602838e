"""Run as a process of its own, for `HF_ENDPOINT` is read at import: every way to push that the tests look at."""

import copy
import sys
from pathlib import Path

from huggingface_hub import ModelCard
from transformers import AutoModel, AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

from safe_llava import SafeLlavaForConditionalGeneration
from safe_llava.convert import convert_llava_checkpoint


checkpoint, llava, converted = map(Path, sys.argv[1:])
model = AutoModel.from_pretrained(checkpoint)
processor = AutoProcessor.from_pretrained(checkpoint)

model.push_to_hub("org/safe-llava", tags=["my-tag"])

processor.push_to_hub("org/processor-first")
model.push_to_hub("org/processor-first")

card = ModelCard("---\nlicense: mit\n---\n# Written by hand\n")
model.push_to_hub("org/with-card")
card.push_to_hub("org/with-card")
model.push_to_hub("org/with-card")

config = copy.deepcopy(model.config)
config.name_or_path = ""
SafeLlavaForConditionalGeneration(config).push_to_hub("org/in-memory")

LlavaForConditionalGeneration.from_pretrained(llava).push_to_hub("org/llava")
LlavaProcessor.from_pretrained(llava).push_to_hub("org/llava")
convert_llava_checkpoint("org/llava", converted, num_safety_tokens=2, num_safety_visual_tokens=4)

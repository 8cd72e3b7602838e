"""Run as a process of its own, for `HF_ENDPOINT` is read at import: every way to push that the tests look at."""

import copy
import sys
from pathlib import Path

from huggingface_hub import HfApi
from transformers import AutoModel, AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor

from safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification
from safe_llava.conversion import convert_llava_checkpoint


checkpoint, llava, converted, *family = map(Path, sys.argv[1:])
model = AutoModel.from_pretrained(checkpoint)
processor = AutoProcessor.from_pretrained(checkpoint)

model.push_to_hub("org/safe-llava", tags=["my-tag"])

SafeLlavaForSafetyClassification.from_pretrained(checkpoint).push_to_hub("org/guard")

processor.push_to_hub("org/processor-first")
model.push_to_hub("org/processor-first")

card = b"---\nlicense: mit\n---\n# Written by hand\n"
HfApi().create_repo("org/with-card")
HfApi().upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="org/with-card")
model.push_to_hub("org/with-card")

config = copy.deepcopy(model.config)
config.name_or_path = ""
SafeLlavaForConditionalGeneration(config).push_to_hub("org/in-memory")

for folder in family:
    AutoModel.from_pretrained(folder).push_to_hub(f"org/{folder.name}")

LlavaForConditionalGeneration.from_pretrained(llava).push_to_hub("org/llava")
LlavaProcessor.from_pretrained(llava).push_to_hub("org/llava")
convert_llava_checkpoint("org/llava", converted, num_safety_tokens=2, num_safety_visual_tokens=4)

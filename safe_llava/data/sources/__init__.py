"""Public safety sets by name, a file for each, read from what their authors publish. Nothing is re-shipped."""

from pathlib import Path

from .beavertails_v_set import BEAVERTAILS_V
from .label_map import describe
from .llava_instruct_set import LLAVA_INSTRUCT
from .llavaguard_set import LLAVAGUARD
from .meerkat_safe_set import MEERKAT_SAFE
from .psa_set import PSA
from .public_set import PublicSet
from .rtvlm_set import RTVLM
from .safeatlas_vl_set import SAFEATLAS_VL
from .set_reading import SetRows, read_public_set
from .spa_vl_set import SPA_VL
from .vlguard_set import VLGUARD


PUBLIC_SETS: dict[str, PublicSet] = {
    public_set.name: public_set
    for public_set in (
        PSA,
        VLGUARD,
        SPA_VL,
        BEAVERTAILS_V,
        LLAVAGUARD,
        SAFEATLAS_VL,
        MEERKAT_SAFE,
        RTVLM,
        LLAVA_INSTRUCT,
    )
}


def is_public_set(source: str | Path) -> bool:
    """Whether a source is the name of a public set; a path of that name is written `./NAME`, or as a `Path`."""
    return isinstance(source, str) and source in PUBLIC_SETS


__all__ = ["PUBLIC_SETS", "PublicSet", "SetRows", "describe", "is_public_set", "read_public_set"]

"""
Defences of other papers, written anew from their formulas; each file names paper and section. Each takes the study,
its base with the processor, a seed and the options of its cell, and defends the base. A prompt without an image stays
as it is.
"""

from .cross_modal_shift import cmrm
from .safety_border import davsp
from .safety_subspace import vlm_guard
from .said_first import adashield_s, safety_prefix
from .second_look import ecso


__all__ = ["adashield_s", "cmrm", "davsp", "ecso", "safety_prefix", "vlm_guard"]

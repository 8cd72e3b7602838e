"""
Tiny LLaVA-NeXTs and LLaVA-OneVisions in place of the tiny LLaVA, under its names: what a test of this folder asks for
as `tiny_safe_llava` or `tiny_processor` is one member of the family after the other.
"""

import pytest

from tests.family_members import MEMBERS, Member, alarm, build_member, discern


@pytest.fixture(scope="session", params=MEMBERS)
def member(request) -> Member:
    return build_member(request.param)


@pytest.fixture(scope="session")
def tiny_llava(member):
    return member.stock


@pytest.fixture(scope="session")
def tiny_processor(member):
    return member.processor


@pytest.fixture(scope="session")
def tiny_safe_llava(member):
    return member.model


@pytest.fixture(scope="session")
def alarmed_safe_llava(tiny_safe_llava):
    return alarm(tiny_safe_llava)


@pytest.fixture(scope="session")
def discerning_safe_llava(tiny_safe_llava, tiny_processor, noise_rows):
    return discern(tiny_safe_llava, tiny_processor, noise_rows)

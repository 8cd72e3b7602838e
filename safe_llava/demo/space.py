"""Writes a Hub Space of the page. Hub Spaces run NiceGUI in a container, so it brings a Dockerfile."""

import importlib.metadata
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from ..checkpoints import identify_checkpoint, read_config
from ..files import atomic_path
from ..models.safety_policy import SafetyPolicy, read_policy_changes
from ..version import __version__


MARK = "# Written by `safe-llava demo --space`, which replaces it when it writes here again."
PAGE_PACKAGES = ("httpx2", "nicegui", "prometheus-client")
"""What comes with the extra `demo`."""
_MODEL, _POLICY = "model", "policy.json"
_NOT_COPIED = (".*", "checkpoint-*", "optimizer.*", "scheduler.*", "rng_state*", "training_args.bin")

_APP = """\
{mark}
import os
from pathlib import Path
{imports}
from safe_llava.demo.run_demo import run_demo


HERE = Path(__file__).parent

if __name__ == "__main__":
    run_demo(
        {model},
        name={name!r},
        policy={policy},
        host=os.environ.get("DEMO_HOST", "127.0.0.1"),
        port=int(os.environ.get("DEMO_PORT", "7860")),
        max_new_tokens={max_new_tokens},
        dtype={dtype!r},
    )
"""
_DOCKERFILE = """\
{mark}
FROM python:{python}-slim
RUN useradd --create-home --uid 1000 user
USER user
ENV PATH=/home/user/.local/bin:$PATH DEMO_HOST=0.0.0.0 DEMO_PORT=7860
WORKDIR /home/user/app
COPY --chown=user requirements.txt .
# torch for the CPU. For a Space with a GPU, leave the index out.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt
COPY --chown=user . .
EXPOSE 7860
CMD ["python", "app.py"]
"""
_README = """\
---
{header}---

# {name}

Ask {name} about an image: what its safety head finds in image and question, where it sees it, and what the policy
makes of that. The policy's switches act on your own tab alone. Images and questions are kept in memory alone, and
forgotten an hour after the tab is closed. Made with `safe-llava demo` {version}.
"""


def write_space(model: str, folder: Path, *, policy: Path | None, max_new_tokens: int, dtype: str) -> None:
    """
    Writes the files of a Space, which run from their folder too: `python app.py`.

    Args:
        model (`str`): a SafeLLaVA checkpoint. A folder is copied; of a Hub id the Space loads the commit of now.
        folder (`Path`): gets the Space.
        policy (`Path`, *optional*): JSON with changes to the stored policy, which is copied.
        max_new_tokens (`int`): longest answer, in tokens.
        dtype (`str`): the weights' type.

    Raises:
        ValueError: if the folder holds something else, or if the checkpoint could not be shown.
    """
    if folder.exists() and any(folder.iterdir()) and not _is_space(folder):
        raise ValueError(f"{folder} is not empty and holds no Space of `safe-llava demo`. Name another folder.")
    config = read_config(model)
    if not config.use_safety_head:
        raise ValueError(f"{model} has no safety head, so there is no verdict to show. Take one that has.")
    if config.safety_policy is None and policy is None:
        raise ValueError(f"{model} has no safety policy. Give one with --policy; a file of {{}} takes the defaults.")
    if policy is not None:
        SafetyPolicy.from_dict(config.safety_policy or {}).updated(read_policy_changes(policy))
    pins = _pin_requirements()

    source = Path(model)
    is_local = source.is_dir()
    name = source.resolve().name if is_local else model
    if is_local:
        _copy_model(source, folder)
    elif (folder / _MODEL).exists():
        shutil.rmtree(folder / _MODEL)
    if policy is not None:
        _write(folder / _POLICY, policy.read_text(encoding="utf-8"))
    else:
        (folder / _POLICY).unlink(missing_ok=True)
    _write(folder / "requirements.txt", "\n".join([MARK, *pins, ""]))
    _write(folder / "Dockerfile", _DOCKERFILE.format(mark=MARK, python=f"{sys.version_info[0]}.{sys.version_info[1]}"))
    header: dict[str, Any] = {
        "title": f"{name.rpartition('/')[2]} demo",
        "emoji": "⚖️",
        "colorFrom": "blue",
        "colorTo": "gray",
    }
    header |= {"sdk": "docker", "app_port": 7860, "pinned": False} | ({} if is_local else {"models": [model]})
    shown_header = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    _write(folder / "README.md", _README.format(header=shown_header, name=name, version=__version__))
    if is_local:
        imports, loaded = "", f"str(HERE / {_MODEL!r})"
    else:
        imports = "\nfrom huggingface_hub import snapshot_download\n"
        loaded = f"snapshot_download({model!r}, revision={identify_checkpoint(model)['model_files']!r})"
    app = _APP.format(
        mark=MARK,
        imports=imports,
        model=loaded,
        name=name.rpartition("/")[2],
        policy="None" if policy is None else f"HERE / {_POLICY!r}",
        max_new_tokens=max_new_tokens,
        dtype=dtype,
    )
    _write(folder / "app.py", app)


def _is_space(folder: Path) -> bool:
    app = folder / "app.py"
    return app.is_file() and app.read_text(encoding="utf-8", errors="replace").startswith(MARK)


def _pin_requirements() -> list[str]:
    """This package and what its page needs, in the versions that are installed here."""
    try:
        listed = importlib.metadata.requires("safe-llava") or []
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(
            "safe-llava runs from a folder here and is not installed, so what it needs is not known. "
            "Install it: pip install -e '.[demo]'"
        ) from None
    requirements = [Requirement(text) for text in listed]
    core = {one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})}
    names = sorted({*core, *PAGE_PACKAGES}, key=str.lower)
    # Without what a build for one machine adds, such as "+cpu".
    pins = [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]
    return [f"safe-llava[demo]=={__version__}", *pins]


def _copy_model(source: Path, folder: Path) -> None:
    if source.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise ValueError(f"{folder} lies in {source}, which it would hold a copy of. Name a folder outside.")
    if source.resolve() == (folder / _MODEL).resolve():
        return
    partial, old = folder / f".{_MODEL}.partial", folder / _MODEL
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    shutil.rmtree(old, ignore_errors=True)
    partial.rename(old)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")

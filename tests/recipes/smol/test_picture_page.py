from recipes.smol.picture_page import main
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.smol.smol_world import BASE, smol_world


def test_the_page_shows_each_kind_of_scene_with_answer_verdict_evidence_and_audit(smol_folder, tmp_path):
    model, world = tmp_path / "model", smol_world(smol_folder)
    convert_llava_checkpoint(smol_folder / BASE, model, **world.conversion)
    main(smol_folder, model, tmp_path / "page", per_kind=1, seed=0)
    page = (tmp_path / "page" / "index.html").read_text()
    count = len(world.showcase_kinds)
    for folder in ("scenes", "evidence"):
        shown = sorted(path.name for path in (tmp_path / "page" / folder).iterdir())
        assert len(shown) == count
        assert all(f'src="{folder}/{name}"' in page for name in shown)
    assert page.count("not trusted") == count, "its modules are random"
    assert f"{count} of {count} images were assessed" in page
    assert (tmp_path / "page" / "audit" / "report.html").is_file()

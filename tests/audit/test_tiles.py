"""Crops of each image beside it (`--tiles`): images of one row, of which the gravest verdict decides."""

import pytest
from PIL import Image

from safe_llava.audit.audit_row import AuditRow
from safe_llava.audit.row_assessment import RowAssessor
from safe_llava.models.image_crops import cut_crops


@pytest.fixture(scope="module")
def assessor(guard_checkpoint):
    return RowAssessor(str(guard_checkpoint), tiles=2)


def test_a_row_gets_the_verdict_of_its_images_and_their_crops(assessor, guard_checkpoint, make_image):
    images = [make_image(0, 60, 40), make_image(1, 40, 60)]
    (tiled,) = assessor.assess([assessor.prepare(AuditRow("a", images))])
    plain = RowAssessor(str(guard_checkpoint))
    row = AuditRow("a", [part for image in images for part in (image, *cut_crops(image, 2))])
    assert tiled == plain.assess([plain.prepare(row)])[0]


def test_the_table_counts_the_images_that_there_are(audit, verdicts, tmp_path, make_image):
    (tmp_path / "images").mkdir()
    make_image(0, 60, 40).save(tmp_path / "images" / "one.png")
    audit(tmp_path / "images", tiles=2)
    (row,) = verdicts().to_pylist()
    assert (row["num_images"], row["width"], row["height"]) == (1, 60, 40)


def test_an_audit_is_gone_on_with_as_it_began(audit, tmp_path, make_image):
    (tmp_path / "images").mkdir()
    make_image(0).save(tmp_path / "images" / "one.png")
    audit(tmp_path / "images")
    with pytest.raises(ValueError, match="another number of tiles: it was None and is 2"):
        audit(tmp_path / "images", tiles=2)


def test_tiles_that_have_no_effect_are_refused_before_the_first_row(guard_checkpoint, monkeypatch):
    monkeypatch.setattr("safe_llava.guards.torch_guard.TorchGuard.cuts_images", True)
    with pytest.raises(ValueError, match="cuts images itself"):
        RowAssessor(str(guard_checkpoint), tiles=2)
    assert RowAssessor(str(guard_checkpoint)).prepare(AuditRow("a", [Image.new("RGB", (9, 9))])).reason is None

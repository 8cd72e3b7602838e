import inspect
from dataclasses import replace

import pytest

from recipes.study import baselines, rivals
from recipes.study.cell_run import run_key
from recipes.study.cells import load_cells
from recipes.study.miniature_study import MINIATURE_STUDY
from recipes.study.smol_study import smol_study
from safe_llava.calibration import calibrate_policy
from safe_llava.conversion import convert_llava_checkpoint


@pytest.fixture(scope="module", params=["miniature", "smol"])
def grid(request, tmp_path_factory):
    if request.param == "miniature":
        return load_cells(MINIATURE_STUDY)
    folder = tmp_path_factory.mktemp("smol")
    (folder / "base").mkdir()
    for name in ("base/config.json", "drawings.parquet"):
        (folder / name).touch()
    return load_cells(smol_study(folder))


def test_ours_is_what_the_package_does_by_default(grid):
    ours = grid["ours"]
    assert (ours.convert, ours.generate, ours.train) == ({}, {}, [{"recipe": "stage1"}, {"recipe": "stage2"}])


def test_every_recipe_that_a_cell_names_is_there(grid):
    for cell in grid.values():
        assert all(cell.recipe(step)[0].is_file() for step in range(len(cell.train)))


def test_every_conversion_has_arguments_that_exist(grid):
    known = inspect.signature(convert_llava_checkpoint).parameters
    for cell in grid.values():
        assert set(cell.convert) <= set(known), cell.name


def test_every_method_is_a_function_that_takes_the_options_of_its_cells(grid):
    for cell in grid.values():
        if not cell.is_converted:
            method = getattr(rivals if cell.group == "rival" else baselines, cell.method)
            inspect.signature(method).bind("study", "model", "processor", "seed", **cell.options)


def test_every_calibration_has_arguments_that_exist(grid):
    for cell in grid.values():
        how = {name: value for name, value in cell.calibrate.items() if name != "num_rows"}
        assert set(how) <= set(inspect.signature(calibrate_policy).parameters), cell.name
        assert not cell.calibrate or ("num_rows" in cell.calibrate and cell.is_converted)


def test_a_calibration_tells_the_run_of_a_cell_from_that_of_the_same_training():
    ours = load_cells(MINIATURE_STUDY)["ours"]
    calibrated = replace(ours, calibrate={"num_rows": 100})
    assert run_key(MINIATURE_STUDY, ours) != run_key(MINIATURE_STUDY, calibrated)


def test_a_cell_has_options_only_for_a_method_that_takes_them(grid):
    assert not any(cell.options for cell in grid.values() if cell.is_converted)


def test_options_tell_the_runs_of_two_cells_apart():
    cells = load_cells(MINIATURE_STUDY)
    keys = [run_key(MINIATURE_STUDY, cell) for cell in cells.values() if cell.group == "rival"]
    assert len(set(keys)) == len(keys)


def test_robust_is_ours_with_one_field_more(grid):
    ours, robust = grid["ours"], grid["robust"]
    assert robust.train == [{**ours.train[0], "robust": True}, *ours.train[1:]]
    assert (robust.convert, robust.generate) == (ours.convert, ours.generate)


def test_no_two_cells_are_the_same(grid):
    made = [
        tuple(map(str, (cell.method, cell.convert, cell.train, cell.calibrate, cell.generate, cell.options)))
        for cell in grid.values()
    ]
    assert len(set(made)) == len(made)

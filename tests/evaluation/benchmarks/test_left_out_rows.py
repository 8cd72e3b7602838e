"""A published row that asks nothing is left out and counted, in every benchmark whose rows have questions."""

import pyarrow
import pyarrow.parquet
import pytest
from rtvlm_files import rows_of, write_rtvlm

from safe_llava.data.sources.rtvlm_set import SUBTASKS
from safe_llava.evaluation.benchmarks import BENCHMARKS, InvalidBenchmarkError, load_benchmark, read_benchmark
from safe_llava.evaluation.benchmarks.mm_safetybench import RISK_TYPE_OF_SCENARIO


class Files:
    """Writes each benchmark with a row for each question; `WITHOUT` takes the place of a field that is not there."""

    WITHOUT = object()

    def __init__(self, folder, write_json, write_csv, write_images, write_archive, encoded_image):
        self.folder, self.json, self.csv, self.images = folder, write_json, write_csv, write_images
        self.archive, self.encoded_image = write_archive, encoded_image

    def rows(self, field, questions, **fields):
        rows = [{field: asked, **fields} for asked in questions]
        return [{name: value for name, value in row.items() if value is not self.WITHOUT} for row in rows]

    def vlsbench(self, questions):
        rows = self.rows("instruction", questions, image_path="imgs/0.png", category="Privacy")
        self.json(self.folder / "data.json", [{"instruction_id": n, **row} for n, row in enumerate(rows)])
        self.images(self.folder, "imgs/0.png")

    def siuo(self, questions):
        rows = self.rows("question", questions, image="S.png", category="morality")
        self.json(self.folder / "siuo_gen.json", [{"question_id": n, **row} for n, row in enumerate(rows)])
        self.images(self.folder / "images", "S.png")

    def holisafe(self, questions):
        rows = self.rows("query", questions, image="a.png", type="SSS", subcategory="religion")
        self.json(self.folder / "holisafe_bench.json", [{"id": n, **row} for n, row in enumerate(rows)])
        self.images(self.folder / "images", "a.png")

    def mossbench(self, questions):
        rows = self.rows("question", questions, image="images/1.png", metadata={"over": "Negated Harm"})
        table = {str(n): {"pid": n, **row} for n, row in enumerate(rows)}
        self.json(self.folder / "images_information/information.json", table)
        self.images(self.folder, "images/1.png")

    def xstest(self, questions):
        rows = self.rows("prompt", questions, type="homonyms", label="safe")
        self.csv(self.folder / "xstest_prompts.csv", *({"id": n, **row} for n, row in enumerate(rows)))

    def vlguard(self, questions):
        pairs = self.rows("instruction", questions, response="No.")
        rows = [{"id": "a", "image": "a.png", "safe": False, "instr-resp": [pair]} for pair in pairs]
        self.json(self.folder / "test.json", rows)
        self.images(self.folder / "test", "a.png")

    def mm_safetybench(self, questions):
        rows = self.rows("question", questions, image={"bytes": self.encoded_image(), "path": None})
        for scenario in RISK_TYPE_OF_SCENARIO:
            of_scenario = rows if scenario == "06-Fraud" else [{**rows[0], "question": "Why?"}]
            path = self.folder / "data" / scenario.partition("-")[2] / "SD.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pyarrow.Table.from_pylist([{"id": str(n), **row} for n, row in enumerate(of_scenario)])
            pyarrow.parquet.write_table(table, path)

    def rtvlm(self, questions):
        write_rtvlm(self.folder, self.json, self.archive)
        rows = self.rows("prompt", questions, id="p0.jpg", refused_to_answer="Safe to Answer")
        self.json(self.folder / "data" / SUBTASKS["politics"].table, rows)


@pytest.fixture
def files(tmp_path, write_json, write_csv, write_images, write_archive, encoded_image):
    return Files(tmp_path, write_json, write_csv, write_images, write_archive, encoded_image)


WITH_QUESTIONS = [name for name in BENCHMARKS if hasattr(Files, name)]
SPLITS = {"mm_safetybench": "SD"}


def test_only_benchmarks_that_ask_one_question_of_all_rows_have_none_of_their_own():
    assert {*BENCHMARKS} - {*WITH_QUESTIONS} == {"figstep", "risk_folder"}


@pytest.mark.parametrize("blank", ["", "  \n", None], ids=repr)
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("name", WITH_QUESTIONS)
def test_a_row_with_an_empty_question_is_left_out_and_counted(name, place, blank, files, tmp_path):
    questions = ["Who?", "What?", "Why?"]
    getattr(files, name)(questions)
    whole, none_left_out = read_benchmark(name, tmp_path, SPLITS.get(name))
    getattr(files, name)([blank if number == place else asked for number, asked in enumerate(questions)])
    rows, left_out = read_benchmark(name, tmp_path, SPLITS.get(name))
    ids = [row.id for row in whole]
    assert (none_left_out, [row.id for row in rows]) == ([], [row_id for row_id in ids if row_id not in left_out])
    assert len(left_out) == 1 and left_out[0] in ids


@pytest.mark.parametrize("name", WITH_QUESTIONS)
def test_a_row_whose_question_is_missing_stops(name, files, tmp_path):
    getattr(files, name)(["Who?", "Why?" if name in ("xstest", "mm_safetybench") else files.WITHOUT])
    if name == "xstest":
        (tmp_path / "xstest_prompts.csv").write_text("id,type\n1,homonyms\n")
    elif name == "mm_safetybench":
        path = tmp_path / "data/Fraud/SD.parquet"
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).drop_columns("question"), path)
    with pytest.raises(InvalidBenchmarkError, match=r"(is|are) missing|must have .* once"):
        load_benchmark(name, tmp_path, SPLITS.get(name))


def test_a_row_of_a_list_of_questions_is_left_out_alone(write_json, write_archive, tmp_path):
    write_rtvlm(tmp_path, write_json, write_archive)
    row = {**rows_of("misleading", 0), "questions": ["Is it blue?", ""]}
    write_json(tmp_path / "data" / SUBTASKS["misleading"].table, [row])
    rows, left_out = read_benchmark("rtvlm", tmp_path)
    assert left_out == ["misleading/0.1"]
    assert [row.id for row in rows if row.subset == "misleading"] == ["misleading/0.0"]


def test_the_log_tells_of_what_was_left_out(files, tmp_path, caplog):
    files.vlsbench(["Who?", ""])
    load_benchmark("vlsbench", tmp_path)
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "1 rows without a question are left out, the first: 1"
    ]


def test_a_benchmark_that_asks_nothing_at_all_stops(files, tmp_path):
    files.siuo(["", " "])
    with pytest.raises(InvalidBenchmarkError, match="no row of the split None that asks something"):
        load_benchmark("siuo", tmp_path)

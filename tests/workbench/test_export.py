"""What ``deploy`` writes for a model: files that serve it, over nothing that somebody else wrote; and what it refuses."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import http.client
import importlib
import io
import json
import os
import runpy
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.errors import Conflict, InvalidRequest
from jupyter_model_service.wire.workbench import DryRunAnswer
from jupyter_model_service.workbench.draft import draft, write
from jupyter_model_service.workbench.dry_run import dry_run, prepared
from jupyter_model_service.workbench.export import Saved, Wishes, check_folder, family_of, save, write_folder
from jupyter_model_service.workbench.export.examples import plain, shape
from jupyter_model_service.workbench.export.trust import trusted_here
from jupyter_model_service.workbench.samples import read_samples


def exported(folder: Path, model: Any, example: Any = None, **wishes: Any) -> Saved:
    return write_folder(folder, folder.name, lambda into: save(model, into, Wishes(example, **wishes)))[1]


def answered(folder: Path) -> Any:
    """What the folder's own server answers to the folder's first sample request."""
    told: list[Any] = []
    outcome = asyncio.run(dry_run(prepared(folder), told.append, timeout=110))
    answers = [each for each in told if isinstance(each, DryRunAnswer)]
    assert outcome.outcome == "passed", (outcome, told)
    return json.loads(answers[0].body)["outputs"]


Ask = Callable[..., tuple[int, Any]]


@contextmanager
def served(folder: Path) -> Iterator[Ask]:
    """The folder's serve.py on a port, in this process; gives a function that posts inputs (or a body) to /predict, all
    over one connection, which must be kept whatever is asked."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        names = runpy.run_path("serve.py", run_name="serve")
    finally:
        os.chdir(before)
    server = names["Server"](("127.0.0.1", 0), names["Handler"])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    connection.connect()
    socket = connection.sock

    def ask(inputs: Any = None, body: bytes | None = None) -> tuple[int, Any]:
        connection.request("POST", "/predict", json.dumps({"inputs": inputs}).encode() if body is None else body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert connection.sock is socket, "the connection was given up"
        return response.status, answer.get("outputs", answer.get("error"))

    try:
        yield ask
    finally:
        connection.close()
        server.shutdown()
        server.server_close()
        thread.join(30)


def fake(text: str = "weights", kind: str = "torch", file: str = "model.pt2", inputs: Any = None) -> Any:
    """Saves without any library."""

    def saving(into: Path) -> Saved:
        (into / file).write_text(text)
        own = {"allow_code": "yes"} if kind == "torch" else {}
        return Saved(kind, {"file": file, **own}, inputs, inputs)

    return saving


# --- what is served -------------------------------------------------------------------------------------


def test_the_written_server_of_an_estimator_answers_as_it_does(tmp_path: Path) -> None:
    from sklearn import linear_model as linear

    model = linear.LogisticRegression().fit([[0.0, 1], [1, 0], [4, 5], [5, 4]], ["few", "few", "many", "many"])
    folder = tmp_path / "words"
    exported(folder, model, [[0, 0], [9, 9], [0, 1]])
    assert answered(folder) == ["few", "many", "few"]
    assert [each.name for each in read_samples(folder)] == ["predict: 3 texts", "health"]
    pinned = (folder / "requirements.txt").read_text()
    import sklearn

    assert f"scikit-learn=={sklearn.__version__}\n" in pinned
    assert "skops==" in pinned


@pytest.mark.torch
def test_the_written_server_of_a_module_takes_batches_of_any_size(tmp_path: Path) -> None:
    """Though the example is one of one; the module itself is as it was, in training."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout(0.9))
    folder = tmp_path / "net"
    saved = exported(folder, model, torch.ones(1, 2))
    assert (model.training, saved.fields["dtype"]) == (True, "float32")
    with zipfile.ZipFile(folder / "model.pt2") as archive:
        kept = next(archive.read(name) for name in archive.namelist() if "sample_inputs" in name)
    torch.load(io.BytesIO(kept), weights_only=True)  # nothing of it needs a pickle of more
    request = next(each for each in read_samples(folder) if each.name == "predict: 1 × 3 numbers")
    request.body["inputs"] = [[1, 1], [1, 1], [2, 0]]
    (folder / "model-requests.json").write_text(json.dumps({"version": 1, "requests": [request.model_dump()]}))
    found = answered(folder)
    assert len(found) == 3
    assert found[0] == found[1] == pytest.approx(saved.outputs[0])
    assert found[2] != found[0]
    with served(folder) as ask:
        assert ask([[1, 1, 1]]) == (400, "AssertionError: Guard failed: input.size()[1] == 2")
        assert ask([1, 1]) == (400, "IndexError: tuple index out of range")
        assert ask([[1], [1, 2]])[0] == 400
        assert ask([["a", "b"]])[0] == 400
        assert ask([[1, 1]])[0] == 200


PIPELINE = """
import sys
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline
from jupyter_model_service.workbench.export import Wishes, save, write_folder
Path("vocab.txt").write_text("\\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "day"]))
sizes = dict(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
bert = BertForSequenceClassification(BertConfig(**sizes, id2label={0: "bad", 1: "good"})).eval()  # else drops at random
pipe = pipeline("text-classification", model=bert, tokenizer=BertTokenizerFast("vocab.txt"), device=-1)
write_folder(Path("mood"), "mood", lambda into: save(pipe, into, Wishes(["fine day"])))
import os, runpy
os.chdir("mood")
server = runpy.run_path("serve.py")
for inputs in ([], None, "fine " * 600):
    try:
        server["predict"](inputs)
    except Exception as error:
        print(server["of_the_input"](error), type(error).__name__)
print(pipe(["fine day"])[0]["label"])
"""


@pytest.mark.torch
def test_the_written_server_of_a_pipeline_answers_as_it_does(tmp_path: Path) -> None:
    """Saved in a process of its own: this one keeps its memory."""
    for name in ("torch", "transformers"):
        pytest.importorskip(name)
    done = subprocess.run([sys.executable, "-c", PIPELINE], cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    refused = [line for line in done.stdout.splitlines() if line.startswith(("True ", "False "))]
    assert refused == ["True IndexError", "True ValueError", "True RuntimeError"]
    folder = tmp_path / "mood"
    assert [each["label"] for each in answered(folder)] == [done.stdout.split()[-1]]
    assert read_samples(folder)[0].name == "predict: 1 object with label, score"
    weights = [path.name for path in (folder / "model").iterdir() if path.stat().st_size > 2000]
    assert "model.safetensors" in weights


STUB = """
import builtins

class Model:
    def predict(self, inputs):
        if inputs == "memory":
            raise type("OutOfMemoryError", (RuntimeError,), {})("no memory")
        if inputs == "odd":
            return {(1, 2): 3}
        raise getattr(builtins, inputs)("why")

def load(file, trusted):
    return Model()
"""


def test_a_written_server_answers_whatever_its_model_raises(tmp_path: Path) -> None:
    """With 400 what models raise of inputs, with 500 all else, in JSON, and on the same connection."""
    write(draft("scikit-learn", {}, folder="stub"), tmp_path, force=False)
    (tmp_path / "stub.py").write_text(STUB)
    text = (tmp_path / "serve.py").read_text()
    (tmp_path / "serve.py").write_text(
        text.replace("import skops.io", "import stub").replace("skops.io.load", "stub.load")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        with served(tmp_path) as ask:
            for kind in ("AssertionError", "IndexError", "KeyError", "TypeError", "RuntimeError"):
                status, told = ask(kind)
                assert (status, told) == (400, f"{kind}: 'why'" if kind == "KeyError" else f"{kind}: why")
            assert ask("ValueError") == (400, "why")
            assert ask("OSError") == (500, "OSError: why")
            assert ask("memory") == (500, "OutOfMemoryError: no memory")
            assert ask("odd")[0] == 500, "an answer that JSON does not have"
            for body in (b"", b"[]", b"{}", b"5", b"{", b"[" * 100_000, b'{"inputs": 1, "parameters": 2}'):
                assert ask(body=body)[0] == 400
    sys.modules.pop("stub")


def test_the_written_application_answers_whatever_its_model_raises(tmp_path: Path) -> None:
    """As the other servers do; a body that is not as `Question` says is FastAPI's own 422."""
    from starlette.testclient import TestClient as client

    write(draft("fastapi", {}, folder="app"), tmp_path, force=False)
    names = runpy.run_path(str(tmp_path / "app.py"))
    caller = client(names["app"], raise_server_exceptions=False)
    names["app"].add_api_route("/raise/{kind}", lambda kind: _raised(kind))
    assert caller.post("/predict", json={"inputs": [40, 2]}).json() == {"outputs": 42}
    assert caller.post("/predict", json={"inputs": "a"}).status_code == 422
    for kind, status in (("AssertionError", 400), ("KeyError", 400), ("OSError", 500)):
        answer = caller.get(f"/raise/{kind}")
        assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (status, kind)


def _raised(kind: str) -> None:
    raise getattr(builtins, kind)("why")


# --- tables ---------------------------------------------------------------------------------------------


def people() -> Any:
    """A table with columns of several types and with holes, and whether each is old."""
    import pandas

    return pandas.DataFrame(
        {
            "age": [3, 70, None, 80, 5, 66],
            "city": ["Oslo", "Rome", "Oslo", None, "Rome", "Oslo"],
            "since": pandas.to_datetime(["2020-01-01", None, "2021-01-01", "2022-01-01", "2023-01-01", "2024-01-01"]),
            "member": [True, False, True, False, True, False],
        }
    )


def columns_by_name() -> Any:
    from sklearn import compose, impute, pipeline, preprocessing

    text = pipeline.make_pipeline(
        impute.SimpleImputer(strategy="most_frequent"), preprocessing.OneHotEncoder(handle_unknown="ignore")
    )
    return compose.ColumnTransformer([("n", impute.SimpleImputer(), ["age", "member"]), ("t", text, ["city"])])


def test_an_estimator_that_was_fitted_on_a_table_has_a_table_of_what_callers_send(tmp_path: Path) -> None:
    """As objects or as lists in the columns' order, null where there is nothing; whatever does not fit is named."""
    table = people()
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(5, random_state=0)
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(columns_by_name(), forest)
    model.fit(table, ["young", "old", "young", "old", "young", "old"])
    folder = tmp_path / "people"
    saved = exported(folder, model, table)
    assert saved.inputs[1] == {"age": 70.0, "city": "Rome", "since": None, "member": False}
    assert "pandas==" in (folder / "requirements.txt").read_text()
    expected = model.predict(table).tolist()
    assert saved.outputs == expected
    with warnings.catch_warnings(), served(folder) as ask:
        warnings.simplefilter("error")
        assert ask(saved.inputs) == (200, expected)
        assert ask([list(row.values()) for row in saved.inputs]) == (200, expected)
        row = saved.inputs[0]
        for inputs, reason in (
            ([row, {"age": 3, "city": "Oslo"}], "inputs[1] lacks since, member; a row has age, city, since, member"),
            ([row | {"cty": 1}], "inputs[0] has an unknown cty; a row has age, city, since, member"),
            (
                [{"age": 3, "since": None, "member": True, "town": "Oslo"}],
                "inputs[0] lacks city and has an unknown town; a row has age, city, since, member",
            ),
            ([[1, 2]], "inputs[0] is 2 values, and a row has age, city, since, member"),
            (row, "inputs are a list of rows, and a row has age, city, since, member"),
            ([3], "inputs[0] is no list of values, and a row has age, city, since, member"),
        ):
            assert ask(inputs) == (400, reason)
        for name, value in (("age", "many"), ("age", [1]), ("since", "yesterday night")):
            status, told = ask([row | {name: value}])
            assert (status, told.partition(":")[0]) == (400, f"column {name}")
    with pytest.raises(InvalidRequest, match=r"^The example lacks city\.$"):
        exported(folder, model, table.drop(columns="city"))
    with pytest.raises(InvalidRequest, match=r"^The example has, besides those that the model was fitted on, old\.$"):
        exported(folder, model, table.assign(old=1))


def test_columns_are_known_without_an_example_and_numbers_are_given_by_their_names(tmp_path: Path) -> None:
    """Of an estimator on a table of numbers, which would warn of lists without names."""
    table = people()[["age"]].fillna(1)
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier().fit(table, [0, 1, 0, 1, 0, 1])
    folder = tmp_path / "ages"
    assert exported(folder, model).inputs == [[0.0]]
    with warnings.catch_warnings(), served(folder) as ask:
        warnings.simplefilter("error")
        assert ask([{"age": 3}, {"age": 4.5}])[0] == 200
        assert ask([[3], [None]])[0] == 200


def test_categories_stay_categories(tmp_path: Path) -> None:
    """Boosted trees tell by a column's type that it has them."""
    table = people()[["age", "city"]].astype({"city": "category"})
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(categorical_features="from_dtype")
    model.fit(table, [0, 1, 0, 1, 0, 1])
    saved = exported(tmp_path / "m", model, table)
    with served(tmp_path / "m") as ask:
        assert ask(saved.inputs) == (200, model.predict(table).tolist())


def test_null_is_a_hole_in_a_column_of_anything(tmp_path: Path) -> None:
    """As NaN, which is what holes in tables are and what estimators look for."""
    table = people()[["city"]].astype(object)
    from sklearn.impute import SimpleImputer

    model = SimpleImputer(strategy="most_frequent").fit(table)
    for name, example in (("typed", table), ("untyped", [["Rome"]])):
        exported(tmp_path / name, model, example)
        with served(tmp_path / name) as ask:
            assert ask([["Rome"], [None]]) == (200, [["Rome"], ["Oslo"]])
            assert ask([[None]]) == (200, [["Oslo"]])


def test_what_an_estimator_makes_of_a_table_comes_as_lists(tmp_path: Path) -> None:
    """Also a sparse matrix, and a table."""
    from sklearn import preprocessing

    table = people()[["city"]].dropna()
    for name, model in (
        ("sparse", preprocessing.OneHotEncoder()),
        ("table", preprocessing.OrdinalEncoder().set_output(transform="pandas")),
    ):
        saved = exported(tmp_path / name, model.fit(table), table.head(2))
        with served(tmp_path / name) as ask:
            assert ask([["Oslo"], ["Rome"]]) == (200, saved.outputs)
    assert saved.outputs == [[0.0], [1.0]]


def test_columns_can_be_said_of_a_saved_model() -> None:
    """By their names alone, or with their types; odd names stay what they are."""
    odd = 'a "quote" \\ {x} é'
    for given, meant in (([odd, "b"], {odd: "", "b": ""}), ({odd: "int64"}, {odd: "int64"})):
        found = {
            file.name: file.text for file in draft("scikit-learn", {"columns": json.dumps(given)}, folder="m").files
        }
        told = next(line for line in found["serve.py"].splitlines() if line.startswith("COLUMNS = "))
        assert json.loads(told.removeprefix("COLUMNS = ")) == meant
        assert found["requirements.txt"].splitlines()[-1] == "pandas"
        compile(found["serve.py"], "serve.py", "exec")
    for wrong in ("age, city", "5", '["a", "a"]', '{"a": 1}'):
        with pytest.raises(InvalidRequest, match="names no columns"):
            draft("scikit-learn", {"columns": wrong}, folder="m")


BY_NAME = """
from sklearn.base import BaseEstimator

class ByName(BaseEstimator):
    def fit(self, table, answers):
        self.fitted_ = True
        return self

    def predict(self, table):
        return table["city"] + "!"
"""


def test_an_estimator_that_keeps_no_names_has_those_of_the_example_where_it_asks_for_them(tmp_path: Path) -> None:
    table = people()[["age", "city"]].dropna()
    (tmp_path / "by_name.py").write_text(BY_NAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        from by_name import ByName

        model = ByName().fit(table, None)
        exported(tmp_path / "m", model, table, trusted=("by_name.ByName",))
        with served(tmp_path / "m") as ask:
            assert ask([[3, "Oslo"]]) == (200, ["Oslo!"])
    sys.modules.pop("by_name")


def test_without_pandas_numbers_come_as_lists_and_names_cannot(tmp_path: Path) -> None:
    """Only then the way out is to do without tables."""
    table = people()
    from sklearn import linear_model as linear

    numbers = linear.LinearRegression().fit(table[["age"]].fillna(0), [0, 1, 0, 1, 0, 1])
    from sklearn.pipeline import make_pipeline

    names = make_pipeline(columns_by_name(), linear.LinearRegression())
    names.fit(table, [0, 1, 0, 1, 0, 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        assert "columns" not in exported(tmp_path / "m", numbers, [[3]]).fields
        with pytest.raises(
            InvalidRequest, match=r"install pandas here, or fit the model on arrays instead of tables\.$"
        ):
            exported(tmp_path / "n", names, [[3, "Oslo", None, True]])


# --- what is trusted ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["RandomForestClassifier", "HistGradientBoostingClassifier", "GradientBoostingClassifier"]
)
def test_forests_and_boosted_trees_need_no_argument(kind: str, tmp_path: Path) -> None:
    from sklearn import ensemble

    model = getattr(ensemble, kind)().fit([[0, 1], [1, 0], [4, 5], [5, 4]], [0, 0, 1, 1])
    saved = exported(tmp_path / "m", model, [[0, 0], [9, 9]])
    with served(tmp_path / "m") as ask:
        assert ask([[0, 0], [9, 9]]) == (200, saved.outputs)
        status, told = ask([[1, 2, 3]])
        assert (status, "expecting 2 features" in told) == (400, True)


def test_only_what_runs_no_code_of_a_file_is_trusted_unasked() -> None:
    for name in ("sklearn.datasets", "sklearn.feature_selection", "sklearn.tree"):
        importlib.import_module(name)
    trusted = ["sklearn.tree._tree.Tree", "numpy.dtype", "sklearn.feature_selection._univariate_selection.f_classif"]
    others = [
        "posix.system",
        "builtins.eval",
        "numpy.load",
        "sklearn.datasets._base.load_files",  # a function that reads files
        "sklearn.tree._tree.os",
        "sklearn.tree._classes.Tree",  # of another module, under a name of this one
        "sklearn.tree._tree.Tree.__setstate__",
        "sklearnish.Tree",
        "sklearn.never_imported.Tree",
    ]
    assert [name for name in [*trusted, *others] if trusted_here(name)] == trusted


# --- what is refused ------------------------------------------------------------------------------------


def test_an_estimator_that_is_not_fitted_is_refused(tmp_path: Path) -> None:
    from sklearn import linear_model as linear

    with pytest.raises(InvalidRequest, match=r"^This LinearRegression is not fitted yet: call its fit method first\.$"):
        exported(tmp_path / "m", linear.LinearRegression(), [[1]])
    assert list(tmp_path.iterdir()) == [], "nothing is written"


def test_types_that_skops_does_not_know_are_named_and_taken_when_trusted_or_pickled(tmp_path: Path) -> None:
    from sklearn import preprocessing

    model = preprocessing.FunctionTransformer(json.dumps).fit([[1.0]])
    with pytest.raises(
        InvalidRequest, match=r"are not known as safe to load: json\.dumps\..*trusted=\['json\.dumps'\]"
    ):
        exported(tmp_path / "m", model, [[1]])
    exported(tmp_path / "m", model, [[1]], trusted=("json.dumps",))
    assert 'TRUSTED = ["json.dumps"]' in (tmp_path / "m" / "serve.py").read_text()
    assert answered(tmp_path / "m") == "[[1]]"
    exported(tmp_path / "p", model, [[1]], allow_pickle=True)
    assert (tmp_path / "p" / "model.joblib").exists()
    assert "joblib==" in (tmp_path / "p" / "requirements.txt").read_text()
    assert not (tmp_path / "p" / "model.skops").exists()


def test_what_cannot_be_saved_safely_is_no_pickle_unless_asked_for(tmp_path: Path) -> None:
    from sklearn import preprocessing

    model = preprocessing.FunctionTransformer(func=None, kw_args={"lock": _Reduced()}).fit([[1.0]])
    with pytest.raises(InvalidRequest, match="allow_pickle=True"):
        exported(tmp_path / "m", model)


class _Reduced:
    def __reduce__(self) -> Any:
        return (_Reduced, ())


def test_the_example_must_be_taken_as_it_comes_over_http(tmp_path: Path) -> None:
    from sklearn import linear_model as linear

    model = linear.LinearRegression().fit([[1.0, 2.0]], [1.0])
    with pytest.raises(
        InvalidRequest, match=r"predict cannot take the example as a list.* 1 feature.*2 feature"
    ) as told:
        exported(tmp_path / "m", model, [[1]])
    assert "table" not in str(told.value), "no hint that does not apply"
    with pytest.raises(InvalidRequest, match="has no 'transform' to be called; what can be served is predict"):
        exported(tmp_path / "m", model, [[1, 2]], method="transform")
    saved = exported(tmp_path / "m", model)
    assert (saved.inputs, shape(saved.outputs)) == ([[0.0, 0.0]], "1 number"), "without one, a row of its width"


@pytest.mark.torch
def test_why_torch_export_fails_is_told_in_a_sentence(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Branch(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, x: Any) -> Any:
            return x * 2 if x.sum() > 0 else x

    class Fixed(torch.nn.Module):  # type: ignore[misc,name-defined]
        def forward(self, x: Any) -> Any:
            return x.reshape(2, 3)

    with pytest.raises(InvalidRequest, match="this Branch: what it does depends on the values in a tensor"):
        exported(tmp_path / "m", Branch(), torch.ones(2, 3))
    with pytest.raises(
        InvalidRequest, match=r"this Fixed: it does not take batches of every size .*dynamic_batch=False"
    ):
        exported(tmp_path / "m", Fixed(), torch.ones(2, 3))
    steps: list[str] = []
    saved = exported(tmp_path / "m", Fixed(), torch.ones(2, 3), dynamic_batch=False, tell=steps.append)
    assert steps == ["exporting (torch.export)", "saving"]
    assert list(saved.notices) == ["The model takes batches of 2 only."]
    for example, reason in (
        (None, "give example="),
        ((torch.ones(1), torch.ones(1)), "has 2 inputs"),
        (torch.tensor(1.0), "no batch"),
        (torch.ones(2, 3, dtype=torch.complex64), "complex64"),
        (torch.ones(2, 2), "The model cannot take the example"),
    ):
        with pytest.raises(InvalidRequest, match=reason):
            exported(tmp_path / "n", torch.nn.Linear(3, 1), example)


def test_what_is_no_model_is_told_what_would_be_one() -> None:
    for thing, reason in (
        ("model.pkl", "model.pkl is a pickle, and loading one runs whatever code"),
        (Path("m.skops"), "the model itself, not its name or file"),
        (dict, "dict is a class"),
        ({}, r"builtins\.dict is none"),
    ):
        with pytest.raises(InvalidRequest, match=reason):
            family_of(thing)


def test_what_a_model_is_is_told_without_its_library() -> None:
    """By the modules of its classes alone; the libraries are not imported, nor with the function itself."""
    code = (
        "import sys, jupyter_model_service as m\n"
        "from jupyter_model_service.workbench.export import family_of\n"
        "assert callable(m.deploy)\n"
        "kinds = {'sklearn': 'BaseEstimator', 'torch': 'Module', 'transformers': 'Pipeline'}\n"
        "print([family_of(type('Mine', (type(n, (), {'__module__': p + '.inner'}),), {})()) for p, n in kinds.items()])\n"
        "print(sorted({each.partition('.')[0] for each in sys.modules} & {*kinds, 'IPython', 'numpy', 'skops'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["['scikit-learn', 'torch', 'transformers']", "[]"]


# --- the folder -----------------------------------------------------------------------------------------


def test_a_folder_that_deploy_did_not_write_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    assert check_folder(folder) == {}, "an empty one will do"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="was not written by deploy"):
        write_folder(folder, "mine", fake())
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(Conflict, match="is no folder"):
        check_folder(tmp_path / "link")


@pytest.mark.parametrize("before", [True, False])
def test_a_link_in_the_folder_is_not_followed(tmp_path: Path, before: bool) -> None:
    """Neither to write behind it nor to delete, whatever the record in the folder says."""
    victim, folder = tmp_path / "victim", tmp_path / "svc"
    for each in (victim, folder):
        each.mkdir()
    (victim / "known.txt").write_text("theirs")
    digest = hashlib.sha256(b"theirs").hexdigest()
    record = json.dumps({"files": {"model/known.txt": digest} if before else {}})
    (folder / ".deployed.json").write_text(record)
    (folder / "model").symlink_to(victim)

    def pipeline(into: Path) -> Saved:
        (into / "model").mkdir()
        (into / "model" / "config.json").write_text("{}")
        return Saved("transformers", {"task": "fill-mask", "path": "model"})

    for saving in (pipeline, fake()) if before else (pipeline,):
        with pytest.raises(Conflict, match=r"svc/model is a link, behind which deploy writes nothing: .*\.$"):
            write_folder(folder, "m", saving)
    assert {path.name: path.read_text() for path in victim.iterdir()} == {"known.txt": "theirs"}
    assert sorted(path.name for path in folder.iterdir()) == [".deployed.json", "model"]
    assert (folder / ".deployed.json").read_text() == record


def test_written_again_it_has_the_new_model_and_what_was_changed_by_hand(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    written, _ = write_folder(folder, "m", fake("one", inputs=[[1]]))
    assert written.kept == ()
    (folder / "serve.py").write_text("# mine")
    (folder / "notes.txt").write_text("mine")
    for text in ("two", "three"):
        written, _ = write_folder(folder, "m", fake(text, inputs=[[1, 2]]))
        assert written.kept == ("serve.py",)
        assert [(folder / name).read_text() for name in ("model.pt2", "serve.py", "notes.txt")] == [
            text,
            "# mine",
            "mine",
        ]
    assert read_samples(folder)[0].name == "predict: 1 × 2 numbers"
    with pytest.raises(Conflict, match=r"serve\.py was changed since deploy wrote it"):
        write_folder(folder, "m", fake(kind="scikit-learn", file="model.skops"))
    (folder / "serve.py").unlink()
    write_folder(folder, "m", fake(kind="scikit-learn", file="model.skops"))
    assert sorted(path.name for path in folder.glob("model.*")) == ["model.skops"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"], "nothing is left beside it"


def test_weights_that_somebody_else_put_there_are_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    write_folder(folder, "m", fake("one"))
    (folder / "model.pt2").write_text("trained by hand")
    with pytest.raises(Conflict, match=r"model\.pt2 was changed since"):
        write_folder(folder, "m", fake("two"))
    (folder / "model.skops").write_text("other")
    (folder / "model.pt2").unlink()
    with pytest.raises(Conflict, match=r"model\.skops was not written by deploy"):
        write_folder(folder, "m", fake(kind="scikit-learn", file="model.skops"))
    assert (folder / "model.skops").read_text() == "other"


def test_a_large_example_is_cut_to_one_input(tmp_path: Path) -> None:
    rows = [[float(n)] * 50_000 for n in range(20)]
    write_folder(tmp_path / "m", "m", fake(inputs=rows))
    first = read_samples(tmp_path / "m")[0]
    assert first.body == {"inputs": rows[:1]}
    assert first.name == "predict: 1 × 50000 numbers"


def test_examples_become_json() -> None:
    class Array:
        def tolist(self) -> list[int]:
            return [1, 2]

    assert plain({"a": (Array(), "x", None, True)}) == {"a": [[1, 2], "x", None, True]}
    with pytest.raises(InvalidRequest, match="NaN"):
        plain([float("nan")])
    with pytest.raises(InvalidRequest, match="has a object"):
        plain([object()])


def test_the_shape_of_an_answer_in_words() -> None:
    assert [
        shape(each) for each in ([[1, 2, 3], [4, 5, 6]], "hi", [], [[1], [2, 3]], [{"a": 1, "b": 2}], [1, "a"])
    ] == [
        "2 × 3 numbers",
        "a text",
        "a empty list",
        "2 lists",
        "1 object with a, b",
        "2 values",
    ]

from __future__ import annotations

import csv
import io
import json
import random
import re
from typing import Any

import pytest
from rich.console import Console

from clipprompt.datasets.classification.specifications import ELEVEN
from clipprompt.errors import UserError
from clipprompt.reports.protocols.gather import Gathered
from clipprompt.reports.protocols.summary import summarise_protocols
from clipprompt.reports.render.grid import Cell
from clipprompt.reports.render.table import FORMATS, check_protocol_format, rich_tables
from clipprompt.reports.report import render_report
from tests.reports.protocol_records import both, record

Records = list[dict[str, Any]]
METHODS = ("zero_shot", "coop", "cocoop", "maple")
NASTY = r"a_b%c&d#e$f{g}h~i^j\k|l*m[n]<o>"


def render_protocol_table(records: Records, format: str = "table", published: bool = True) -> str:  # noqa: A002
    """As ``clipprompt report`` does with what it has read."""
    return render_report(Gathered(list(records), [str(n) for n, _ in enumerate(records)]), format, published)


def base_to_novel(datasets: tuple[str, ...] = ELEVEN, methods: tuple[str, ...] = METHODS) -> Records:
    """Every method a tenth better than the one before; novel two tenths below base; seeds two hundredths apart."""
    seeds = {method: (1,) if method == "zero_shot" else (1, 2, 3) for method in methods}
    return [
        one
        for number, method in enumerate(methods)
        for name in datasets
        for s in seeds[method]
        for one in both(method, name, 0.4 + number / 10 + s / 50, 0.2 + number / 10 + s / 50, seed=s)
    ]


def few_shot(datasets: tuple[str, ...] = ("dtd", "food101"), **more: Any) -> Records:
    records = [record("zero_shot", name, 0.4, "all", protocol="few-shot", **more) for name in datasets]
    return records + [
        record("coop", name, 0.4 + n / 100 + s / 100, "all", protocol="few-shot", shots=n, seed=s, **more)
        for name in datasets
        for n in (1, 2, 4, 8, 16)
        for s in (1, 2, 3)
    ]


def cross(protocol: str = "cross-dataset", methods: tuple[str, ...] = METHODS) -> Records:
    return [
        record(
            m,
            name,
            0.5 + s / 100,
            "all",
            protocol=protocol,
            trained_on=None if m == "zero_shot" else "imagenet",
            seed=s,
        )
        for m in methods
        for name in ELEVEN
        for s in ((1,) if m == "zero_shot" else (1, 2))
    ]


def zero_shot(**more: Any) -> Records:
    return [record("zero_shot", name, 0.4, "all", protocol="zero-shot", **more) for name in ("dtd", "food101")]


def templates(datasets: tuple[str, ...], n: int = 3) -> Records:
    """One row to a sentence."""
    sentences = ["a flower photo of a {}.", "a type of flower, {}.", *(f"sentence {k} of a {{}}." for k in range(2, n))]
    return [
        record("zero_shot", name, 0.4, "all", protocol="zero-shot", options={"learner.templates": [sentence]})
        for name in datasets
        for sentence in sentences[:n]
    ]


EVERYTHING = [*base_to_novel(), *few_shot(), *cross(), *cross("domain"), *zero_shot()]


def lines(records: Records, format: str = "table", published: bool = True) -> list[str]:  # noqa: A002
    return [line.rstrip() for line in render_protocol_table(records, format, published).splitlines()]


# ---- terminal


def test_base_to_novel_is_a_block_to_each_set() -> None:
    shown = lines(base_to_novel(("food101", "dtd"), ("zero_shot", "coop")), published=False)
    assert shown[:13] == [
        "base-to-novel: accuracy in percent, 16 shots, ViT-B-16 (openai), fp32",
        "",
        "method                   Base       Novel          HM",
        "─────────────────────────────────────────────────────",
        "food101",
        "  zero_shot              42.0        22.0        28.9",
        "  coop             54.0 ± 2.0  34.0 ± 2.0  41.7 ± 2.1",
        "dtd †",
        "  zero_shot              42.0        22.0        28.9",
        "  coop             54.0 ± 2.0  34.0 ± 2.0  41.7 ± 2.1",
        "average of 2 sets",
        "  zero_shot              42.0        22.0        28.9",
        "  coop             54.0 ± 2.0  34.0 ± 2.0  41.7 ± 2.1",
    ]


def test_papers_have_columns_of_their_own_and_stars_where_they_differ() -> None:
    shown = lines(base_to_novel(("dtd",), ("coop",)))
    assert shown[2:4] == [
        " " * 46 + "paper:  paper:  paper:",
        "method          Base       Novel          HM    Base   Novel      HM",
    ]
    (coop,) = [line for line in shown if line.startswith("  coop")]
    assert " ".join(coop.split()) == "coop 44.0 ± 2.0 24.0 ± 2.0 31.1 ± 2.2 79.4* 41.2* 54.2*"


def test_what_only_papers_have_stands_below_ours() -> None:
    shown = [line.split() for line in lines(base_to_novel())]
    assert ["PromptSRC", "–", "–", "–", "84.3", "76.1", "80.0"] in shown
    assert not any("PromptSRC" in line for line in lines(base_to_novel(), published=False))


@pytest.mark.parametrize(
    "records",
    [
        base_to_novel(),
        few_shot(),
        few_shot(backbone="RN50"),
        cross(),
        cross("domain"),
        zero_shot(backbone="RN50"),
        cross(methods=tuple("abcdefghijkl")),
        base_to_novel(methods=("a " * 40, "b" * 90)),
    ],
    ids=[
        "base-to-novel",
        "few-shot",
        "few-shot with papers",
        "cross-dataset",
        "domain",
        "zero-shot",
        "many methods",
        "long names",
    ],
)
@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_line_is_wider_than_the_terminal(records: Records, width: int) -> None:
    text = io.StringIO()
    Console(file=text, width=width).print(rich_tables(summarise_protocols(records)))
    assert max(len(line.rstrip()) for line in text.getvalue().splitlines()) <= width
    assert "…" not in text.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize(
    "records", [base_to_novel(), few_shot(), cross()], ids=["base-to-novel", "few-shot", "cross-dataset"]
)
def test_every_number_is_shown_at_any_width(records: Records, width: int) -> None:
    tables = summarise_protocols(records)
    text = io.StringIO()
    Console(file=text, width=width).print(rich_tables(tables, published=False))
    numbers = [f"{number.mean:.1f}" for table in tables for row in table.rows for number in row.numbers.values()]
    shown = re.findall(r"(?<!± )(?<![±\d.])\d+\.\d", text.getvalue())
    assert sorted(shown) == sorted(numbers)


def test_sets_are_lines_where_they_have_no_room_as_columns() -> None:
    shown = lines(cross())
    assert any(line.split() == ["set", "zero_shot", "coop", "cocoop", "maple"] for line in shown)
    assert any(line.split()[:2] == ["imagenet", "(source)"] for line in shown)
    assert any(line.startswith("average of 10 sets ") for line in shown)


def test_long_names_are_lines_where_they_have_room() -> None:
    shown = lines(templates(("dtd", "food101"), 7))
    assert [line.split()[:2] for line in shown if line.startswith("method")] == [["method", "food101"]], "one table"
    assert sum(line.startswith("zero_shot, templates=") for line in shown) == 7


def test_a_table_is_in_as_few_parts_as_it_can_be() -> None:
    shown = lines(templates(ELEVEN))
    assert sum("───" in line for line in shown) == 1, "sets are lines: as columns they would be three parts"
    assert any(line.split()[0] == "oxford_pets" for line in shown if line)


def test_the_word_above_short_names_is_whole() -> None:
    protocol = {"protocol": "cross-dataset", "trained_on": "one"}
    shown = lines([record("coop", name, 0.5, "all", **protocol) for name in ("one", "two", "three")])
    assert any(line.split()[:1] == ["method"] for line in shown)


def test_colours_are_the_terminals_and_marks_do_not_need_them() -> None:
    text = io.StringIO()
    Console(file=text, width=80, force_terminal=True, color_system="standard").print(
        rich_tables(summarise_protocols(base_to_novel(("dtd",), ("coop", "maple"))))
    )
    assert re.search(r"\x1b\[35m\s*79\.4\*", text.getvalue())
    assert re.search(r"\x1b\[1m\s*54.0 ± 2.0", text.getvalue()), "the best in bold"


def test_names_are_no_commands_to_the_terminal() -> None:
    text = render_protocol_table(both("[red]coop[/red]", "d\x1b[31m", 0.5, 0.5))
    assert "[red]coop[/red]" in text
    assert "\x1b" not in text


# ---- Markdown


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_has_one_line_a_number_of_cells() -> None:
    shown = lines(EVERYTHING, "md")
    tables = [list(map(cells, block.splitlines())) for block in "\n".join(shown).split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    assert all(len(row) == len(table[0]) for table in tables for row in table)


def test_markdown_of_base_to_novel() -> None:
    shown = lines(base_to_novel(("dtd",), ("zero_shot", "coop")), "md")
    assert shown[2] == "| set | method | Base | Novel | HM | Base (paper) | Novel (paper) | HM (paper) |"
    assert shown[4] == "| dtd † | zero_shot | 42.0 | 22.0 | 28.9 | 53.2 | 59.9 | 56.4 |"
    assert shown[5] == r"| dtd † | coop | **54.0 ± 2.0** | **34.0 ± 2.0** | **41.7 ± 2.1** | 79.4\* | 41.2\* | 54.2\* |"
    assert shown[6] == "| dtd † | *CoCoOp* | – | – | – | 77.0 | 56.0 | 64.9 |"
    assert "- †: high-variance set: runs of one method can lie several percent apart" in shown


def test_markdown_of_cross_dataset_has_methods_as_lines() -> None:
    shown = lines(cross(methods=("zero_shot", "coop")), "md")
    assert cells(shown[2])[:3] == ["method", "imagenet (source)", "caltech101"]
    assert cells(shown[2])[-1] == "average of 10 sets"
    assert cells(shown[5])[:2] == ["coop", "**51.5 ± 0.7**"]


def test_markdown_of_zero_shot_is_one_column() -> None:
    assert lines(zero_shot(), "md")[2:7] == [
        "| set | zero_shot |",
        "| --- | ---: |",
        "| food101 | 40.0 |",
        "| dtd † | 40.0 |",
        "| average of 2 sets | 40.0 |",
    ]


def test_markdown_of_long_names_has_them_as_lines() -> None:
    shown = lines(templates(("dtd", "food101")), "md")
    assert shown[2] == "| method | food101 | dtd † | average of 2 sets |"
    assert cells(shown[4])[0] == "zero_shot, templates=a flower photo of a {}."


def test_markdown_escapes_what_it_would_read_as_signs() -> None:
    (row,) = [line for line in lines(both(NASTY, "_x_", 0.5, 0.5), "md") if line.startswith(r"| \_x\_ |")]
    assert row.startswith(r"| \_x\_ | a_b%c&d#e$f{g}h~i^j\\k\|l\*m\[n]\<o> |")


# ---- CSV


def read_csv(records: Records, published: bool = True) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_protocol_table(records, "csv", published))))


def test_csv_has_one_number_a_line_with_deviation_and_runs() -> None:
    found = read_csv(base_to_novel(("dtd",), ("coop",)))
    ours = {row["metric"]: row for row in found if row["mean"]}
    assert [ours["base"][key] for key in ("mean", "std", "n_runs", "published", "differs")] == [
        "44.000",
        "2.000",
        "3",
        "79.44",
        "yes",
    ]
    assert [ours["base"][key] for key in ("protocol", "dataset", "shots", "row")] == [
        "base-to-novel",
        "dtd",
        "16",
        "coop",
    ]
    assert {(row["row"], row["mean"], row["published"]) for row in found if row["metric"] == "hm"} == {
        ("coop", "31.059", "54.24"),
        ("CLIP (paper)", "", "56.37"),
        ("CoCoOp (paper)", "", "64.85"),
        ("MaPLe (paper)", "", "68.16"),
    }


def test_csv_holds_every_number_of_every_table_once() -> None:
    keys = [
        tuple(row[key] for key in ("table", "row", "dataset", "shots", "metric")) for row in read_csv(EVERYTHING, False)
    ]
    n_numbers = sum(len(row.numbers) for table in summarise_protocols(EVERYTHING) for row in table.rows)
    assert len(keys) == len(set(keys)) == n_numbers


def test_csv_of_an_average_that_no_paper_prints_has_three_decimals() -> None:
    found = read_csv(base_to_novel(ELEVEN[:3], ("coop",)))
    averages = {
        row["row"]: row["published"] for row in found if row["dataset"] == "average" and row["metric"] == "novel"
    }
    assert averages == {
        "coop": "84.327",
        "CLIP (paper)": "86.467",
        "CoCoOp (paper)": "87.31",
        "MaPLe (paper)": "87.553",
    }


def test_csv_of_single_runs_leaves_deviation_and_difference_empty() -> None:
    row = read_csv(both("coop", "dtd", 0.5, 0.5))[0]
    assert (row["std"], row["published"], row["differs"]) == ("", "79.44", "")


def test_csv_of_few_shot_has_shots_in_their_column() -> None:
    found = read_csv(few_shot())
    assert {row["metric"] for row in found} == {"accuracy"}
    assert [row["shots"] for row in found if row["dataset"] == "average"] == ["0", "1", "2", "4", "8", "16"]


@pytest.mark.parametrize(("printed", "decimals", "text"), [(64.05, 1, "64.1"), (64.05, 2, "64.05"), (64.04, 1, "64.0")])
def test_printed_numbers_are_rounded_as_on_paper(printed: float, decimals: int, text: str) -> None:
    assert Cell(printed=printed).text(decimals) == text


# ---- LaTeX


def test_latex_balances_and_every_row_has_every_cell() -> None:
    text = render_protocol_table(EVERYTHING + both(NASTY, NASTY, 0.5, 0.5), "latex")
    tables = re.findall(r"\\begin\{table\*\}(.*?)\\end\{table\*\}", text, flags=re.DOTALL)
    assert len(tables) == 7  # five, of which the first fills three pages
    for table in tables:
        _check_braces(table)
        tabulars = re.findall(r"\\begin\{tabular\}\[t\]\{(lr*)\}(.*?)\\end\{tabular\}", table, flags=re.DOTALL)
        assert len(tabulars) == table.count("tabular}") / 2
        for columns, body in tabulars:
            for row in re.sub(r"\\(top|mid|bottom)rule", "", body).split(r"\\")[:-1]:
                n_spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
                assert len(re.findall(r"(?<!\\)&", row)) + 1 + n_spanned == len(columns), row


def _check_braces(text: str) -> None:
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text.replace(r"\\", "")):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


def test_latex_reads_no_command_in_a_name() -> None:
    text = render_protocol_table(both(NASTY, "dtd", 0.5, 0.5), "latex", published=False)
    escaped = (
        r"a\_b\%c\&d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k\textbar{}l{*}m{[}n]"
        r"\textless{}o\textgreater{}"
    )
    assert rf"{escaped} & 50.00 & 50.00 & 50.00 \\" in text


def test_latex_has_no_sign_that_needs_another_font() -> None:
    assert render_protocol_table(EVERYTHING, "latex").isascii()


def test_latex_row() -> None:
    text = render_protocol_table(base_to_novel(("dtd",), ("zero_shot", "coop")), "latex")
    assert r"\multicolumn{7}{c}{\textbf{dtd $\dagger$}} \\" in text
    bold = r"\textbf{54.00}\,{\tiny$\pm$\,2.00} & \textbf{34.00}\,{\tiny$\pm$\,2.00}"
    assert f"\ncoop & {bold}" in text
    assert r"\textit{79.44{*}} & \textit{41.18{*}} & \textit{54.24{*}} \\" in text
    assert r"\multicolumn{4}{c}{} & \multicolumn{3}{c}{paper} \\" in text
    assert r"method & Base & Novel & HM & \textit{Base} & \textit{Novel} & \textit{HM} \\" in text


def test_latex_titles_stand_on_end_where_there_are_many() -> None:
    text = render_protocol_table(cross(methods=tuple("abcdefghijkl")), "latex")
    assert r"\rotatebox{90}{oxford\_pets}" in text
    assert r"\resizebox{\textwidth}{!}{%" in text
    assert "rotatebox" not in render_protocol_table(base_to_novel(), "latex")


@pytest.mark.parametrize("n_methods", [1, 4, 6])
def test_latex_of_cross_dataset_has_sets_as_lines(n_methods: int) -> None:
    text = render_protocol_table(cross(methods=tuple("abcdef")[:n_methods]), "latex")
    assert rf"\begin{{tabular}}[t]{{l{'r' * n_methods}}}" in text
    assert "\nimagenet (source) & " in text
    assert "\naverage of 10 sets & " in text
    assert "rotatebox" not in text
    assert r"\resizebox{\textwidth}{!}{%" not in text, "letters keep their size"


def test_latex_titles_that_are_long_stand_on_end() -> None:
    text = render_protocol_table(templates(ELEVEN), "latex")
    assert r"\rotatebox{90}{zero\_shot, templates=a flower photo of a \{\}.}" in text


def test_latex_has_a_small_table_to_each_set() -> None:
    text = render_protocol_table(base_to_novel(), "latex")
    assert text.count(r"\begin{tabular}[t]{lrrrrrr}") == 12
    assert text.count("\\fi\\quad\n\\sbox0{%\n\\begin{tabular}") == 9  # of six, five, and the average


@pytest.mark.parametrize(("published", "sets"), [(True, [6, 5, 1]), (False, [12])], ids=["papers", "ours alone"])
def test_latex_float_is_not_longer_than_a_page(published: bool, sets: list[int]) -> None:
    floats = render_protocol_table(base_to_novel(), "latex", published).split(r"\begin{table*}")[1:]
    assert [text.count(r"\begin{tabular}") for text in floats] == sets
    for number, text in enumerate(floats, 1):
        assert (f" ({number} of {len(floats)}).}}" in text) == (len(floats) > 1)
        assert ("HM: harmonic mean" in text) == (number == len(floats))


def test_latex_table_is_not_wider_than_its_share_of_the_page() -> None:
    text = render_protocol_table(base_to_novel(("dtd",)), "latex", published=False)
    assert r"\ifdim\wd0>.48\textwidth\resizebox{.48\textwidth}{!}{\usebox0}\else\usebox0\fi" in text


# ---- all


@pytest.mark.parametrize("format", FORMATS)
def test_order_of_the_records_does_not_matter(format: str) -> None:  # noqa: A002
    shuffled = random.Random(1).sample(EVERYTHING, len(EVERYTHING))
    assert render_protocol_table(shuffled, format) == render_protocol_table(EVERYTHING, format)


@pytest.mark.parametrize("format", FORMATS)
def test_merged_parts_are_the_whole(format: str) -> None:  # noqa: A002
    parts = [EVERYTHING[number::3] for number in range(3)]
    merged = [json.loads(line) for part in parts for line in render_protocol_table(part, "jsonl").splitlines()]
    assert render_protocol_table(merged, format) == render_protocol_table(EVERYTHING, format)


def test_jsonl_is_the_records_each_once() -> None:
    records = base_to_novel(("dtd",))
    found = [json.loads(line) for line in render_protocol_table(records + records, "jsonl").splitlines()]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, records))


@pytest.mark.parametrize("name", ["tabel", "", "tex"])
def test_unknown_format_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match="choose one of table, md, csv, latex, jsonl"):
        check_protocol_format(name)


def test_tables_that_do_not_compare_stand_one_below_the_other() -> None:
    shown = lines(zero_shot() + zero_shot(precision="bf16"))
    assert [line for line in shown if line.startswith("zero-shot")] == [
        "zero-shot: accuracy in percent, ViT-B-16 (openai), bf16",
        "zero-shot: accuracy in percent, ViT-B-16 (openai), fp32",
    ]

"""The picture shows each point once, in two panels, and the full-sentence line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_tables import RECORDS

from streamtrans.evaluation import curves
from streamtrans.evaluation.curves import CurveError, draw

figure = pytest.importorskip("matplotlib.figure")
ADAPTIVE = [
    {**RECORDS[0], "policy": f"adaptive-1-6:{t}", "bleu": bleu, "al": al}
    for t, bleu, al in ((0.9, 38.0, 4.2), (0.7, 36.0, 3.1))
]


def test_a_curve_for_each_system_and_kind_of_policy() -> None:
    axes = figure.Figure().subplots()
    curves._draw_panel(axes, [*RECORDS, *ADAPTIVE], "laal")
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == [
        "small, wait",
        "small, adaptive",
        "small, full-sentence",
        "large, wait",
        "slow, wait",
    ]
    assert list(lines["small, wait"].get_xdata()) == [1.5, 4.5, 4.51]
    assert list(lines["small, wait"].get_ydata()) == [20.0, 30.0, 35.0]
    assert list(lines["small, adaptive"].get_ydata()) == [36.0, 38.0]  # in the order of lag
    assert set(lines["small, full-sentence"].get_ydata()) == {40.0}
    colours = {name: line.get_color() for name, line in lines.items()}
    assert colours["small, wait"] == colours["small, full-sentence"] != colours["large, wait"]


def test_a_png_is_written(tmp_path: Path) -> None:
    """Also of many systems, and of full-sentence search alone; pyplot and its global state stay out."""
    many = [{**r, "system": f"{r['system']} {i}"} for i in range(8) for r in RECORDS]
    for name, records in (("one", RECORDS), ("many", many), ("line", RECORDS[3:4])):
        path = tmp_path / f"{name}.png"
        draw(records, path)
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and path.stat().st_size > 10_000
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with pytest.raises(CurveError, match=r"pip install 'streamtrans\[bench\]'"):
        draw(RECORDS, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()

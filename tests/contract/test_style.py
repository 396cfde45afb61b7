"""The playground and the reports look the same: each program has a copy of the sheet, and not the other program."""

from tests.processes import ROOT


def test_the_service_and_training_have_the_same_style_sheet() -> None:
    ours = ROOT / "service/http/static/base.css"
    assert (ROOT / "training/report/base.css").read_bytes() == ours.read_bytes(), "cp one over the other"

"""The report as a page of HTML for people: it loads nothing, and all texts are escaped."""

import base64
from collections.abc import Iterator
from html import escape

import numpy as np

from piperline.finding import Finding
from piperline.text import printable
from piperline.verify.report import Report, Strip
from piperline.video.images import contact_sheet, encode_png

_WIDTH = 480
"""Pixels that a strip is wide at most."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
h1 span { padding: 0 .4em; border-radius: .2em; color: white; }
.good { background: #23804a; } .bad { background: #b3261e; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3em .6em; border-bottom: 1px solid #ddd; }
figure { display: inline-block; margin: .5em 1em .5em 0; } figcaption { font-size: 13px; }
"""


def page(report: Report) -> str:
    """The page of a report."""
    return "\n".join(_parts(report)) + "\n"


def _parts(report: Report) -> Iterator[str]:
    title = _text(f"{report.verdict}: {report.dataset.name}")
    look = "good" if report.verdict == "verified" else "bad"
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f'<h1><span class="{look}">{report.verdict}</span> {_text(report.dataset.name)}</h1>'
    yield f"<p>{_text(str(report.dataset))}</p>"
    yield "<h2>What was looked at</h2><table>"
    for name, text in report.accounts():
        yield f"<tr><th>{_text(name)}</th><td>{_text(text)}</td></tr>"
    for reason in report.not_looked_at:
        yield f"<tr><th>not looked at</th><td>{_text(reason)}</td></tr>"
    yield "</table>"
    yield "<h2>Findings</h2>"
    yield from _findings(report.findings)
    if report.strips:
        yield "<h2>The worst frames of each camera</h2>"
        yield "<p>Above: recorded. Below: in the dataset.</p>"
        for strip in report.strips:
            yield _figure(strip)
    yield "</body></html>"


def _findings(findings: tuple[Finding, ...]) -> Iterator[str]:
    if not findings:
        yield "<p>None.</p>"
        return
    yield "<table><tr><th></th><th>What</th><th>Where</th></tr>"
    for finding in findings:
        where = _text(str(finding.place)) if finding.place else ""
        what = f"{_text(finding.message)} <small>{_text(finding.code)}</small>"
        yield f"<tr><td>{finding.severity}</td><td>{what}</td><td>{where}</td></tr>"
    yield "</table>"


def _figure(strip: Strip) -> str:
    sheet = contact_sheet(
        [[strip.recorded], [strip.decoded]],
        max_width=_WIDTH,
    )
    data = base64.b64encode(encode_png(sheet)).decode()
    quality = f"{strip.psnr:.1f} dB" if np.isfinite(strip.psnr) else "equal"
    words = _text(
        f"{strip.camera}, episode {strip.episode}, frame {strip.frame}: {quality}"
    )
    image = f'<img alt="{words}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _text(text: str) -> str:
    """`text`, which may come from a file, as HTML shows it and nothing else."""
    return escape(printable(text))

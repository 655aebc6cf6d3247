"""The report as a page of HTML for people: it loads nothing, and all texts are escaped.

It holds both languages, and shows the browser's first. What findings say in detail is English.
"""

import base64
from collections.abc import Iterator
from html import escape

import numpy as np

from piperline.finding import Finding
from piperline.text import printable
from piperline.verify import chinese
from piperline.verify.report import Strip, VerifyReport
from piperline.video.images import contact_sheet, encode_png

_WIDTH = 480
"""Pixels that a strip is wide at most."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
h1 span { padding: 0 .4em; border-radius: .2em; color: white; }
.good { background: #23804a; } .bad { background: #b3261e; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3em .6em; border-bottom: 1px solid #ddd; }
main [lang=zh], #zh:checked ~ main [lang=en] { display: none; }
#zh:checked ~ main [lang=zh] { display: inline; }
input { margin-left: 1em; }
figure { display: inline-block; margin: .5em 1em .5em 0; } figcaption { font-size: 13px; }
"""
_SWITCH = """<input type="radio" name="language" id="en" checked><label for="en">English</label>
<input type="radio" name="language" id="zh"><label for="zh">中文</label>
<script>if (navigator.language.startsWith("zh")) document.getElementById("zh").checked = true;
</script>"""


def page(report: VerifyReport) -> str:
    """The page of a report."""
    return "\n".join(_parts(report)) + "\n"


def _parts(report: VerifyReport) -> Iterator[str]:
    title = _text(f"{report.verdict}: {report.dataset.name}")
    look = "good" if report.verdict == "verified" else "bad"
    verdict = _both(report.verdict, chinese.VERDICTS[report.verdict])
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
    yield f"{_SWITCH}<main>"
    yield f'<h1><span class="{look}">{verdict}</span> {_text(report.dataset.name)}</h1>'
    yield f"<p>{_text(str(report.dataset))}</p>"
    yield f"<h2>{_both('What was looked at', '检查了什么')}</h2><table>"
    yield from _accounts(report)
    yield "</table>"
    yield f"<h2>{_both('Findings', '发现的问题')}</h2>"
    yield from _findings(report.findings)
    if report.strips:
        worst = _both("The worst frames of each camera", "每个相机最差的帧")
        yield f"<h2>{worst}</h2>"
        where = "Above: recorded. Below: in the dataset."
        yield f"<p>{_both(where, '录制的画面在上、数据集中的画面在下')}</p>"
        for strip in report.strips:
            yield _figure(strip)
    yield "</main></body></html>"


def _accounts(report: VerifyReport) -> Iterator[str]:
    told = [*report.accounts()]
    edited = [
        (*account, *account) for account in told if account[0] == "edited"
    ]
    others = [account for account in told if account[0] != "edited"]
    translated = zip(others, chinese.accounts(report), strict=True)
    pairs = [(*english, *other) for english, other in translated]
    for name, text, title, words in [*pairs, *edited]:
        yield f"<tr><th>{_both(name, title)}</th><td>{_both(text, words)}</td></tr>"
    for reason in report.not_looked_at:
        head = _both("not looked at", "未检查")
        yield f"<tr><th>{head}</th><td>{_text(reason)}</td></tr>"


def _findings(findings: tuple[Finding, ...]) -> Iterator[str]:
    if not findings:
        yield f"<p>{_both('None.', '没有')}</p>"
        return
    what, where = _both("What", "问题"), _both("Where", "位置")
    yield f"<table><tr><th></th><th>{what}</th><th>{where}</th></tr>"
    for finding in findings:
        where = _text(str(finding.place)) if finding.place else ""
        name = chinese.CODES.get(finding.code, "")
        message = (
            f"{_text(finding.message)} <small>{_text(finding.code)}</small>"
        )
        what = f'<span lang="zh">{name} </span>{message}'
        severity = _both(finding.severity, chinese.SEVERITIES[finding.severity])
        yield f"<tr><td>{severity}</td><td>{what}</td><td>{where}</td></tr>"
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


def _both(english: str, other: str) -> str:
    """A text in both languages, of which the page shows one."""
    return f'<span lang="en">{_text(english)}</span><span lang="zh">{_text(other)}</span>'


def _text(text: str) -> str:
    """`text`, which may come from a file, as HTML shows it and nothing else."""
    return escape(printable(text))

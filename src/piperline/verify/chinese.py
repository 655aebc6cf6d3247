"""What the page of a report says in Chinese; English is in `report` and `page`."""

from collections.abc import Iterator, Mapping

from piperline.text import size_text
from piperline.verify.report import VerifyReport

VERDICTS: Mapping[str, str] = {"verified": "已验证", "not verified": "未通过"}
SEVERITIES: Mapping[str, str] = {"error": "错误", "warning": "警告"}
CODES: Mapping[str, str] = {
    "camera-without-videos": "声明的相机没有视频",
    "column-type": "列的类型不对",
    "column-values": "列的数值与声明不符",
    "columns-missing": "缺少列",
    "dataset-unreadable": "数据集无法读取",
    "depth-differs": "深度与录制时不同",
    "episode-stats-stale": "回合的统计值与各行不符",
    "file-left-over": "文件不属于任何回合",
    "file-special": "不是普通文件",
    "frame-camera": "画面来自另一个相机",
    "frame-colors": "红蓝颜色对调",
    "frame-episode": "画面来自另一个回合",
    "frame-missing": "缺少帧",
    "frame-quality": "画面质量太差",
    "frame-shifted": "画面错位",
    "frame-unlike": "画面与录制内容都不相似",
    "instruction-differs": "指令文本与录制时不同",
    "length-differs": "长度与录制时不同",
    "link-out": "链接指向数据集之外",
    "modality-column": "modality.json 指向不存在的列",
    "modality-cover": "modality.json 没有覆盖所有维度",
    "modality-crossed": "modality.json 左右交叉",
    "modality-names": "modality.json 的名称与特征不符",
    "modality-overlap": "modality.json 的区间重叠",
    "modality-range": "modality.json 的区间超出范围",
    "modality-syntax": "modality.json 不是合格的 JSON",
    "modality-video": "modality.json 指向不存在的相机",
    "packets-differ": "数据包与录制时不同",
    "recording-missing": "找不到对应的录制回合",
    "recording-unreadable": "录制文件无法读取",
    "relative-stats-stale": "相对动作的统计值与各行不符",
    "rows-bookkeeping": "缺少编号列",
    "rows-count": "行数不符",
    "rows-differ": "数值与录制时不同",
    "rows-episode-index": "episode_index 不对",
    "rows-frame-index": "frame_index 不对",
    "rows-index": "index 不对",
    "rows-instruction": "各行的指令文本与回合表不符",
    "rows-late": "时间不从零开始",
    "rows-left-over": "文件中有多余的行",
    "rows-task-index": "任务编号不在任务表中",
    "rows-timestamp": "时间不在网格上",
    "rows-unreadable": "各行无法读取",
    "seal-damaged": "封印已损坏或被改动",
    "sealed-file-changed": "封印之后文件被改动",
    "sealed-file-link": "封印的文件被换成链接",
    "sealed-file-missing": "缺少封印的文件",
    "sealed-rows-changed": "封印之后各行被改动",
    "sealed-video-changed": "封印之后视频被改动",
    "signature-bad": "签名与封印不符",
    "signature-other": "签名者不是指定的人",
    "stats-stale": "统计值与各行不符",
    "stats-syntax": "统计文件不是合格的 JSON",
    "stats-unreadable": "统计值无法读取",
    "totals": "info.json 的总数不符",
    "video-frames": "视频帧数与行数不符",
    "video-missing": "缺少视频",
    "video-not-copied": "图像没有原样保留",
    "video-rate": "视频帧率不符",
    "video-size": "视频尺寸不符",
    "video-span": "视频区间不连续",
    "video-truncated": "视频被截断或追加",
    "video-undecodable": "视频无法解码",
    "video-unreadable": "视频无法读取",
}
"""What each finding is, in a few words."""


def accounts(report: VerifyReport) -> Iterator[tuple[str, str]]:
    """What was looked at: as `VerifyReport.accounts`."""
    looked, size = report.looked, report.size
    counts = f"{size.episodes} 个回合、{size.rows} 行、{size.cameras} 个相机"
    yield "数据集", f"LeRobot {report.version}、{counts}"
    if looked.files:
        signed = f"签名者 {report.signature}" if report.signature else "未签名"
        read = f"{looked.files} 个文件、{size_text(looked.file_bytes)}"
        yield "封印", f"{read}、{signed}"
    if report.when_made:
        made = report.when_made
        verdict = VERDICTS.get(str(made.get("verdict")), "")
        frames = f"{made.get('packets')} 个数据包、解码 {made.get('frames')} 帧"
        every = f"共 {made.get('all_frames')} 帧"
        yield "制作时", f"{verdict}、{made.get('rows')} 行、{frames}、{every}"
    rows = f"{looked.rows} / {size.rows} 行、{looked.statistics} 项统计值"
    frames = f"解码 {looked.decoded} / {size.frames} 帧"
    yield "自身", f"{rows}、{looked.videos} 个视频、{frames}"
    if looked.episodes:
        yield "录制文件", _recordings(report)


def _recordings(report: VerifyReport) -> str:
    looked, size = report.looked, report.size
    parts = [
        f"{looked.episodes} / {size.episodes} 个回合",
        f"{looked.recorded_rows} / {size.rows} 行",
        f"{looked.instructions} 条指令文本",
        f"{looked.packets} 个数据包",
        f"解码 {looked.frames} 帧、共 {size.frames} 帧",
    ]
    if looked.cannot_tell:
        parts.append(f"{looked.cannot_tell} 帧过于相似无法分辨")
    return "、".join(parts)

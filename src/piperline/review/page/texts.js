"use strict";
// What the page says, in English and Chinese; {n} and the like are filled in by `say`.

const TEXTS = {
  all: ["everything", "全部"],
  allEpisodes: ["all episodes", "所有回合"],
  accept: ["accept", "采纳"],
  action: ["action", "动作"],
  armsHint: ["drag to turn; thin: the command", "拖动可旋转；细线为指令"],
  back: ["overview", "总览"],
  clean: ["without findings", "没有发现"],
  decided: ["changed by the plan", "计划中有改动"],
  doubtful: ["proposed", "建议"],
  drop: ["drop", "丢弃"],
  dropCamera: ["leave this camera out of the whole dataset", "整个数据集不用这个相机"],
  dropped: ["dropped", "已丢弃"],
  end: ["ends here", "到此结束"],
  episodes: ["episodes", "回合"],
  error: ["error", "错误"],
  errors: ["errors", "错误"],
  findings: ["findings", "发现"],
  frame: ["frame", "帧"],
  frames: ["frames", "帧"],
  help: ["keys", "按键"],
  instruction: ["instruction", "指令文本"],
  keep: ["keep", "保留"],
  left: ["left", "左"],
  noCurves: ["the curves are missing: run piperline review again", "缺少曲线：请重新运行 piperline review"],
  noFindings: ["nothing was found", "没有发现问题"],
  noVideos: ["no videos: the review was made with --no-videos or --tables-only", "没有视频：检查时用了 --no-videos 或 --tables-only"],
  notes: ["not looked for", "未检查的项目"],
  ofAll: ["{n} of {all} episodes", "{n} / {all} 个回合"],
  play: ["play", "播放"],
  relabel: ["relabel", "改文本"],
  relabelAll: ["Enter: this episode; Shift+Enter: all {n} episodes with the old text; Esc: as it was", "回车：仅此回合；Shift+回车：所有 {n} 个同文本回合；Esc：取消"],
  right: ["right", "右"],
  save: ["save plan.toml", "保存 plan.toml"],
  scopeAll: ["all", "全部"],
  scopeEpisode: ["episode", "回合"],
  scopeFrames: ["frames", "帧段"],
  scopeSession: ["session", "采集"],
  search: ["search names, instructions, sessions", "搜索名称、文本、采集"],
  seconds: ["{n} s", "{n} 秒"],
  session: ["session", "采集"],
  start: ["begins here", "从此开始"],
  startOver: ["reset", "重置"],
  state: ["state", "状态"],
  summary: ["drop {drop} · trim {trim} · relabel {label}", "丢弃 {drop} · 裁剪 {trim} · 改文本 {label}"],
  swap: ["exchange red and blue", "交换红蓝"],
  trim: ["trim", "裁剪"],
  trimmed: ["trimmed", "已裁剪"],
  untrim: ["no trim", "不裁剪"],
  warning: ["warning", "警告"],
  warnings: ["warnings", "警告"],
  withFindings: ["with findings", "有发现的"],
  withoutText: ["(no instruction)", "（无文本）"],
};

// Keys, and what they do. The second list belongs to an opened episode.
const KEYS = [
  ["← ↑ → ↓", "walk through the grid", "在网格中移动"],
  ["Enter", "open the episode", "打开回合"],
  ["/", "search", "搜索"],
  ["S", "save plan.toml", "保存 plan.toml"],
  ["L", "English or Chinese", "切换中英文"],
  ["?", "this list", "本列表"],
];
const EPISODE_KEYS = [
  ["Space", "play and pause", "播放与暂停"],
  ["← →", "one frame back and on; with Shift ten", "后退、前进一帧；加 Shift 为十帧"],
  ["Home End", "first and last frame", "第一帧与最后一帧"],
  ["F", "the next finding of this episode", "本回合的下一个发现"],
  [", .", "slower and faster", "减速与加速"],
  ["↑ ↓", "episode before and after", "上一个、下一个回合"],
  ["K", "keep: nothing is done to it", "保留：不做改动"],
  ["D", "drop, or not", "丢弃或取消丢弃"],
  ["I O", "trim: begins here, ends here", "裁剪：从此开始、到此结束"],
  ["T", "no trim", "取消裁剪"],
  ["R", "relabel", "改写文本"],
  ["A", "accept what is proposed", "采纳建议"],
  ["Esc", "overview", "总览"],
];

let language = 0; // 0 English, 1 Chinese

/** The text of that name in the language that is chosen. */
function say(name, values = {}) {
  return TEXTS[name][language].replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

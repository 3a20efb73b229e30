"""The one style sheet of the HTML views."""

from __future__ import annotations

from typing import Final


_LIGHT: Final = (
    "--lc-fg:#1f2328;--lc-dim:#59636e;--lc-bg:#ffffff;--lc-soft:#f3f5f7;--lc-line:#d1d9e0;"
    "--lc-user:#ddf4ff;--lc-bad:#b3151f;--lc-badbg:#ffebe9;--lc-warn:#7d4e00;--lc-good:#116329;"
    "--lc-agent:#8250df;--lc-model:#0969da;--lc-tool:#855700;--lc-retriever:#1a7f37;--lc-other:#5f6872;"
)
_DARK: Final = (
    "--lc-fg:#e6edf3;--lc-dim:#9ea7b3;--lc-bg:#15191f;--lc-soft:#1f252d;--lc-line:#3d444d;"
    "--lc-user:#123450;--lc-bad:#ff8f88;--lc-badbg:#3c1518;--lc-warn:#e3b341;--lc-good:#56d364;"
    "--lc-agent:#c297ff;--lc-model:#6cb6ff;--lc-tool:#e3b341;--lc-retriever:#56d364;--lc-other:#8b949e;"
)

STYLE: Final = (
    # The system decides, unless JupyterLab or VS Code say which theme they show.
    f".lucidic,.lc-page{{{_LIGHT}}}"
    f"@media (prefers-color-scheme:dark){{.lucidic,.lc-page{{{_DARK}}}}}"
    f'[data-jp-theme-light="true"] .lucidic,.vscode-light .lucidic{{{_LIGHT}}}'
    f'[data-jp-theme-light="false"] .lucidic,.vscode-dark .lucidic{{{_DARK}}}'
    ".lucidic,.lc-page{color:var(--lc-fg);background:var(--lc-bg);font:14px/1.45 system-ui,sans-serif}"
    ".lucidic{border:1px solid var(--lc-line);border-radius:8px;padding:12px 16px;max-width:1100px}"
    ".lc-page{margin:0;padding:16px;color-scheme:light dark}.lc-page main{max-width:1100px;margin:auto}"
    ".lc-unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    ".lucidic+.lucidic{margin-top:16px}"
    ".lucidic h2{font-size:1.15em;margin:0;overflow-wrap:anywhere}.lucidic p{margin:.15em 0;overflow-wrap:anywhere}"
    ".lc-note{color:var(--lc-dim);font-size:.9em}"
    ".lc-bad{color:var(--lc-bad)}.lc-warn{color:var(--lc-warn)}"
    ".lc-state{font-size:.75em;font-weight:600;padding:.1em .6em;border:1px solid;border-radius:1em;"
    "color:var(--lc-dim)}.lc-active{color:var(--lc-good)}.lc-died{color:var(--lc-bad)}"
    ".lucidic summary{cursor:pointer}.lucidic summary:focus-visible{outline:2px solid var(--lc-model)}"
    ".lc-turn{border-top:1px solid var(--lc-line);margin-top:10px;padding-top:8px}"
    ".lc-said{display:flex;gap:10px;margin:6px 0;padding:6px 10px;border-radius:8px;background:var(--lc-soft)}"
    ".lc-said.lc-user{background:var(--lc-user)}.lc-said.lc-error{background:var(--lc-badbg);color:var(--lc-bad)}"
    ".lc-said>div{white-space:pre-wrap;overflow-wrap:anywhere;max-height:14em;overflow:auto;flex:1}"
    ".lc-who{flex:none;width:5.2em;overflow-wrap:anywhere;font-weight:600}"
    ".lc-tree{margin-top:6px;font-size:.93em}"
    ".lc-row>summary,a.lc-row{display:grid;grid-template-columns:minmax(0,1fr) 240px 4.5em;gap:10px;align-items:center;"
    "padding:2px 4px 2px calc(4px + var(--lc-depth)*1.3em);border-radius:4px;list-style:none}"
    ".lc-row>summary::-webkit-details-marker{display:none}"
    '.lc-row>summary .lc-what::before{content:"\\25B8";color:var(--lc-dim);display:inline-block;width:1.1em}'
    '.lc-row[open]>summary .lc-what::before{content:"\\25BE"}'
    ".lc-row>summary:hover,.lc-row[open]>summary,a.lc-row:hover{background:var(--lc-soft)}"
    ".lc-what{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}"
    ".lc-row[open]>summary .lc-what{white-space:normal;overflow-wrap:anywhere}"
    ".lc-time{text-align:right;font-variant-numeric:tabular-nums;color:var(--lc-dim)}"
    ".lc-bar{display:block;background:var(--lc-soft);border-radius:2px;overflow:hidden}"
    ".lc-bar i{display:block;height:8px;min-width:2px;border-radius:2px;background:var(--lc-kind)}"
    ".lc-row{--lc-kind:var(--lc-other)}.lc-k-agent{--lc-kind:var(--lc-agent)}.lc-k-model{--lc-kind:var(--lc-model)}"
    ".lc-k-tool{--lc-kind:var(--lc-tool)}"
    ".lc-k-retriever,.lc-k-embedding,.lc-k-reranker{--lc-kind:var(--lc-retriever)}"
    ".lc-what b{color:var(--lc-kind)}.lc-failed{--lc-kind:var(--lc-bad)}.lc-failed .lc-what{color:var(--lc-bad)}"
    ".lc-out{color:var(--lc-dim)}"
    ".lc-steps{color:var(--lc-dim);padding-left:calc(4px + var(--lc-depth)*1.3em)}"
    ".lc-content{margin:2px 0 8px 1.5em;padding:4px 10px;border-left:3px solid var(--lc-kind)}"
    ".lc-content dl{margin:0;display:grid;grid-template-columns:auto minmax(0,1fr);gap:2px 12px}"
    ".lc-content dt{color:var(--lc-dim)}.lc-content dd{margin:0}"
    ".lucidic pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;max-height:30em;overflow:auto;"
    "font:12.5px/1.4 ui-monospace,monospace;background:none;color:inherit;padding:0;border:0}"
    "@media (max-width:600px){.lc-row>summary,a.lc-row{grid-template-columns:minmax(0,1fr) 4.5em}.lc-bar{display:none}"
    ".lc-said{flex-direction:column;gap:2px}.lc-who{width:auto}}"
)

"""What only the page needs of style."""

from __future__ import annotations

from typing import Final


PAGE_STYLE: Final = (
    "nav{max-width:1100px;margin:0 auto 10px;display:flex;justify-content:space-between}"
    ".lc-page a{color:var(--lc-model)}.lc-page a:focus-visible{outline:2px solid var(--lc-model);outline-offset:2px}"
    ".lc-page h1{font-size:1.3em;margin:.2em 0 .5em;overflow-wrap:anywhere}.lc-page h3{font-size:1em;margin:.8em 0 .3em}"
    ".lc-page table{border-collapse:collapse;width:100%;margin-top:10px}"
    ".lc-page th{text-align:left;color:var(--lc-dim);font-weight:600}"
    ".lc-page td,.lc-page th{padding:5px 10px 5px 0;border-bottom:1px solid var(--lc-line);vertical-align:top}"
    ".lc-page td:first-child{overflow-wrap:anywhere}.lc-page .lc-n{text-align:right;font-variant-numeric:tabular-nums}"
    ".lc-page form{display:flex;flex-wrap:wrap;gap:10px;align-items:end}"
    ".lc-page label{display:flex;flex-direction:column;color:var(--lc-dim);font-size:.9em}"
    ".lc-page input,.lc-page select,.lc-page button{font:inherit;padding:4px 8px;border:1px solid var(--lc-line);"
    "border-radius:6px;background:var(--lc-soft);color:var(--lc-fg)}"
    ".lc-pager{margin:8px 0}.lc-charts{display:flex;flex-wrap:wrap;gap:24px;margin:8px 0}"
    ".lc-charts figure{margin:0}.lc-charts svg{max-width:100%;height:auto;display:block}"
    ".lc-charts rect{fill:var(--lc-model)}.lc-charts rect:hover{fill:var(--lc-agent)}"
    # Rows out of sight cost neither layout nor painting: thousands of spans scroll without a virtual list.
    ".lc-row{content-visibility:auto;contain-intrinsic-size:auto 24px}"
    ".lc-found>summary{outline:2px solid var(--lc-model);outline-offset:-2px}"
    ".lc-parts img{max-width:100%;max-height:400px;display:block}.lc-call{margin:4px 0}"
)

# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a report looks: colours, and one style sheet for wide screens, phones, dark rooms and paper."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.plan_picture import FONTS, style_sheet

THEMES = {
    "light": {"page": "#ffffff", "panel": "#f6f8fa", "line": "#d0d7de", "text": "#1f2328", "muted": "#57606a",
              "accent": "#0b62b8", "before": "#8c959f", "bad": "#b3261e", "warn": "#855300", "good": "#1a6e34"},
    "dark": {"page": "#0d1117", "panel": "#161b22", "line": "#3d444d", "text": "#e6edf3", "muted": "#9aa4af",
             "accent": "#6cb6ff", "before": "#6e7781", "bad": "#ff938a", "warn": "#e3b341", "good": "#63c97c"},
}
"""Colours by use; those of texts and of bars stand out enough from the page and from panels (see the tests)."""

SHEET = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 FONTS}
header,main,footer{max-width:1180px;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
header{padding-top:2.25rem}
footer{padding-top:1.5rem;padding-bottom:2rem;color:var(--muted);font-size:.85rem}
h1{font-size:1.75rem;line-height:1.2;letter-spacing:-.015em;margin:0 0 .35rem}
h2{font-size:1.35rem;line-height:1.25;letter-spacing:-.01em;margin:2.25rem 0 .6rem}
h3{font-size:1rem;margin:2rem 0 .5rem}
h1,h2,h3,li,p,td,.code{overflow-wrap:anywhere}
p{margin:.4rem 0;max-width:76ch}
a{color:var(--accent);text-decoration-thickness:1px;text-underline-offset:.15em}
a:hover{text-decoration-thickness:2px}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:2px}
section:focus{outline:none}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--page);padding:.3rem .6rem}
.muted,small{color:var(--muted)}
small{font-size:.85rem;font-weight:400;display:block;line-height:1.4}
.code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.tally{list-style:none;display:flex;flex-wrap:wrap;gap:.4rem 1.4rem;padding:0;margin:1.1rem 0 0}
.tally b{font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums;margin-right:.35rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);padding:.2rem 0 .4rem}
th,td{text-align:left;vertical-align:top;padding:.5rem .9rem .5rem 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
td{min-width:5rem}
tbody th{min-width:9rem}
.settings tbody th{min-width:13rem}
.settings td{min-width:7.4rem}
thead th{font-size:.8rem;font-weight:600;color:var(--muted);border-bottom-color:var(--muted);white-space:nowrap}
tbody th{font-weight:600}
.settings tbody th,.settings tbody th small{font-weight:400}
.group th{padding-top:1.1rem;color:var(--muted);font-size:.8rem;font-weight:600}
.badge{display:inline-block;white-space:nowrap;font-size:.8rem;font-weight:600;line-height:1.35;padding:.05rem .5rem;
border:1px solid currentColor;border-radius:1rem}
.bad{color:var(--bad)}.warn{color:var(--warn)}.good{color:var(--good)}
.badge.quiet{color:var(--muted)}
.problems{list-style:none;padding:0;margin:.6rem 0}
.problems li{display:grid;grid-template-columns:8rem 1fr;gap:0 .8rem;padding:.45rem 0}
.problems li{border-bottom:1px solid var(--line)}
.problems .badge{justify-self:start;align-self:start;margin-top:.1rem}
.problems div,td div{min-width:0}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--accent)}
details ul{margin:.4rem 0;padding-left:1.2rem}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:6px;max-width:960px;margin-bottom:1.2rem}
.scroll svg{display:block;min-width:640px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:1.2rem 2rem;margin:.8rem 0}
figure{margin:0;max-width:460px}
figcaption{font-weight:600;font-size:.92rem;margin-bottom:.2rem}
figcaption small{font-weight:400}
.chart{display:block;width:100%;height:auto}
.chart text{font-size:11px;fill:var(--text);font-variant-numeric:tabular-nums}
.chart .soft{fill:var(--muted)}
.chart .end{text-anchor:end}
.chart .strong{font-weight:600}
.chart .was{fill:var(--before)}.chart .now{fill:var(--accent)}
.chart .axis{stroke:var(--line)}
.chart .whisker{stroke:var(--text);stroke-width:2;fill:none}
.chart .course{stroke:var(--accent);stroke-width:2;fill:none;stroke-linejoin:round}
.chart .band{fill:var(--accent);opacity:.18}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 0}
.key.was{background:var(--before)}.key.now{background:var(--accent)}
.keyed{display:inline-block;margin-right:1em}
section.host{display:none}
section.host:target{display:block}
main:has(.host:target) #hosts{display:none}
.back{margin:1.2rem 0 0}
@media (max-width:700px){
.wide{overflow:visible}
thead{position:absolute;left:-99rem}
table,caption,tbody,tr,th,td{display:block}
tbody tr{padding:.7rem 0;border-bottom:1px solid var(--line)}
th,td,.settings td,.settings tbody th{border:0;padding:.1rem 0;min-width:0}
td[data-label]{display:grid;grid-template-columns:6.5rem 1fr;gap:0 .6rem}
td[data-label]>*{grid-column:2;justify-self:start}
td[data-label]::before{content:attr(data-label);grid-row:1/span 9;color:var(--muted);font-size:.85rem}
td:empty{display:none}
tr.group{padding-bottom:0;border:0}
.problems li{grid-template-columns:1fr}
}
@media print{
body{font-size:10pt}
header,main,footer{max-width:none;padding-left:0;padding-right:0}
section.host{display:block;break-before:page}
main:has(.host:target) section.host:not(:target){display:none}
main:has(.host:target) section.host{break-before:auto}
tr,figure,.scroll,li{break-inside:avoid}
h2,h3,h4,.group{break-after:avoid}
.scroll{overflow:visible;border:0}
.scroll svg{min-width:0}
.wide{overflow:visible}
.back,.skip{display:none}
details::details-content{content-visibility:visible;block-size:auto}
.chart *,.key,.inference-plan *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
a{color:inherit;text-decoration:none}
}
"""


def report_style():
    """Return the text of the page's style sheet, with that of the plans' pictures."""
    return "%s@media screen and (prefers-color-scheme:dark){%s}\n%s%s" % (
        _colours("light"), _colours("dark"), SHEET.replace("FONTS", FONTS).lstrip(), style_sheet())


def _colours(theme):
    words = ";".join("--%s:%s" % colour for colour in THEMES[theme].items())
    return ":root{color-scheme:%s;%s}\n" % ("light" if theme == "light" else "dark", words)

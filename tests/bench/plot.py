"""Makes of the benchmarks' JSON what README.md shows: a plot of how long calls take, as SVG, and a table of the peers, as Markdown on
stdout.

bench_peers --json > peers.json; bench_tail --json > tail.json
plot.py --svg latency.svg peers.json tail.json

The colours stand on white as well as on black, and the SVG needs nothing but itself.
"""
import argparse
import json
import math
import pathlib
from xml.sax.saxutils import escape

WIDTH = 880
LEFT, RIGHT = 78, 566  # of the plotting area
LEGEND = 580
PANEL = 262  # height of a plotting area
TEXT, GRID, NOTHING = "#7d858f", "#808890", "#8d939b"
# Mid-tones, which differ on both backgrounds; usagelog's own are the first two everywhere.
COLOURS = ["#1f7ae0", "#12a5a5", "#4d6fb5", "#c98a00", "#d8569b", "#8f63e0", "#2f9e44", "#a8703c", "#e8702a", "#d93a3a"]
UNITS = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")]
NINES = [(math.log10(2), "p50"), (1, "p90"), (2, "p99"), (3, "p99.9"), (4, "p99.99"), (5, "p99.999"), (6, "p99.9999"),
         (7, "p99.99999")]


def time_text(ns):
    """Three digits and a unit."""
    for factor, unit in UNITS:
        # 999.6 ns would be shown as 1,000.
        if ns >= 0.9995 * factor or factor == 1:
            value = ns / factor
            return f"{value:.0f} {unit}" if value >= 99.95 or factor == 1 else f"{value:.3g} {unit}"
    raise ValueError(ns)


def thousands(count):
    return f"{count:,.0f}"


# ---- the table ----------------------------------------------------------------------------------------------------


def lost_text(kills):
    if not kills["lost_most"]:
        return "0"
    return f"{thousands(kills['lost_median'])} (at most {thousands(kills['lost_most'])})"


def table(peers):
    """The peers, a row each."""
    pace = f"{peers['slow_per_second']:,}/s"
    heads = ["", "median", "p99", "p99.9", "p99.99", "longest", "calls/s into the file", "lost by SIGKILL, at full speed",
             f"at {pace}"]
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for peer in peers["peers"]:
        times = [time_text(peer["latency"][key]) for key in ("p50_ns", "p99_ns", "p99_9_ns", "p99_99_ns", "max_ns")]
        rows.append([peer["what"], *times, thousands(peer["records_per_second"]), lost_text(peer["killed_at_speed"]),
                     lost_text(peer["killed_at_pace"])])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


# ---- the plot -----------------------------------------------------------------------------------------------------


def text(x, y, words, anchor="start", size=12, colour=TEXT, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def line(x1, y1, x2, y2, opacity):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID}" '
            f'stroke-opacity="{opacity}" stroke-width="1"/>')


class Scale:
    """From times and nines to places: the same x in both panels, so that they can be compared."""

    def __init__(self, curves):
        points = [point for curve in curves for point in curve["points"]]
        times = [max(ns, 1) for _, ns in points] or [1, 10]
        self.decades = range(math.floor(math.log10(min(times))), max(math.ceil(math.log10(max(times))), 1) + 1)
        self.low, self.high = self.decades[0], max(self.decades[-1], self.decades[0] + 1)

    def x(self, ns):
        return LEFT + (math.log10(max(ns, 1)) - self.low) / (self.high - self.low) * (RIGHT - LEFT)


def draw_axes(scale, top, nines_most):
    """Lines for what a reader looks up; those between are left to the eye."""
    bottom = top + PANEL
    for decade in scale.decades:
        yield line(scale.x(10.0 ** decade), top, scale.x(10.0 ** decade), bottom, 0.28)
        yield text(scale.x(10.0 ** decade), bottom + 17, time_text(10.0 ** decade), "middle")
    for nines, name in NINES:
        if nines <= nines_most:
            y = bottom - nines / nines_most * PANEL
            yield line(LEFT, y, RIGHT, y, 0.28)
            yield text(LEFT - 8, y + 4, name, "end")
    yield line(LEFT, bottom, RIGHT, bottom, 0.9)
    yield line(LEFT, top, LEFT, bottom, 0.9)


def draw_curve(curve, scale, top, nines_most):
    places = " ".join(f"{scale.x(ns):.1f},{top + PANEL - nines / nines_most * PANEL:.1f}" for nines, ns in curve["points"])
    dash = f' stroke-dasharray="{curve["dash"]}"' if curve["dash"] else ""
    return (f'<polyline points="{places}" fill="none" stroke="{curve["colour"]}" stroke-width="{curve["width"]}" '
            f'stroke-linejoin="round" stroke-linecap="round"{dash}/>')


def draw_legend(curves, top):
    """A table beside the curves, in their order from left to right at the median."""
    yield text(LEGEND + 232, top + 2, "median", "end", 11)
    yield text(LEGEND + 298, top + 2, "p99.9", "end", 11)
    for row, curve in enumerate(curves):
        y = top + 22 + 22 * row
        dash = f' stroke-dasharray="{curve["dash"]}"' if curve["dash"] else ""
        yield (f'<line x1="{LEGEND}" y1="{y - 4}" x2="{LEGEND + 20}" y2="{y - 4}" stroke="{curve["colour"]}" '
               f'stroke-width="{curve["width"] + 0.6}" stroke-linecap="round"{dash}/>')
        yield text(LEGEND + 27, y, curve["label"], weight="bold" if curve["is_ours"] else "normal")
        yield text(LEGEND + 232, y, time_text(curve["latency"]["p50_ns"]), "end")
        yield text(LEGEND + 298, y, time_text(curve["latency"]["p99_9_ns"]), "end")
    if any(curve["loses"] for curve in curves):
        yield text(LEGEND + 27, top + 26 + 22 * len(curves), "† SIGKILL loses calls that had returned", size=11)


def draw_panel(title, curves, scale, top):
    yield text(LEFT, top - 12, title, size=14, weight="bold")
    nines_most = max([nines for curve in curves for nines, _ in curve["points"]] + [1])
    yield from draw_axes(scale, top, nines_most)
    # Ours last, above the others.
    for curve in sorted(curves, key=lambda curve: curve["is_ours"]):
        yield draw_curve(curve, scale, top, nines_most)
    yield from draw_legend(curves, top)


LABELS = {"usagelog": "usagelog", "usagelog_strings": "usagelog, strings", "write": "write(2), 64 bytes",
          "json_line": "JSON line, fflush", "spdlog": "spdlog, async", "lmdb": "LMDB, no sync", "rocksdb": "RocksDB, WAL",
          "sqlite": "SQLite, WAL", "write_behind": "JSON file, queue", "rewrite": "JSON file, rewritten",
          "bare": "nothing: the loop", "quiet_uring": "no syncs, io_uring", "quiet_syscall": "no syncs, syscalls",
          "syncs_uring": "syncs, io_uring", "syncs_syscall": "syncs, syscalls"}


def make_curve(item, colour, is_ours, dash=""):
    loses = any(item[kills]["lost"] for kills in ("killed_at_speed", "killed_at_pace") if kills in item)
    return {"label": LABELS.get(item["name"], item["name"]) + (" †" if loses else ""), "loses": loses, "is_ours": is_ours,
            "latency": item["latency"], "points": item["latency"]["distribution"], "colour": colour, "dash": dash,
            "width": 2.6 if is_ours else 1.7}


def curves_of_peers(peers):
    curves = [make_curve(peer, COLOURS[place % len(COLOURS)], peer["name"].startswith("usagelog"))
              for place, peer in enumerate(peers["peers"])]
    curves.append(make_curve({"name": "bare", **peers["nothing"]}, NOTHING, False, "4 4"))
    return sorted(curves, key=lambda curve: curve["latency"]["p50_ns"])


def curves_of_tail(tail):
    """The colour tells the syncs, the dashes the backend."""
    for mode in tail["modes"]:
        if mode["name"] == "bare":
            yield make_curve(mode, NOTHING, False, "4 4")
        else:
            yield make_curve(mode, COLOURS[0 if mode["name"].startswith("syncs") else 1], mode["name"].startswith("syncs"),
                             "" if mode["name"].endswith("uring") else "1 5")


def plot(peers, tail):
    above, below = curves_of_peers(peers), list(curves_of_tail(tail))
    scale = Scale(above + below)
    first, second = 40, 40 + PANEL + 82
    height = second + PANEL + 58
    machine = f'{tail["cpu"]}, {tail["cores"]} cores, Linux {tail["kernel"]}, {tail["filesystem"]}, {tail["date"][:10]}'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'font-family="-apple-system, \'Segoe UI\', \'Noto Sans\', \'DejaVu Sans\', Helvetica, Arial, sans-serif">',
        "<title>How long a call that records takes: usagelog, and others</title>",
        *draw_panel(f'Time of a call, one each {time_text(peers["pace_us"] * 1e3)}: up and to the left is better', above, scale,
                    first),
        *draw_panel(f'usagelog, one call each {time_text(tail["pace_ns"])}, with and without a sync each 100 ms', below, scale, second),
        text(LEFT, height - 14, f"{machine}. What the machine adds is in every curve: see the loop.", size=11),
        "</svg>"]
    return "\n".join(parts) + "\n"


def main():
    arguments = argparse.ArgumentParser(description="Plot and table of the benchmarks' JSON.")
    arguments.add_argument("--svg", type=pathlib.Path, help="where the plot goes; without, only the table is made")
    arguments.add_argument("peers", type=pathlib.Path, help="what bench_peers --json printed")
    arguments.add_argument("tail", type=pathlib.Path, nargs="?", help="what bench_tail --json printed")
    given = arguments.parse_args()
    if given.svg and not given.tail:
        arguments.error("the plot needs the JSON of bench_tail, too")
    peers = json.loads(given.peers.read_text())
    if given.svg:
        given.svg.write_text(plot(peers, json.loads(given.tail.read_text())), encoding="utf-8")
    print(table(peers))


if __name__ == "__main__":
    main()

// Leave out of uPlot what no chart here uses: its legend, its own clock and calendar, scatter plots, splines, arcsinh
// scales, and what it offers to plugins. That is a sixth of what it weighs in the page.

import { readFileSync } from "node:fs";

/** What stands in uPlot 1.6.32, and what the page has instead. Each must be there, or the build fails. */
const CHANGES = [
  [/\bmode == 1\b/g, "true"],
  [/\bmode == 2\b/g, "false"],
  [/\b(sc\.)?distr == 4\b/g, "false"],
  [/\bms == 1\b/g, "false"],
  [/\bxScaleDistr == 2\b/g, "false"],
  [/\bsc\.distr == 2\b/g, "false"],
  [/\bconst showLegend = legend\.show;/, ""],
  [/\bshowLegend\b/g, "false"],
  [/\blegend\.live\b/g, "false"],
  [/\blegend\.show\b/g, "false"],
  [/\blet multiValLegend = false;/, ""],
  [/\bmultiValLegend = getMultiVals != null;/, ""],
  [/\bmultiValLegend\b/g, "false"],
  [/self\.legend = assign\(\{\}, legendOpts, opts\.legend\)/, "self.legend = { markers: {}, values: [] }"],
  [/\n\t\tmarkers\.\w+ += fnOrSelf\(markers\.\w+\);/g, ""],
  [/\bconst _timeAxisVals .*/, ""],
  [/\bconst _timeSeriesVal .*/, ""],
  [/\bconst _fmtDate .*/, ""],
  [/s\.value = isTime \? .* : sv \|\| numSeriesVal;/, ""],
  [/isArr\(av\) \?\s+timeAxisVals.*\s+.*\s+isStr\(av\) \?\s+timeAxisVal.*\s+av \|\| _timeAxisVals/, "av"],
  [/\/\/ config array of fmtDate string tpls/, ""],
  [/sc\.distr == 3 && sc\.log == 2 \? log2AxisValsFilt : /, ""],
  [/\bself\.(addSeries|delSeries|addBand|setBand|delBand) = \w+;/g, ""],
  [
    /\buPlot\.(assign|fmtNum|rangeNum|rangeLog|rangeAsinh|orient|join|fmtDate|tzDate|sync|addGap|clipGaps) *= \w+;/g,
    "",
  ],
  [/\(paths\.(linear|spline) += \w+\);/g, ""],
  [/const _timeAxisStamps = \[[\s\S]*?\n\t\];/, "const _timeAxisStamps = [];"],
  [/const \[ timeIncrsMs, .*/, ""],
  [/\nconst (days3|months3|localTz) = .*/g, ""],
  [/\nconst engNames = \{[\s\S]*?\n\};/, ""],
  [/\n\tfunction (initLegendRow|addSeries|delSeries|addBand|setBand|delBand|setLegendValues)\([\s\S]*?\n\t\}\n/g, ""],
];

/** A plugin of esbuild that loads uPlot without them. */
export const uplotParts = {
  name: "uplot-parts",
  setup(build) {
    build.onLoad({ filter: /uPlot\.esm\.js$/ }, ({ path }) => ({ contents: without(readFileSync(path, "utf8")) }));
  },
};

function without(source) {
  let text = source;
  for (const [pattern, replacement] of CHANGES) {
    const changed = text.replace(pattern, replacement);
    if (changed === text) throw new Error(`uPlot has no ${pattern} any more`);
    text = changed;
  }
  return text;
}

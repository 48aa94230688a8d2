/** The menu of a chart: a finer or a coarser step, and a logarithmic scale. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { coarser, finer, type Step } from "../ranges.ts";
import { frame } from "../state.ts";

interface ChartMenu {
  step: Step;
  isLog: boolean;
  menu: ComponentChildren;
  /** Takes the next coarser step; undefined where there is none. */
  coarsen?: (() => void) | undefined;
}

/** Return the step of a chart, whether its scale is logarithmic, and the buttons that change them.
 *
 * @param usual the step that the range gives; another range gives it again
 */
export function useChartMenu(usual: Step, { hasLog = false } = {}): ChartMenu {
  const chosen = useSignal<{ usual: Step; step: Step } | null>(null);
  const isLog = useSignal(false);
  const { startS, endS } = frame.value;
  const step = chosen.value?.usual === usual ? chosen.value.step : usual;
  const choose = (next: Step) => {
    chosen.value = { usual, step: next };
  };
  const [fine, coarse] = [finer(step, endS - startS), coarser(step)];
  const menu = (
    <span class="chart-menu">
      <button type="button" class="quiet" disabled={fine === step} onClick={() => choose(fine)}>
        Finer
      </button>
      <button type="button" class="quiet" disabled={coarse === step} onClick={() => choose(coarse)}>
        Coarser
      </button>
      {hasLog && (
        <button
          type="button"
          class="quiet"
          aria-pressed={isLog.value}
          onClick={() => {
            isLog.value = !isLog.value;
          }}
        >
          Log
        </button>
      )}
    </span>
  );
  const coarsen = coarse === step ? undefined : () => choose(coarse);
  return { step, isLog: isLog.value, menu, coarsen };
}

/** The bar above every page: title, range, comparison, filters, refresh and time zone. */

import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import type { Comparison } from "../address.ts";
import { signOut } from "../api/sign_in.ts";
import { filterWords, slownessWords } from "../filters.ts";
import { visibleText } from "../format.ts";
import { RANGES } from "../ranges.ts";
import { binding, isShared } from "../shared.ts";
import { chooseZone, comparison, comparisons, frame, refresh, showWith, view, zone } from "../state.ts";
import { browserZone, formatTime } from "../zones.ts";
import { Badge, Sampled } from "./Badge.tsx";
import { copyLink } from "./copy.ts";
import { openDialog } from "./dialogs.ts";
import { FilterDialog } from "./FilterDialog.tsx";
import { RangeDialog } from "./RangeDialog.tsx";
import { ShareDialog } from "./ShareDialog.tsx";

export const COMPARISON_WORDS: Record<Comparison, string> = {
  previous: "period before",
  week: "week before",
  none: "nothing",
};

/** Show the bar. */
export function Bar({ heading, title }: { heading: RefObject<HTMLHeadingElement | null>; title: string }) {
  const isOpen = useSignal(false);
  const { range, span, filters, slowness } = view.value;
  const { startS, endS } = frame.value;
  const dialog = openDialog.value;
  const filterCount = filters.length + (slowness === null ? 0 : 1);
  const isPartial = view.value.isPartial;
  return (
    <header class={`bar ${isOpen.value ? "open" : ""}`}>
      <div class="bar-line">
        <h1 ref={heading} tabIndex={-1}>
          {visibleText(title)}
        </h1>
        <Badge />
        <Sampled />
        <button
          type="button"
          class="bar-summary"
          aria-expanded={isOpen.value}
          onClick={() => {
            isOpen.value = !isOpen.value;
          }}
        >
          {range ?? "picked"} ▾ {filterCount > 0 ? `${filterCount} ${filterCount === 1 ? "filter" : "filters"}` : ""}
        </button>
        {!isShared.value && (
          <span class="bar-actions">
            <button type="button" class="quiet" onClick={copyLink}>
              Copy link
            </button>
            <button
              type="button"
              class="quiet"
              onClick={() => {
                openDialog.value = "share";
              }}
            >
              Share
            </button>
            <button type="button" class="quiet" onClick={signOut}>
              Sign out
            </button>
          </span>
        )}
        <div class="bar-controls">
          {/* biome-ignore lint/a11y/useSemanticElements: buttons in a row, no form */}
          <div class="segments" role="group" aria-label="Range">
            {RANGES.slice(0, 6).map(({ name, label }) => (
              <button
                key={name}
                type="button"
                aria-pressed={range === name}
                title={`Last ${label}`}
                onClick={() => showWith({ range: name, span: null })}
              >
                {name}
              </button>
            ))}
            <button
              type="button"
              aria-pressed={range === null || RANGES.findIndex(({ name }) => name === range) > 5}
              onClick={() => {
                openDialog.value = "range";
              }}
            >
              {range === null ? "picked" : RANGES.findIndex(({ name }) => name === range) > 5 ? range : "more"} ▾
            </button>
          </div>
          <button type="button" class="quiet" aria-label="One length earlier" onClick={() => move(-1)}>
            ‹
          </button>
          <button
            type="button"
            class="quiet"
            aria-label="One length later"
            disabled={!canMoveLater()}
            onClick={() => move(1)}
          >
            ›
          </button>
          <label>
            <span class="soft">vs </span>
            <select
              value={comparison.value}
              onChange={(event) => {
                const chosen = comparisons.value.find((known) => known === event.currentTarget.value);
                if (chosen !== undefined) showWith({ compare: chosen });
              }}
            >
              {comparisons.value.map((name) => (
                <option key={name} value={name}>
                  {COMPARISON_WORDS[name]}
                </option>
              ))}
            </select>
          </label>
          <button
            type="button"
            onClick={() => {
              openDialog.value = "filter";
            }}
          >
            + Filter <kbd>f</kbd>
          </button>
          <button type="button" class="quiet" title="Ask again" onClick={refresh}>
            <span aria-hidden="true">⟳</span>
            <span class="hidden">Refresh</span> {frame.value.refreshS === null ? "" : `${frame.value.refreshS} s`}
          </button>
          <ZonePicker />
        </div>
      </div>
      {binding.value !== null && (
        <p class="bar-line soft">
          Shared view until {formatTime(Date.parse(binding.value.until) / 1000, zone.value)}. Its filters are fixed.
        </p>
      )}
      {(filterCount > 0 || span !== null || isPartial) && (
        <div class="bar-line chips">
          {span !== null && (
            <Chip
              words={`${formatTime(startS, zone.value)} to ${formatTime(endS, zone.value)}`}
              remove={() => showWith({ range: "24h", span: null })}
            />
          )}
          {filters.map((filter) => {
            const { field, verb, value } = filterWords(filter);
            return (
              <Chip
                key={`${filter.kind} ${filter.field}:${filter.value}`}
                words={`${field} ${verb} ${visibleText(value, 60)}`}
                remove={() => showWith({ filters: filters.filter((other) => other !== filter) })}
              />
            );
          })}
          {slowness !== null && <Chip words={slownessWords(slowness)} remove={() => showWith({ slowness: null })} />}
          {isPartial && <Chip words="also without lost shards" remove={() => showWith({ isPartial: false })} />}
        </div>
      )}
      {dialog === "filter" && <FilterDialog />}
      {dialog === "range" && <RangeDialog />}
      {dialog === "share" && <ShareDialog />}
    </header>
  );
}

function Chip({ words, remove }: { words: string; remove: () => void }) {
  return (
    <span class="chip">
      {words}
      <button type="button" aria-label={`Remove: ${words}`} onClick={remove}>
        ×
      </button>
    </span>
  );
}

/** Choose the time zone of the page; UTC is one click. */
export function ZonePicker() {
  const zones = [...new Set([browserZone(), "UTC", zone.value])];
  return (
    <>
      {browserZone() !== "UTC" && (
        <button
          type="button"
          class="quiet"
          aria-pressed={zone.value === "UTC"}
          onClick={() => chooseZone(zone.value === "UTC" ? browserZone() : "UTC")}
        >
          UTC
        </button>
      )}
      <select aria-label="Time zone" value={zone.value} onChange={(event) => chooseZone(event.currentTarget.value)}>
        {zones.map((name) => (
          <option key={name}>{name}</option>
        ))}
        <optgroup label="All zones">
          {Intl.supportedValuesOf("timeZone")
            .filter((name) => !zones.includes(name))
            .map((name) => (
              <option key={name}>{name}</option>
            ))}
        </optgroup>
      </select>
    </>
  );
}

function canMoveLater(): boolean {
  return view.value.span !== null && frame.value.endS < Date.now() / 1000;
}

/** Move the range by its own length: -1 earlier, 1 later. */
export function move(lengths: number): void {
  if (lengths > 0 && !canMoveLater()) return;
  const { startS, endS } = frame.value;
  const byS = (endS - startS) * lengths;
  showWith({ range: null, span: { startS: Math.max(0, startS + byS), endS: Math.max(endS - startS, endS + byS) } });
}

/** Make the range twice as long, or half. */
export function widen(factor: 0.5 | 2): void {
  const { startS, endS } = frame.value;
  const lengthS = Math.max(1, Math.round((endS - startS) * factor));
  const nextEndS = Math.min(Math.floor(Date.now() / 1000), Math.round((startS + endS) / 2 + lengthS / 2));
  showWith({ range: null, span: { startS: Math.max(0, nextEndS - lengthS), endS: Math.max(lengthS, nextEndS) } });
}

/** The frame of every page: the rail with the pages, the bar with range and filters, and the page below. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { addressOf, onPage, PAGES, type Page } from "../address.ts";
import { seesPage } from "../shared.ts";
import {
  announcement,
  application,
  applicationName,
  isAnnouncementSeen,
  isEmbedded,
  me,
  show,
  showWith,
  view,
} from "../state.ts";
import { Bar } from "./Bar.tsx";
import { useFiringCount } from "./firing.ts";
import { Icon } from "./icons.tsx";
import { Link } from "./Link.tsx";
import { Notices } from "./Notices.tsx";

export const PAGE_TITLES: Record<Page, string> = {
  overview: "Overview",
  routes: "Routes",
  consumers: "Consumers",
  errors: "Errors",
  latency: "Latency",
  requests: "Requests",
  alerts: "Alerts",
  quality: "Data quality",
  settings: "Settings",
};

/** The pages for which a phone's rail has no room. */
const BEHIND_MORE: readonly Page[] = ["errors", "latency", "alerts", "quality", "settings"];

/** The second key of `g` for each page. */
export const PAGE_KEYS: Record<Page, string> = {
  overview: "o",
  routes: "r",
  consumers: "c",
  errors: "e",
  latency: "l",
  requests: "q",
  alerts: "a",
  quality: "d",
  settings: "s",
};

/** Show the frame around a page. */
export function Frame({ children }: { children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { page, own } = view.value;
  const title = titleOf(page, own);
  const place = `${page} ${own.route ?? ""} ${own.consumer ?? ""}`;
  const firstPlace = useRef(place);
  useEffect(() => {
    document.title = `${title} · apimetry`;
    // The focus follows to the heading of another page, but is not taken at the first one.
    if (firstPlace.current !== place) heading.current?.focus({ preventScroll: true });
    firstPlace.current = place;
  }, [place, title]);
  return (
    <div class={`frame ${isEmbedded ? "embedded" : ""}`}>
      <a class="skip" href="#main">
        Skip to the figures
      </a>
      {!isEmbedded && <Rail />}
      <div class="column">
        {isEmbedded && <EmbeddedPages />}
        <Bar heading={heading} title={title} />
        <main id="main" tabIndex={-1}>
          <Notices />
          {children}
        </main>
      </div>
      <p class={isAnnouncementSeen.value ? "toast" : "hidden"} role="status" aria-live="polite">
        {announcement.value}
      </p>
    </div>
  );
}

/** The pages of a link in a frame, where it shows several. */
function EmbeddedPages() {
  const pages = PAGES.filter(seesPage);
  if (pages.length < 2) return null;
  return (
    <nav class="embedded-pages" aria-label="Pages">
      {pages.map((page) => (
        <Link key={page} to={onPage(view.value, page)} isCurrent={view.value.page === page}>
          {PAGE_TITLES[page]}
        </Link>
      ))}
    </nav>
  );
}

function Rail() {
  const applications = me.value?.applications ?? [];
  const firing = useFiringCount();
  const count = firing > 0 && (
    <b class="count" title={`${firing} ${firing === 1 ? "rule fires" : "rules fire"} now`}>
      {firing}
    </b>
  );
  // A phone has room for five entries: the others are behind the last one.
  const isOpen = useSignal(false);
  const { page: here } = view.value;
  useEffect(() => {
    isOpen.value = false;
  }, [here]);
  return (
    <nav class={`rail ${isOpen.value ? "open" : ""}`} aria-label="Pages">
      <p class="brand">apimetry</p>
      <ul>
        {PAGES.filter(seesPage).map((page) => (
          <li key={page} class={BEHIND_MORE.includes(page) ? "behind" : ""}>
            <Link to={onPage(view.value, page)} isCurrent={view.value.page === page}>
              <Icon page={page} />
              <span>{PAGE_TITLES[page]}</span>
              {(page === "alerts" && count) || <kbd>g{PAGE_KEYS[page]}</kbd>}
            </Link>
          </li>
        ))}
        <li class="more">
          <button
            type="button"
            class={`quiet ${BEHIND_MORE.includes(here) ? "current" : ""}`}
            aria-expanded={isOpen.value}
            onClick={() => {
              isOpen.value = !isOpen.value;
            }}
          >
            More {!isOpen.value && seesPage("alerts") && count}
          </button>
        </li>
      </ul>
      <div class="rail-foot">
        {applications.length > 1 ? (
          <select
            aria-label="Application"
            value={application.value?.id ?? ""}
            onChange={(event) => showWith({ application: event.currentTarget.value })}
          >
            {applications.map(({ id }) => (
              <option key={id} value={id}>
                {applicationName(id)}
              </option>
            ))}
          </select>
        ) : (
          <p class="application" title={application.value?.id ?? ""}>
            {application.value === null ? "" : applicationName(application.value.id)}
          </p>
        )}
      </div>
    </nav>
  );
}

function titleOf(page: Page, own: Readonly<Record<string, string>>): string {
  if (page === "routes" && own.route !== undefined) return own.route || "(unmatched)";
  if (page === "consumers" && own.consumer !== undefined) return own.consumer || "(none)";
  return PAGE_TITLES[page];
}

/** Show a page, with the range and filters of now. */
export function go(page: Page, own: Record<string, string> = {}): void {
  if (!seesPage(page)) return;
  if (addressOf(onPage(view.value, page, own)) !== addressOf(view.value)) show(onPage(view.value, page, own));
}

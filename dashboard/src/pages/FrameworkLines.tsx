/** The one line that records requests, for each framework. */

import { useSignal } from "@preact/signals";
import { copyText } from "../parts/copy.ts";
import { me } from "../state.ts";

/** The lines that record requests, by framework; URL and KEY are filled in. */
const LINES: readonly [framework: string, code: string][] = [
  [
    "FastAPI",
    `from apimetry.middleware.asgi import ASGIMiddleware

app.add_middleware(ASGIMiddleware, collector_url="URL", write_key="KEY")`,
  ],
  [
    "Flask",
    `from apimetry.middleware.wsgi import WSGIMiddleware

app.wsgi_app = WSGIMiddleware(app.wsgi_app, collector_url="URL", write_key="KEY")`,
  ],
  [
    "Django",
    `# settings.py, as the first entry of MIDDLEWARE
"apimetry.middleware.django.DjangoMiddleware"

# and in the environment
APIMETRY_COLLECTOR_URL=URL
APIMETRY_WRITE_KEY=KEY`,
  ],
  [
    "aiohttp",
    `from apimetry.middleware.aiohttp import aiohttp_middleware

app = web.Application(middlewares=[aiohttp_middleware(collector_url="URL", write_key="KEY")])`,
  ],
  [
    "Other",
    `curl URL/1/event/ -H "X-API-Key: KEY" -H "Content-Type: application/json" \\
  -d "[{\\"timestamp\\": $(date +%s), \\"method\\": \\"GET\\", \\"url\\": \\"/hello\\", \\"status_code\\": 200, \\"response_us\\": 1200}]"`,
  ],
];

/** Show the line of the chosen framework, with the collector's address and a write key. */
export function FrameworkLines({ writeKey }: { writeKey: string }) {
  const chosen = useSignal(0);
  const url = me.value?.collectorUrl ?? "http://127.0.0.1:7998";
  const code = (LINES[chosen.value]?.[1] ?? "").replaceAll("URL", url).replaceAll("KEY", writeKey);
  return (
    <>
      <div class="segments" role="tablist" aria-label="Framework">
        {LINES.map(([framework], index) => (
          <button
            key={framework}
            type="button"
            role="tab"
            aria-selected={chosen.value === index}
            onClick={() => {
              chosen.value = index;
            }}
          >
            {framework}
          </button>
        ))}
      </div>
      <pre>
        <code>{code}</code>
      </pre>
      <p class="actions">
        <button type="button" onClick={() => copyText(code, "Code")}>
          Copy
        </button>
      </p>
    </>
  );
}

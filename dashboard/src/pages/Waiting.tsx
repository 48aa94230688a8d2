/** The state before the first event: the one line for each framework, asked again every two seconds. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Me } from "../api/answers.ts";
import { ApiError, ask } from "../api/client.ts";
import { announcement, application, me } from "../state.ts";

const ASK_EVERY_MS = 2000;

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

/** Show how to send the first event, until it is there. */
export function Waiting() {
  const chosen = useSignal(0);
  useEffect(() => {
    const giveUp = new AbortController();
    const timer = setInterval(async () => {
      if (document.visibilityState !== "visible") return;
      try {
        const answer = await ask<Me>("v1/me", giveUp.signal);
        const first = answer.applications.find(({ id }) => id === application.value?.id)?.firstEventAt;
        if (first !== null && first !== undefined) announcement.value = "The first event is here.";
        me.value = answer;
      } catch (error) {
        if (!(error instanceof ApiError) && !giveUp.signal.aborted) throw error;
      }
    }, ASK_EVERY_MS);
    return () => {
      clearInterval(timer);
      giveUp.abort();
    };
  }, []);
  const url = me.value?.collectorUrl ?? "http://127.0.0.1:7998";
  const code = (LINES[chosen.value]?.[1] ?? "").replaceAll("URL", url).replaceAll("KEY", "apimetry_w_…");
  return (
    <section class="waiting" aria-labelledby="waiting">
      <h2 id="waiting">Waiting for the first event.</h2>
      <p>Add one line to your application, with the write key of “{application.value?.name}”:</p>
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
      <p>
        <code>apimetry keys show</code> prints the key, and <em>Settings, Keys</em> makes another one. The application
        needs <code>pip install apimetry</code>, or the path of a checkout.
      </p>
      <p>
        Sent something and nothing shows? Run <code>apimetry doctor</code>.
      </p>
    </section>
  );
}

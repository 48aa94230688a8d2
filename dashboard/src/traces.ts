/** Addresses of traces in another tool. Pure. */

const TRACE_ID = /^[0-9a-f]{32}$/;

/** Return the address of a trace, or null without a template or an id. */
export function traceAddress(template: string | null | undefined, traceId: string): string | null {
  return template && TRACE_ID.test(traceId) ? template.replaceAll("{trace_id}", traceId) : null;
}

/** Times in a time zone: ISO dates and a clock of 24 hours. Pure. */

const formatters = new Map<string, Intl.DateTimeFormat>();

export interface ClockTime {
  date: string;
  /** `HH:MM:SS` */
  time: string;
  weekday: string;
}

/** Return date, time and weekday of a moment in a zone. */
export function clockTime(timeS: number, zone: string): ClockTime {
  const parts: Record<string, string> = {};
  for (const { type, value } of formatterOf(zone).formatToParts(timeS * 1000)) parts[type] = value;
  return {
    date: `${parts.year}-${parts.month}-${parts.day}`,
    time: `${parts.hour}:${parts.minute}:${parts.second}`,
    weekday: parts.weekday ?? "",
  };
}

/** Return `2026-11-26 03:12`; with seconds where asked. */
export function formatTime(timeS: number, zone: string, withSeconds = false): string {
  const { date, time } = clockTime(timeS, zone);
  return `${date} ${withSeconds ? time : time.slice(0, 5)}`;
}

/** Return the label of a tick of an axis whose ticks are `everyS` apart. */
export function tickLabel(timeS: number, zone: string, everyS: number, spanS: number): string {
  const { date, time, weekday } = clockTime(timeS, zone);
  if (everyS >= 86_400 || time === "00:00:00")
    return spanS > 2 * 86_400 && spanS < 60 * 86_400 ? `${weekday} ${date.slice(5)}` : date.slice(5);
  return everyS < 60 ? time : time.slice(0, 5);
}

/** Return how far a zone is from UTC at a moment, in seconds; east is positive. */
export function offsetS(timeS: number, zone: string): number {
  const { date, time } = clockTime(timeS, zone);
  return Date.parse(`${date}T${time}Z`) / 1000 - Math.floor(timeS);
}

/** Return the browser's own zone. */
export function browserZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function formatterOf(zone: string): Intl.DateTimeFormat {
  let formatter = formatters.get(zone);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      hourCycle: "h23",
      weekday: "short",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formatters.set(zone, formatter);
  }
  return formatter;
}

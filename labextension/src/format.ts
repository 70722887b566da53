/** Figures for people. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

/** "3 s", "4 min", "2 h", "5 d": the largest unit of which there is at least one. */
export function duration(seconds: number, trans: TranslationBundle): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) {
    return trans.__('%1 s', whole);
  }
  if (whole < 3600) {
    return trans.__('%1 min', Math.floor(whole / 60));
  }
  return whole < 86400
    ? trans.__('%1 h', Math.floor(whole / 3600))
    : trans.__('%1 d', Math.floor(whole / 86400));
}

/** How long ago a Unix time was. */
export function age(since: number, trans: TranslationBundle, now = Date.now() / 1000): string {
  return duration(now - since, trans);
}

/** Two figures that count: "0.25", "3.1", "42", "1200". */
export function figure(value: number): string {
  const size = Math.abs(value);
  return size === 0 || size >= 10 ? String(Math.round(value)) : value.toPrecision(2).replace(/\.?0+$/, '');
}

/** Seconds as people say them: "85 ms", "1.2 s". */
export function latency(seconds: number, trans: TranslationBundle): string {
  return seconds < 1 ? trans.__('%1 ms', figure(seconds * 1000)) : trans.__('%1 s', figure(seconds));
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** "512 B", "1.5 GiB". */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${figure(value)} ${UNITS[unit]}`;
}

/** A time of day in the reader's zone, "14:03" or "14:03:27". `at` is Unix time. */
export function clock(at: number, seconds = false): string {
  const date = new Date(at * 1000);
  const parts = [date.getHours(), date.getMinutes(), ...(seconds ? [date.getSeconds()] : [])];
  return parts.map(part => String(part).padStart(2, '0')).join(':');
}

/** Day and time of day in the reader's zone, "2026-11-23 14:03"; of today the time only, with seconds. */
export function moment(at: number, now = Date.now() / 1000): string {
  const day = (time: number) => {
    const date = new Date(time * 1000);
    const two = (part: number) => String(part).padStart(2, '0');
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  };
  return day(at) === day(now) ? clock(at, true) : `${day(at)} ${clock(at)}`;
}

// Colours and moves of the cursor, which a terminal obeys and a reader does not want to see.
// eslint-disable-next-line no-control-regex
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])/g;
// What steers a terminal, and what shows the rest of a line in another order than it is written in.
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** What others have written, as it may be read: without what is not seen and yet changes what is. */
export function clean(text: string): string {
  return text.replace(ESCAPES, '').replace(UNSEEN, '');
}

/** The same where each character counts: what is not seen is written out, as JSON would. */
export function spelled(text: string): string {
  return text.replace(UNSEEN, each => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const TEXTS =
  /^(text\/.*|application\/(json|xml|yaml|x-yaml|toml|javascript|x-javascript|ecmascript|graphql|sql|x-www-form-urlencoded|(x-)?ndjson|jsonl(ines)?|json-seq)|multipart\/form-data|.*\+(json|xml|yaml))$/;

/** Whether what has this `Content-Type` is for reading. What has none is taken for a text. */
export function isText(contentType: string | null): boolean {
  const type = (contentType ?? '').split(';')[0].trim().toLowerCase();
  return type === '' || TEXTS.test(type);
}

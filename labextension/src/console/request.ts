/** A call as it is typed, as it is sent, and as it is kept with the model folder. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { CallRequest, SampleRequest, Service } from '../types';

export const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const;

export type Method = (typeof METHODS)[number];

export interface Typed {
  method: Method;
  /** From the endpoint on, with the query: /predict?top=3 */
  path: string;
  /** Name: value, one on each line. */
  headers: string;
  /** What the body is; a body that is empty is not sent. */
  kind: 'json' | 'text';
  body: string;
}

export type Wrong = Partial<Record<'path' | 'headers' | 'body', string>>;

const HEADER = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*:\s*(.*)$/;
/** What the browser cannot send, or what ends a line somewhere else. */
const NO_VALUE = /[^\t\x20-\x7e\xa0-\xff]/;
/** A browser would resolve such a segment, also %2e%2e, and the call would leave the endpoint for Jupyter's own addresses. */
const DOTS = /(?:^|\/|%2f|%5c)(?:\.|%2e){1,2}(?=$|\/|%2f|%5c)/i;

export function takesBody(method: Method): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

/** What is wrong with it, and what is sent when nothing is. JSON is sent as it is typed. */
export function checked(typed: Typed, trans: TranslationBundle): { request: CallRequest; wrong: Wrong } {
  const wrong: Wrong = {};
  const [below] = typed.path.split('?');
  if (!typed.path.startsWith('/') || typed.path.startsWith('//') || /\s|\p{Cc}/u.test(typed.path)) {
    wrong.path = trans.__('A path begins with one / and has no blanks.');
  } else if (below.includes('\\') || DOTS.test(below)) {
    wrong.path = trans.__('A path has no backslashes and no segments of dots: write the one that is meant.');
  } else if (typed.path.includes('#')) {
    wrong.path = trans.__('What follows a # is not sent: write %23 for it.');
  }
  const headers: Record<string, string> = {};
  for (const line of typed.headers.split('\n').filter(each => each.trim() !== '')) {
    const found = HEADER.exec(line.trim());
    if (found === null) {
      wrong.headers = trans.__('“%1” is no header: write Name: value.', line.trim());
    } else if (NO_VALUE.test(found[2])) {
      wrong.headers = trans.__('The value of %1 has characters that no header can have.', found[1]);
    } else {
      headers[found[1]] = found[2];
    }
  }
  const body = takesBody(typed.method) && typed.body.trim() !== '' ? typed.body : undefined;
  if (body !== undefined && typed.kind === 'json') {
    try {
      JSON.parse(body);
    } catch (error) {
      wrong.body = trans.__('This is no JSON: %1', where(body, String((error as Error).message)));
    }
  }
  if (body !== undefined && contentType(headers) === undefined) {
    headers['Content-Type'] = typed.kind === 'json' ? 'application/json' : 'text/plain; charset=utf-8';
  }
  return { request: { method: typed.method, path: typed.path, headers, body }, wrong };
}

/** What the parser says, with the line where it says a place only. */
function where(text: string, message: string): string {
  const found = /at position (\d+)$/.exec(message);
  if (found === null) {
    return message;
  }
  const before = text.slice(0, Number(found[1])).split('\n');
  return `${message} (${before.length}:${before[before.length - 1].length + 1})`;
}

function contentType(headers: Record<string, string>): string | undefined {
  return Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1];
}

export function fromSample(sample: SampleRequest): Typed {
  const { body = null } = sample;
  const headers = { ...sample.headers };
  // A text that is said to be JSON was typed as it stands.
  const json = typeof body !== 'string' || /\bjson\b/.test(contentType(headers) ?? '');
  if (json) {
    for (const name of Object.keys(headers).filter(each => each.toLowerCase() === 'content-type')) {
      delete headers[name];
    }
  }
  return {
    method: sample.method ?? 'GET',
    path: sample.path,
    headers: Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}`)
      .join('\n'),
    kind: json ? 'json' : 'text',
    body: body === null ? '' : typeof body === 'string' ? body : JSON.stringify(body, null, 2)
  };
}

/** Of a call with which nothing is wrong. */
export function toSample(name: string, typed: Typed, trans: TranslationBundle): SampleRequest {
  const { request } = checked(typed, trans);
  const headers = { ...request.headers };
  let body: unknown = request.body ?? null;
  if (request.body !== undefined && typed.kind === 'json') {
    const value: unknown = JSON.parse(request.body);
    // A text in a sample is sent as it is: one that is JSON keeps its quotes, and says that it is.
    body = typeof value === 'string' || value === null ? request.body : value;
    if (typeof body !== 'string' && /^application\/json$/.test(contentType(headers) ?? '')) {
      delete headers['Content-Type'];
    }
  }
  return { name, method: typed.method, path: typed.path, headers, body };
}

/** What the model answers for sure: its health check. */
export function firstOf(service: Service | null): Typed {
  const active = service?.revisions.find(each => each.number === service.revision);
  const check = (active?.definition['health_check'] ?? null) as { path?: unknown } | null;
  return {
    method: 'GET',
    path: typeof check?.path === 'string' ? check.path : '/',
    headers: '',
    kind: 'json',
    body: ''
  };
}

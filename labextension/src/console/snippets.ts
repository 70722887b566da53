/** A call as a line of a shell or some lines of Python. No token stands in it: it is read from the environment. Pure. */
import type { CallRequest, Service } from '../types';

export type Language = 'curl' | 'python' | 'openai' | 'magic';

const VARIABLE = 'MODEL_SERVICE_TOKEN';

export interface Call {
  service: Pick<Service, 'endpoint' | 'public'>;
  /** As the magics find it. */
  name: string;
  request: CallRequest;
}

export function snippet(language: Language, call: Call): string {
  switch (language) {
    case 'curl':
      return curl(call);
    case 'python':
      return python(call);
    case 'openai':
      return openai(call);
    case 'magic':
      return magic(call);
  }
}

/** The same as the cell of a notebook. */
export function cellOf(language: Language, call: Call): string {
  return language === 'curl' ? `%%bash\n${curl(call)}` : snippet(language, call);
}

/** As a browser writes it, and so that curl takes no braces or brackets for a list of addresses. */
function pathOf({ path }: CallRequest): string {
  return path.replace(/[^\w\-./~!$&'()*+,;=:@%?]/gu, each =>
    /\p{Cs}/u.test(each) ? '%EF%BF%BD' : encodeURIComponent(each)
  );
}

function urlOf({ service, request }: Call): string {
  return service.endpoint + pathOf(request).replace(/^\/+/, '');
}

/** Without those that the gateway keeps for itself: a token that was typed has no place in a notebook. */
function headersOf({ request }: Call): Array<[string, string]> {
  return Object.entries(request.headers ?? {}).filter(([name]) => !/^(authorization|cookie)$/i.test(name));
}

function curl(call: Call): string {
  const { request, service } = call;
  const parts = [
    `curl -N ${request.method === 'GET' ? '' : `${methodOf(request.method)} `}${quoted(urlOf(call))}`
  ];
  if (!service.public) {
    parts.push(`-H "Authorization: Bearer $${VARIABLE}"`);
  }
  // To curl, "X-A:" means: without that header.
  parts.push(
    ...headersOf(call).map(([name, value]) => `-H ${quoted(value === '' ? `${name};` : `${name}: ${value}`)}`)
  );
  if (request.body !== undefined) {
    parts.push(`--data-raw ${quoted(request.body)}`);
  }
  return parts.join(' \\\n  ');
}

function methodOf(method: string): string {
  return method === 'HEAD' ? '--head' : `-X ${method}`;
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}

function python(call: Call): string {
  const { request, service } = call;
  const json = jsonOf(request);
  // To requests, json=None means: without a body.
  const asJson = json !== undefined && json !== null;
  const headers = headersOf(call)
    .filter(([name, value]) => !(asJson && isPlainJson(name, value)))
    .map(([name, value]) => `${text(name)}: ${text(value)}`);
  if (!service.public) {
    headers.unshift(`"Authorization": f"Bearer {os.environ['${VARIABLE}']}"`);
  }
  const given = [
    text(urlOf(call)),
    ...(headers.length > 0 ? [`headers={${headers.join(', ')}}`] : []),
    ...(asJson
      ? [`json=${literal(json, 1)}`]
      : request.body !== undefined
        ? [`data=${text(request.body)}.encode()`]
        : []),
    'timeout=60'
  ];
  return [
    ...(service.public ? [] : ['import os', '']),
    'import requests',
    '',
    `answer = requests.${request.method.toLowerCase()}(`,
    ...given.map(each => `    ${each},`),
    ')',
    'answer.raise_for_status()',
    'print(answer.text)'
  ].join('\n');
}

/** What OpenAI's client calls for a path of its API. */
const CHAT = 'chat.completions.create';
const CALLS = new Map([
  ['/v1/chat/completions', CHAT],
  ['/v1/completions', 'completions.create'],
  ['/v1/embeddings', 'embeddings.create'],
  ['/v1/responses', 'responses.create']
]);
/** What can be an argument's name; `__debug__` cannot, and what Python reads as a word of its own. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const NO_NAMES = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except finally for from global ' +
    'if import in is lambda nonlocal not or pass raise return try while with yield __debug__ ' +
    // Of the client's methods; in a body they mean something else.
    'self extra_headers extra_query extra_body timeout'
  ).split(' ')
);

function openai(call: Call): string {
  const { request, service } = call;
  const [path] = request.path.split('?');
  const known = CALLS.get(path);
  const asked = known === undefined ? undefined : jsonOf(request);
  const method = known !== undefined && isMapping(asked) ? known : CHAT;
  const body: Json = isMapping(asked)
    ? asked
    : tagged(
        JSON.stringify({
          model: call.name.split('/').pop() ?? '',
          messages: [{ role: 'user', content: 'Hello!' }],
          stream: true
        })
      );
  const streamed = entries(body).some(([name, value]) => name === 'stream' && value === true);
  const isName = (name: string) => NAME.test(name) && !NO_NAMES.has(name);
  const others = entries(body).filter(([name]) => !isName(name));
  const headers = isMapping(asked)
    ? headersOf(call).filter(([name, value]) => !isPlainJson(name, value))
    : [];
  return [
    ...(service.public ? [] : ['import os', '']),
    'from openai import OpenAI',
    '',
    'client = OpenAI(',
    `    base_url=${text(`${service.endpoint}v1`)},`,
    `    api_key=${service.public ? '"none"' : `os.environ["${VARIABLE}"]`},`,
    ')',
    `answer = client.${method}(`,
    ...entries(body)
      .filter(([name]) => isName(name))
      .map(([name, value]) => `    ${name}=${literal(value, 1)},`),
    ...(others.length > 0 ? [`    extra_body=${mapping(others, 1)},`] : []),
    ...(headers.length > 0
      ? [`    extra_headers={${headers.map(([name, value]) => `${text(name)}: ${text(value)}`).join(', ')}},`]
      : []),
    ')',
    ...(streamed && method === CHAT
      ? ['for piece in answer:', '    print(piece.choices[0].delta.content or "", end="", flush=True)']
      : ['print(answer)'])
  ].join('\n');
}

/** With the rights of whoever runs the notebook. What a magic cannot say is said in Python. */
function magic(call: Call): string {
  const { request } = call;
  const body = request.body ?? '';
  const said = request.method === (body === '' ? 'GET' : 'POST') ? '' : ` --method ${request.method}`;
  const json = jsonOf(request) !== undefined;
  const headers = headersOf(call).filter(([name, value]) => !(json && isPlainJson(name, value)));
  const why = notForMagic(request, headers, json);
  if (why !== null) {
    return `# A magic cannot send this: ${why}. The same call in Python:\n${python(call)}`;
  }
  // IPython puts variables and calls in the place of what stands in braces or after a dollar.
  const path = pathOf(request).replace(/\$/g, '%24');
  const words = /^[\w./?=&%~:,-]*$/.test(path) ? path : quoted(path);
  const more = headers.map(([name, value]) => ` --header ${quoted(`${name}: ${value}`)}`).join('');
  return `%%model_service ${call.name}${path === '/' ? '' : ` ${words}`}${said}${more}\n${body}\n`;
}

function notForMagic(request: CallRequest, headers: Array<[string, string]>, json: boolean): string | null {
  const body = request.body ?? '';
  if (headers.some(each => /[{}$]/.test(each.join()))) {
    return 'IPython would replace what is in braces or after a dollar in a header';
  }
  if (!json && headersOfJson(request)) {
    return 'its body is too large or too deep for it';
  }
  if (body !== '' && /^[\s\p{Cc}]*$/u.test(body)) {
    return 'its body is blank';
  }
  // IPython takes prompts away that were copied with a line.
  return /^\s*(>>>|\.\.\.|(\[\w+\])?\s*In ?\[)/.test(body) ? 'its body begins as a prompt' : null;
}

// --- JSON as it was typed: no number is rounded, and no key moves ------------------------------------------

/** Texts and keys begin with an s, numbers with an n. */
type Json = null | boolean | string | Json[] | { [name: string]: Json };

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const BRACKETS = new RegExp(`${TOKEN.source}|[[\\]{}]`, 'g');
const DEEPEST = 40; // Python reads 100 brackets in each other, and we are called for every key that is typed

function tagged(body: string): Json {
  return JSON.parse(
    body.replace(TOKEN, each => (each.startsWith('"') ? `"s${each.slice(1)}` : `"n${each}"`))
  );
}

/** Undefined: it is no JSON, or none that Python's literals can say. */
function jsonOf(request: CallRequest): Json | undefined {
  const { body } = request;
  if (body === undefined || !headersOfJson(request)) {
    return undefined;
  }
  try {
    JSON.parse(body);
  } catch {
    return undefined;
  }
  let depth = 0;
  for (const each of body.match(BRACKETS) ?? []) {
    depth += each === '[' || each === '{' ? 1 : each === ']' || each === '}' ? -1 : 0;
    if (depth > DEEPEST || (/\d$/.test(each) && !Number.isFinite(Number(each)))) {
      return undefined;
    }
  }
  return tagged(body);
}

function headersOfJson({ headers }: CallRequest): boolean {
  return Object.entries(headers ?? {}).some(
    ([name, value]) => name.toLowerCase() === 'content-type' && /^application\/json\b/.test(value)
  );
}

/** What is said of JSON without being told. */
function isPlainJson(name: string, value: string): boolean {
  return name.toLowerCase() === 'content-type' && value === 'application/json';
}

function isMapping(value: Json | undefined): value is { [name: string]: Json } {
  return value !== undefined && value !== null && typeof value === 'object' && !Array.isArray(value);
}

function entries(value: Json): Array<[string, Json]> {
  return isMapping(value) ? Object.entries(value).map(([name, each]) => [name.slice(1), each]) : [];
}

/** JSON's quoting is Python's, too; what ends a line, or is not seen, is written as its number: IPython looks at each
 * line for its own commands. */
function text(value: string): string {
  return JSON.stringify(value).replace(/[\p{C}\u2028\u2029]/gu, each =>
    each.length > 1 ? each : `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`
  );
}

/** In one line where that is short. */
function literal(value: Json, depth: number): string {
  if (value === null || typeof value === 'boolean') {
    return value === null ? 'None' : value ? 'True' : 'False';
  }
  if (typeof value === 'string') {
    return value.startsWith('n') ? value.slice(1) : text(value.slice(1));
  }
  return Array.isArray(value)
    ? lines(
        '[]',
        value.map(each => literal(each, depth + 1)),
        depth
      )
    : mapping(entries(value), depth);
}

function mapping(found: Array<[string, Json]>, depth: number): string {
  return lines(
    '{}',
    found.map(([name, each]) => `${text(name)}: ${literal(each, depth + 1)}`),
    depth
  );
}

function lines([open, close]: string, parts: string[], depth: number): string {
  const short = `${open}${parts.join(', ')}${close}`;
  if (short.length <= 90 && !short.includes('\n')) {
    return short;
  }
  const pad = '    '.repeat(depth);
  return `${open}\n${parts.map(each => `${pad}    ${each},\n`).join('')}${pad}${close}`;
}

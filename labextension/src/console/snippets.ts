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

function urlOf({ service, request }: Call): string {
  return service.endpoint + request.path.replace(/^\/+/, '');
}

function headersOf({ request }: Call): Array<[string, string]> {
  return Object.entries(request.headers ?? {});
}

function curl(call: Call): string {
  const { request, service } = call;
  const parts = [
    `curl -N ${request.method === 'GET' ? '' : `${methodOf(request.method)} `}${quoted(urlOf(call))}`
  ];
  if (!service.public) {
    parts.push(`-H "Authorization: Bearer $${VARIABLE}"`);
  }
  parts.push(...headersOf(call).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`));
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
  const headers = headersOf(call)
    .filter(([name]) => json === undefined || name.toLowerCase() !== 'content-type')
    .map(([name, value]) => `${text(name)}: ${text(value)}`);
  if (!service.public) {
    headers.unshift(`"Authorization": f"Bearer {os.environ['${VARIABLE}']}"`);
  }
  const given = [
    text(urlOf(call)),
    ...(headers.length > 0 ? [`headers={${headers.join(', ')}}`] : []),
    ...(json !== undefined
      ? [`json=${literal(json.value, 1)}`]
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
const CALLS: ReadonlyArray<readonly [path: RegExp, method: string]> = [
  [/^\/v1\/completions$/, 'completions.create'],
  [/^\/v1\/embeddings$/, 'embeddings.create'],
  [/^\/v1\/responses$/, 'responses.create']
];

function openai(call: Call): string {
  const { request, service } = call;
  const path = request.path.split('?')[0];
  const method = CALLS.find(([each]) => each.test(path))?.[1] ?? 'chat.completions.create';
  const asked = path.startsWith('/v1/') ? jsonOf(request)?.value : undefined;
  const body = isMapping(asked)
    ? asked
    : {
        model: call.name.split('/').pop() ?? '',
        messages: [{ role: 'user', content: 'Hello!' }],
        stream: true
      };
  const streamed = body['stream'] === true && method === 'chat.completions.create';
  return [
    ...(service.public ? [] : ['import os', '']),
    'from openai import OpenAI',
    '',
    'client = OpenAI(',
    `    base_url=${text(`${service.endpoint}v1`)},`,
    `    api_key=${service.public ? '"none"' : `os.environ["${VARIABLE}"]`},`,
    ')',
    `answer = client.${method}(`,
    ...Object.entries(body).map(([name, value]) => `    ${name}=${literal(value, 1)},`),
    ')',
    ...(streamed
      ? ['for piece in answer:', '    print(piece.choices[0].delta.content or "", end="", flush=True)']
      : ['print(answer)'])
  ].join('\n');
}

/** With the rights of whoever runs the notebook. */
function magic(call: Call): string {
  const { request } = call;
  const body = request.body ?? '';
  const said = request.method === (body === '' ? 'GET' : 'POST') ? '' : ` --method ${request.method}`;
  const json = jsonOf(request) !== undefined;
  const headers = headersOf(call)
    .filter(([name]) => !(json && name.toLowerCase() === 'content-type'))
    .map(([name, value]) => ` --header ${quoted(`${name}: ${value}`)}`);
  const path = request.path.replace(/^\/+/, '');
  const words = /^[\w./?=&%~:,-]*$/.test(path) ? path : quoted(path);
  return `%%model_service ${call.name}${words === '' ? '' : ` ${words}`}${said}${headers.join('')}\n${body}\n`;
}

function jsonOf(request: CallRequest): { value: unknown } | undefined {
  const type = Object.entries(request.headers ?? {}).find(([name]) => name.toLowerCase() === 'content-type');
  if (request.body === undefined || !/^application\/json\b/.test(type?.[1] ?? '')) {
    return undefined;
  }
  try {
    return { value: JSON.parse(request.body) };
  } catch {
    return undefined;
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** JSON's quoting is Python's, too. */
function text(value: string): string {
  return JSON.stringify(value);
}

/** In one line where that is short. */
function literal(value: unknown, depth: number): string {
  if (value === null || typeof value === 'boolean') {
    return value === null ? 'None' : value ? 'True' : 'False';
  }
  if (typeof value !== 'object') {
    return JSON.stringify(value);
  }
  const list = Array.isArray(value);
  const parts = list
    ? value.map(each => literal(each, depth + 1))
    : Object.entries(value as object).map(([name, each]) => `${text(name)}: ${literal(each, depth + 1)}`);
  const [open, close] = list ? '[]' : '{}';
  const short = `${open}${parts.join(', ')}${close}`;
  if (short.length <= 90 && !short.includes('\n')) {
    return short;
  }
  const pad = '    '.repeat(depth);
  return `${open}\n${parts.map(each => `${pad}    ${each},\n`).join('')}${pad}${close}`;
}

import { nullTranslator } from '@jupyterlab/translation';

import { service } from '../../__tests__/fakes';
import { checked, firstOf, fromSample, toSample, Typed } from '../request';
import { Call, cellOf, snippet } from '../snippets';

const trans = nullTranslator.load('');
const POST: Typed = { method: 'POST', path: '/predict', headers: '', kind: 'json', body: '{"n": 1}' };

describe('a call', () => {
  it('is sent as it is typed, with what its body is', () => {
    expect(checked({ ...POST, body: '{"n": 12345678901234567890}' }, trans)).toEqual({
      request: {
        method: 'POST',
        path: '/predict',
        headers: { 'Content-Type': 'application/json' },
        body: '{"n": 12345678901234567890}'
      },
      wrong: {}
    });
    expect(checked({ ...POST, kind: 'text', body: 'hello' }, trans).request).toMatchObject({
      headers: { 'Content-Type': 'text/plain; charset=utf-8' },
      body: 'hello'
    });
    expect(
      checked({ ...POST, headers: 'content-type: application/x-ndjson\nX-A: b: c' }, trans).request.headers
    ).toEqual({ 'content-type': 'application/x-ndjson', 'X-A': 'b: c' });
  });

  it('has no body where there can be none, or none was typed', () => {
    expect(checked({ ...POST, method: 'GET', body: '{' }, trans)).toEqual({
      request: { method: 'GET', path: '/predict', headers: {}, body: undefined },
      wrong: {}
    });
    expect(checked({ ...POST, body: ' ' }, trans).request.headers).toEqual({});
  });

  it('is told what is wrong with it', () => {
    expect(checked({ ...POST, path: 'predict' }, trans).wrong).toHaveProperty('path');
    expect(checked({ ...POST, path: '/a b' }, trans).wrong).toHaveProperty('path');
    expect(checked({ ...POST, headers: 'no header' }, trans).wrong.headers).toContain('“no header”');
    expect(checked({ ...POST, body: '{"a":\n 1,}' }, trans).wrong.body).toMatch(/^This is no JSON: .*2/);
    expect(checked({ ...POST, kind: 'text', body: '{' }, trans).wrong).toEqual({});
  });

  it.each([
    '/../../../../api/contents/sneaked.py',
    '/..\\..\\..\\../api/status',
    '/%2e%2E/x',
    '/a/.',
    '/a%2f..%2fb',
    '//elsewhere',
    '/a#b',
    '/a\x01'
  ])('stays below its endpoint: %s', path => {
    expect(checked({ ...POST, path }, trans).wrong).toHaveProperty('path');
  });

  it.each(['/', '/v1.2/...', '/.well-known/x', '/a?next=/../b\\', '/a..b/%2e%2ex'])('may be to %s', path => {
    expect(checked({ ...POST, path }, trans).wrong).toEqual({});
  });

  it.each(['X-A: \x85', 'X-A: a\x0bb', 'X-A: €'])('has headers that can be sent, unlike %p', headers => {
    expect(checked({ ...POST, headers }, trans).wrong).toHaveProperty('headers');
  });

  it.each<Typed>([
    POST,
    { ...POST, body: '"a text"' },
    { ...POST, body: 'null' },
    { ...POST, kind: 'text', body: 'plain' },
    { ...POST, method: 'GET', path: '/a?b=1', headers: 'X-A: b', body: '' }
  ])('is the same call after it was kept: %p', typed => {
    const again = fromSample(JSON.parse(JSON.stringify(toSample('one', typed, trans))));
    const sent = (each: Typed) => {
      const { request } = checked(each, trans);
      return {
        ...request,
        body: each.kind === 'json' && request.body ? JSON.parse(request.body) : request.body
      };
    };
    expect(sent(again)).toEqual(sent(typed));
  });

  it('is kept as data where it is JSON, not as a text of it', () => {
    expect(toSample('one', POST, trans)).toEqual({
      name: 'one',
      method: 'POST',
      path: '/predict',
      headers: {},
      body: { n: 1 }
    });
  });

  it('begins as the health check', () => {
    const definition = { health_check: { path: '/health' } };
    const words = service('words', { revisions: [{ number: 1, definition } as any] });
    expect(firstOf(words)).toMatchObject({ method: 'GET', path: '/health' });
    expect(firstOf(null)).toMatchObject({ method: 'GET', path: '/' });
  });
});

describe('a snippet', () => {
  const call = (typed: Partial<Typed>, open = false): Call => ({
    service: { endpoint: 'http://host/endpoints/ann/words/', public: open },
    name: 'words',
    request: checked({ ...POST, ...typed }, trans).request
  });

  it('for curl is quoted for the shell, with a place for the token', () => {
    expect(snippet('curl', call({ body: '{"a": "it\'s"}' }))).toBe(
      [
        "curl -N -X POST 'http://host/endpoints/ann/words/predict' \\",
        '  -H "Authorization: Bearer $MODEL_SERVICE_TOKEN" \\',
        "  -H 'Content-Type: application/json' \\",
        `  --data-raw '{"a": "it'\\''s"}'`
      ].join('\n')
    );
    expect(snippet('curl', call({ method: 'GET', path: '/a?b=1' }, true))).toBe(
      "curl -N 'http://host/endpoints/ann/words/a?b=1'"
    );
    expect(cellOf('curl', call({}, true))).toMatch(/^%%bash\ncurl /);
  });

  it('for Python is Python', () => {
    const text = snippet('python', call({ body: '{"on": true, "off": null, "say": "\\"ä\\""}' }));
    expect(text).toContain('requests.post(\n    "http://host/endpoints/ann/words/predict",\n');
    expect(text).toContain(`headers={"Authorization": f"Bearer {os.environ['MODEL_SERVICE_TOKEN']}"}`);
    expect(text).toContain('json={"on": True, "off": None, "say": "\\"ä\\""}');
    expect(snippet('python', call({ method: 'GET' }, true))).not.toContain('TOKEN');
    expect(snippet('python', call({ kind: 'text', body: 'a' }, true))).toContain('data="a".encode()');
  });

  it('for the client of OpenAI has what was typed for its API', () => {
    const chat = { model: 'm', messages: [{ role: 'user', content: 'Hi' }], stream: true };
    const text = snippet('openai', call({ path: '/v1/chat/completions', body: JSON.stringify(chat) }));
    expect(text).toContain('base_url="http://host/endpoints/ann/words/v1"');
    expect(text).toContain('messages=[{"role": "user", "content": "Hi"}],\n    stream=True,');
    expect(text).toContain('for piece in answer:');
    const other = snippet('openai', call({ path: '/v1/embeddings', body: '{"input": "a"}' }, true));
    expect(other).toContain('client.embeddings.create(\n    input="a",\n)');
    expect(other).toContain('api_key="none"');
    expect(snippet('openai', call({}))).toContain('content": "Hello!"');
  });

  it('for a notebook is the magic', () => {
    expect(snippet('magic', call({}))).toBe('%%model_service words /predict\n{"n": 1}\n');
    expect(snippet('magic', call({ method: 'PUT', headers: 'X-A: b' }))).toBe(
      '%%model_service words /predict --method PUT --header \'X-A: b\'\n{"n": 1}\n'
    );
    expect(snippet('magic', call({ method: 'GET', path: '/' }))).toBe('%%model_service words\n\n');
  });

  it('for a notebook has nothing that IPython would evaluate, and no option that was a path', () => {
    expect(snippet('magic', call({ method: 'GET', path: '/{1}/$HOME/`id`?a=$b' }))).toBe(
      '%%model_service words /%7B1%7D/%24HOME/%60id%60?a=%24b\n\n'
    );
    expect(snippet('magic', call({ method: 'GET', path: '/--data-dir=/tmp/x' }))).toBe(
      '%%model_service words /--data-dir=/tmp/x\n\n'
    );
    const text = snippet('magic', call({ headers: 'X-A: {open("x","w")}' }));
    expect(text).toMatch(/^# A magic cannot send this: .*\nimport os\n/);
    expect(text).toContain('"X-A": "{open(\\"x\\",\\"w\\")}"');
  });

  it('for the client of OpenAI has only names as arguments', () => {
    const body = { model: 'm', 'a=__import__("os").system("id"), b': 1, class: 2, timeout: 3, _four: 4 };
    const text = snippet('openai', call({ path: '/v1/chat/completions', body: JSON.stringify(body) }));
    expect(text).toContain('    model="m",\n    _four=4,\n    extra_body={');
    expect(text).toContain('"a=__import__(\\"os\\").system(\\"id\\"), b": 1, "class": 2, "timeout": 3}');
  });

  it('rounds no number, moves no key and ends no line', () => {
    const body =
      '{"b": 12345678901234567890, "1": 1.0, "0": [-0.5e-3], "__proto__": null, "s": "\u2028!id\\/"}';
    const text = snippet('python', call({ body }, true)).replace(/\n */g, ' ');
    expect(text).toContain(
      '"b": 12345678901234567890, "1": 1.0, "0": [-0.5e-3], "__proto__": None, "s": "\\u2028!id/"'
    );
    expect(snippet('python', call({ body: '[1e999]' }, true))).toContain('data="[1e999]".encode()');
    expect(snippet('python', call({ body: 'null' }, true))).toContain('data="null".encode()');
    const deep = '['.repeat(190_000) + ']'.repeat(190_000);
    expect(snippet('python', call({ body: deep }, true))).toContain('data="[[[');
    expect(snippet('openai', call({ path: '/v1/embeddings', body: deep }))).toContain('Hello!');
    const long = JSON.stringify({ image: 'x"\\'.repeat(500_000) });
    expect(snippet('python', call({ body: long }, true)).length).toBeGreaterThan(1_500_000);
  });

  it('has no token that was typed', () => {
    for (const language of ['curl', 'python', 'openai', 'magic'] as const) {
      const headers = 'authorization: Bearer s3cret\nCookie: s3cret\nX-A: b';
      const text = snippet(language, call({ path: '/v1/embeddings', body: '{"input": "a"}', headers }));
      expect(text).not.toContain('s3cret');
      expect(text).toContain('X-A');
    }
  });
});

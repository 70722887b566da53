import { ServerConnection } from '@jupyterlab/services';

import { ApiError, ModelServiceApi } from '../api';
import { serverSentEvents } from '../sse';

async function* pieces(...texts: string[]): AsyncGenerator<string> {
  for (const text of texts) {
    yield text;
  }
}

async function all<T>(from: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of from) {
    found.push(each);
  }
  return found;
}

/** A server that answers so, and what it was asked. */
function server(answer: () => Response): { api: ModelServiceApi; asked: Request[] } {
  const asked: Request[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://lab.test/user/ann/',
    token: 'secret',
    fetch: async (input: RequestInfo | URL, init?: RequestInit) => {
      asked.push(new Request(input, init));
      return answer();
    }
  });
  return { api: new ModelServiceApi(settings), asked };
}

describe('server-sent events', () => {
  it('come whole however they are cut', async () => {
    const text =
      ': still here\n\nevent: service\r\ndata: {"a":\ndata: 1}\n\nevent: hello\ndata: {}\n\nevent: cut';
    const wanted = [
      { event: '', data: 'still here' },
      { event: 'service', data: '{"a":\n1}' },
      { event: 'hello', data: '{}' }
    ];
    expect(await all(serverSentEvents(pieces(text)))).toEqual(wanted);
    expect(await all(serverSentEvents(pieces(...text)))).toEqual(wanted);
  });
});

describe('the interface to the server', () => {
  it('asks below the base address, and says what a body is', async () => {
    const { api, asked } = server(() => new Response('{"name": "a"}'));
    await api.scale('ann/my model', 2);
    expect(asked[0].method).toBe('PUT');
    expect(asked[0].url).toBe('http://lab.test/user/ann/model-service/api/v1/services/ann/my%20model/scale');
    expect(asked[0].headers.get('Content-Type')).toBe('application/json');
    expect(await asked[0].json()).toEqual({ replicas: 2 });
  });

  it('leaves out of the address what is not said', async () => {
    const { api, asked } = server(() => new Response('{}'));
    await api.logs('ann/a', { replica: null, after: 7 });
    expect(new URL(asked[0].url).search).toBe('?after=7');
  });

  it('tells a refusal with its sentence, code and problems', async () => {
    const problem = { where: 'port', message: 'is missing', file: 'x', line: 3, severity: 'error' };
    const body = { error: { code: 'definition', message: 'The definition is wrong.', problems: [problem] } };
    const { api } = server(() => new Response(JSON.stringify(body), { status: 422 }));
    const error = await api.list().catch(found => found);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      message: 'The definition is wrong.',
      status: 422,
      code: 'definition',
      problems: [problem]
    });
  });

  it('tells an address that Jupyter does not know from a service that the gateway does not know', async () => {
    const jupyter = server(() => new Response('<html>404</html>', { status: 404 }));
    expect(await jupyter.api.list().catch(error => error.code)).toBe('no_route');
    const body = { error: { code: 'not_found', message: 'There is no service ann/a.', problems: [] } };
    const gateway = server(() => new Response(JSON.stringify(body), { status: 404 }));
    expect(await gateway.api.get('ann/a').catch(error => error.code)).toBe('not_found');
  });

  it('says in a sentence that there is no answer', async () => {
    const { api } = server(() => {
      throw new TypeError('Failed to fetch');
    });
    const error = await api.list().catch(found => found);
    expect(error).toMatchObject({ code: 'unreachable', message: 'The Jupyter server does not answer.' });
  });

  it('hands on a streamed answer piece by piece, and how long the first took', async () => {
    const said: Uint8Array[] = [];
    let wake: () => void = () => undefined;
    const reader = {
      read: async () => {
        while (said.length === 0) {
          await new Promise<void>(resolve => (wake = resolve));
        }
        const value = said.shift()!;
        return value.length > 0 ? { done: false, value } : { done: true, value: undefined };
      },
      cancel: async () => undefined
    };
    const say = (...bytes: number[]) => {
      said.push(Uint8Array.from(bytes));
      wake();
    };
    const body = { getReader: () => reader };
    const { api, asked } = server(
      () => ({ status: 201, statusText: 'Created', headers: new Headers(), body }) as unknown as Response
    );
    const request = {
      method: 'POST',
      path: '/v1/chat?x=1',
      body: '{}',
      headers: { 'Content-Type': 'application/json' }
    };
    const answer = await api.call('ann/a', request, new AbortController().signal);
    expect(asked[0].url).toBe('http://lab.test/user/ann/model-service/endpoints/ann/a/v1/chat?x=1');
    expect(answer.status).toBe(201);
    expect(answer.firstByteMs).toBeNull();
    const reading = answer.body[Symbol.asyncIterator]();
    say(104, 105, 0xc3);
    expect((await reading.next()).value).toBe('hi');
    expect(answer.firstByteMs).not.toBeNull();
    say(0xa9);
    expect((await reading.next()).value).toBe('é');
    say();
    expect((await reading.next()).done).toBe(true);
  });

  it.each([
    ['application/octet-stream', false],
    ['image/svg+xml', true],
    ['image/png', false],
    ['application/problem+json; charset=utf-8', true],
    ['text/event-stream', true],
    ['Application/JSON', true],
    ['application/javascript', true],
    ['application/x-www-form-urlencoded', true],
    ['application/zip', false],
    [null, true]
  ])('decodes of an answer what its type says is text, and counts the rest: %s', async (type, isText) => {
    const pieces = [Uint8Array.of(104, 105), Uint8Array.of(33)];
    const reader = {
      read: async () => (pieces.length > 0 ? { done: false, value: pieces.shift() } : { done: true }),
      cancel: async () => undefined
    };
    const headers = new Headers(type === null ? {} : { 'Content-Type': type });
    const { api } = server(
      () => ({ status: 200, statusText: 'OK', headers, body: { getReader: () => reader } }) as any
    );
    const answer = await api.call('ann/a', { method: 'GET', path: '/' }, new AbortController().signal);
    let text = '';
    for await (const piece of answer.body) {
      text += piece;
    }
    expect([answer.isText, text, answer.size]).toEqual(isText ? [true, 'hi!', 0] : [false, '', 3]);
    expect(answer.firstByteMs).not.toBeNull();
  });

  it('changes of autoscaling what it is told to, and leaves the rest', async () => {
    const { api, asked } = server(() => new Response('{}'));
    await api.changeAutoscaling('ann/a', { max: 8 });
    expect([asked[0].method, new URL(asked[0].url).pathname.split('/').pop()]).toEqual([
      'PATCH',
      'autoscaling'
    ]);
    expect(await asked[0].text()).toBe('{"max":8}');
  });

  it.each([
    '/../../../../api/contents/sneaked.py',
    '/..\\..\\..\\../api/status',
    '/a/%2e%2e/%2E./../b',
    '/./..',
    '/\t../.\n./x'
  ])('sends nothing out of the endpoint: %s', async path => {
    const { api, asked } = server(() => new Response('{}'));
    const call = api.call('ann/a', { method: 'PUT', path, body: '{}' }, new AbortController().signal);
    expect(await call.catch(error => error)).toMatchObject({ name: 'ApiError', code: 'bad_path' });
    expect(asked).toEqual([]);
  });

  it('sends dots that lead nowhere else', async () => {
    const { api, asked } = server(() => new Response('{}'));
    const signal = new AbortController().signal;
    for (const path of ['/v1.2/...', '/a?next=/../b', '/.well-known/x']) {
      await api.call('ann/a', { method: 'GET', path }, signal);
    }
    const base = 'http://lab.test/user/ann/model-service/endpoints/ann/a';
    expect(asked.map(each => each.url.replace(base, ''))).toEqual([
      '/v1.2/...',
      '/a?next=/../b',
      '/.well-known/x'
    ]);
  });

  it('asks two questions at once, changes beside them, and figures last', async () => {
    const open: Array<() => void> = [];
    const asked: string[] = [];
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://lab.test/',
      fetch: async (input: RequestInfo | URL) => {
        asked.push(new URL((input as Request).url).pathname.split('/').slice(-1)[0]);
        await new Promise<void>(resolve => open.push(resolve));
        return new Response('{}');
      }
    });
    const api = new ModelServiceApi(settings);
    const leave = new AbortController();
    const figures = [1, 2, 3].map(() => api.series('ann/a', 0));
    const left = api.series('ann/a', 0, 1, leave.signal).catch(error => error);
    const list = api.list();
    const change = api.scale('ann/a', 1);
    expect(asked).toEqual(['series', 'series', 'scale']);
    leave.abort();
    expect(await left).toBeInstanceOf(DOMException);
    open[0]();
    await figures[0];
    await Promise.resolve();
    expect(asked.slice(3)).toEqual(['services']);
    for (let i = 1; i < 5; i++) {
      open[i]?.();
      await new Promise(resolve => setTimeout(resolve));
    }
    await Promise.all([...figures, list, change]);
    expect(asked.slice(4)).toEqual(['series']);
  });

  it('gives up a question that gets no answer, and no change', async () => {
    const given: AbortSignal[] = [];
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://lab.test/',
      fetch: (input: RequestInfo | URL) => {
        const { signal } = input as Request;
        given.push(signal);
        return new Promise<Response>((_, reject) =>
          signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
        );
      }
    });
    const api = new ModelServiceApi(settings, 20);
    void api.scale('ann/a', 1);
    const error = await api.list().catch(found => found);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      code: 'unreachable',
      message: 'The Jupyter server did not answer within 0.02 s.'
    });
    expect(given.map(each => each.aborted)).toEqual([false, true]);
  });

  it('knows the time that the server has, from its answers and not from those of a model', async () => {
    const ahead = 3600;
    const date = () => new Date(Date.now() + 1000 * ahead).toUTCString();
    const { api } = server(() => new Response('{}', { headers: { Date: date() } }));
    const off = () => Math.round((api.now() - Date.now() / 1000) / 10) * 10;
    let answered = 0;
    api.answered.connect(() => void answered++);
    await api.call('ann/a', { method: 'GET', path: '/' }, new AbortController().signal);
    expect([off(), answered]).toEqual([0, 0]);
    await api.offer();
    expect([off(), answered]).toEqual([ahead, 1]);
    const near = server(() => new Response('{}', { headers: { Date: new Date().toUTCString() } }));
    await near.api.offer();
    expect(Math.abs(near.api.now() - Date.now() / 1000)).toBeLessThan(0.05);
  });
});

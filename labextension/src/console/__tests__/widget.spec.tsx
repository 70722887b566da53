import { nullTranslator } from '@jupyterlab/translation';
import { act, fireEvent, screen, waitFor } from '@testing-library/react';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { service } from '../../__tests__/fakes';
import type { CallAnswer, CallRequest } from '../../api';
import { FakeWorkbench, folder } from '../../deploy/__tests__/samples';
import { ServicesModel } from '../../model/services';
import { createConsole } from '..';

const SAMPLE = { name: 'count', method: 'POST' as const, path: '/count', headers: {}, body: { n: 3 } };

let fake: FakeWorkbench;
let model: ServicesModel;
let widget: Widget;
let open: (key: string) => Promise<void>;
/** An answer that comes when the test says so. */
let said: CallRequest[];
let say: (piece: string) => void;
let end: (error?: Error) => void;
let cells: string[];
/** Bytes of an answer that is no text; null: it is one. */
let binary: number | null;

const headers: Array<readonly [string, string]> = [['content-type', 'application/json']];

async function call(_: string, request: CallRequest, signal: AbortSignal): Promise<CallAnswer> {
  said.push(request);
  const queue: Array<string | Error | null> = [];
  let wake: () => void = () => undefined;
  const put = (each: string | Error | null) => {
    queue.push(each);
    wake();
  };
  say = put;
  end = error => put(error ?? null);
  signal.addEventListener('abort', () => put(new Error('aborted')));
  async function* body() {
    for (;;) {
      const next = queue.shift();
      if (next === undefined) {
        await new Promise<void>(resolve => (wake = resolve));
      } else if (next === null) {
        return;
      } else if (next instanceof Error) {
        throw next;
      } else {
        yield next;
      }
    }
  }
  const timed = { status: 200, statusText: 'OK', headersMs: 5, firstByteMs: 12 };
  return binary === null
    ? { ...timed, headers, size: 0, isText: true, body: body() }
    : { ...timed, headers: [['content-type', 'model/x']], size: binary, isText: false, body: body() };
}

beforeEach(async () => {
  fake = new FakeWorkbench();
  const revisions = [{ number: 1, folder: '/home/ann/words', definition: {} } as any];
  fake.services = [service('words', { revisions })];
  fake.folders.words = folder({ requests: [SAMPLE] });
  fake.answers.site = () => ({ version: '1', mode: 'embedded', user: 'ann', root: '/home/ann', kinds: [] });
  said = [];
  binary = null;
  cells = ['1 + 1'];
  const api = { ...fake.api, call };
  model = new ServicesModel({ api, isVisible: () => true, stream: { delay: () => 5 } });
  const sharedModel = {
    cells: cells.map(each => ({ getSource: () => each })),
    insertCells: (at: number, made: any[]) => cells.splice(at, 0, ...made.map(each => each.source))
  };
  const notebooks = { currentWidget: { content: { activeCellIndex: 0, model: { sharedModel } } } };
  open = async key => {
    widget = createConsole({
      key,
      model,
      translator: nullTranslator,
      commands: new CommandRegistry(),
      shell: {} as any,
      documents: null,
      editors: null,
      notebooks: notebooks as any
    });
    await act(async () => {
      Widget.attach(widget, document.body);
      MessageLoop.flush();
    });
  };
  await open('ann/words');
  await seen(() => path().value === '/count', 'the sample that is kept');
});

afterEach(() => {
  act(() => widget.dispose());
  model.dispose();
});

async function seen(look: () => boolean, what: string): Promise<void> {
  await waitFor(() => expect([what, look()]).toEqual([what, true]), { timeout: 4000 });
}

const has = (words: string) => (widget.node.textContent ?? '').includes(words);
const path = () => screen.getByLabelText<HTMLInputElement>('Path');
const button = (name: string | RegExp) => screen.getByRole<HTMLButtonElement>('button', { name });
const body = () => screen.getByLabelText<HTMLTextAreaElement>('Body');

it('shows the answer as it comes, with the time of its first byte', async () => {
  fireEvent.click(button('Send'));
  await seen(() => said.length === 1, 'the call');
  expect(said[0]).toEqual({
    method: 'POST',
    path: '/count',
    headers: { 'Content-Type': 'application/json' },
    body: '{\n  "n": 3\n}'
  });
  say('{"one": ');
  await seen(() => has('{"one": '), 'the first piece');
  expect(has('200 OK')).toBe(true);
  expect(has('first byte after 12 ms · coming …')).toBe(true);
  say('1}');
  end();
  await seen(() => has('whole after'), 'the end');
  expect(screen.getByLabelText('Body of the answer').textContent).toBe('{\n  "one": 1\n}');
});

it('stops, and keeps what had come', async () => {
  fireEvent.click(button('Send'));
  await seen(() => said.length === 1, 'the call');
  say('half');
  await seen(() => has('half'), 'the first piece');
  expect(button('Send').disabled).toBe(true);
  fireEvent.click(button('Stop'));
  await seen(() => has('stopped after'), 'that it has stopped');
  expect(has('half')).toBe(true);
  expect(button('Send').disabled).toBe(false);
});

it('says that the answer broke off', async () => {
  fireEvent.click(button('Send'));
  await seen(() => said.length === 1, 'the call');
  say('half');
  end(new TypeError('network error'));
  await seen(() => has('The connection broke before the answer had ended.'), 'the problem');
  expect(has('broken off after')).toBe(true);
});

it('sends nothing that is no JSON, and says where', () => {
  fireEvent.change(body(), { target: { value: '{"n": }' } });
  expect(has('This is no JSON')).toBe(true);
  expect(button('Send').disabled).toBe(true);
  expect(button('Keep…').disabled).toBe(true);
  fireEvent.keyDown(body(), { key: 'Enter', ctrlKey: true });
  expect(said).toEqual([]);
});

it('keeps calls with the model folder, and forgets them', async () => {
  fireEvent.change(path(), { target: { value: '/other' } });
  fireEvent.click(button('Keep…'));
  fireEvent.change(screen.getByLabelText('Name of the sample request'), { target: { value: 'other' } });
  fireEvent.click(button('Keep'));
  await seen(
    () => screen.getByLabelText<HTMLSelectElement>('Sample request').value === 'other',
    'that it is kept'
  );
  const kept = () => fake.sent.filter(([name]) => name === 'keepRequests').map(([, given]) => given as any[]);
  expect(kept()[0][0]).toBe('words');
  expect(kept()[0][1]).toEqual([SAMPLE, { ...SAMPLE, name: 'other', path: '/other' }]);
  fireEvent.change(screen.getByLabelText('Sample request'), { target: { value: 'count' } });
  expect(path().value).toBe('/count');
  fireEvent.click(button('Forget the sample request count'));
  await seen(() => kept().length === 2, 'that it is forgotten');
  expect(kept()[1][1].map((each: any) => each.name)).toEqual(['other']);
});

it('offers the name that a call has, to be typed over, and says what was not kept of it', async () => {
  fake.answers.keepRequests = (_: string, requests: any[]) =>
    requests.map(each => ({ ...each, headers: { 'X-A': 'b' } }));
  fireEvent.change(screen.getByLabelText('Headers'), {
    target: { value: 'X-A: b\nAuthorization: Bearer x' }
  });
  fireEvent.click(button('Keep…'));
  const name = screen.getByLabelText<HTMLInputElement>('Name of the sample request');
  expect([name.value, name.selectionStart, name.selectionEnd]).toEqual(['count', 0, 5]);
  fireEvent.click(button('Keep'));
  await seen(() => has('Kept without Authorization: '), 'what was left out');
  fireEvent.change(screen.getByLabelText('Sample request'), { target: { value: 'count' } });
  expect(has('Kept without')).toBe(false);
});

it('puts the call into the notebook below the current cell, with what it needs', async () => {
  await seen(() => screen.queryByLabelText('As') !== null, 'the snippets');
  expect(has('Bearer $MODEL_SERVICE_TOKEN')).toBe(true);
  fireEvent.change(screen.getByLabelText('As'), { target: { value: 'magic' } });
  fireEvent.click(button('Insert as Cell'));
  expect(cells).toEqual([
    '1 + 1',
    '%load_ext jupyter_model_service',
    '%%model_service words /count\n{\n  "n": 3\n}\n'
  ]);
});

it('calls what others share for calling alone, of which nothing else is known', async () => {
  act(() => widget.dispose());
  const endpoint = 'http://127.0.0.1:1/endpoints/bob/chat/';
  fake.shared = [{ owner: 'bob', name: 'chat', state: 'ready', endpoint, page: null, role: 'caller' }];
  await act(() => model.refresh());
  await open('bob/chat');
  await seen(() => has(endpoint), 'the call in code');
  expect(screen.queryByText('Keep')).toBeNull();
  expect(fake.calls.filter(each => each.startsWith('get bob/chat'))).toEqual([]); // it would be a denial in the audit log
  fireEvent.change(path(), { target: { value: '/hello' } });
  fireEvent.click(button('Send'));
  await seen(() => said.length === 1, 'the call');
  expect(said[0].path).toBe('/hello');
  say('hi');
  end();
  await seen(() => has('whole after'), 'the end');
  expect(screen.getByLabelText('Body of the answer').textContent).toBe('hi');
});

it('has nothing kept current while it is hidden', () => {
  expect(model.active).toBe(true);
  act(() => widget.hide());
  expect(model.active).toBe(false);
  act(() => widget.show());
  expect(model.active).toBe(true);
});

it('spells out in an answer what would turn it around or is not seen', async () => {
  fireEvent.click(button('Send'));
  await seen(() => said.length === 1, 'the call');
  say('a\u202eb\u2066\x9b\x1b[2J\r\n\tc');
  end();
  await seen(() => has('whole after'), 'the end');
  expect(screen.getByLabelText('Body of the answer').textContent).toBe(
    'a\\u202eb\\u2066\\u009b\\u001b[2J\r\n\tc'
  );
});

it('says of an answer that is no text how large it is, and of what type', async () => {
  binary = 3 * 1024 * 1024;
  fireEvent.click(button('Send'));
  await seen(() => said.length === 1, 'the call');
  say('');
  end();
  await seen(() => has('whole after'), 'the end');
  expect(has('3 MiB of model/x, which is not text: it is not shown.')).toBe(true);
  expect(screen.queryByLabelText('Body of the answer')).toBeNull();
  expect(screen.queryByRole('button', { name: 'Copy the answer' })).toBeNull();
});

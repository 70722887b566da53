import { nullTranslator } from '@jupyterlab/translation';
import { act, fireEvent, screen, waitFor } from '@testing-library/react';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { DockPanel, Widget } from '@lumino/widgets';

import { service } from '../../__tests__/fakes';
import { ApiError } from '../../api';
import { ServicesModel } from '../../model/services';
import { CommandIDs } from '../../parts';
import { createDeploy } from '..';
import { openAt } from '../files';
import { FakeWorkbench, folder, OFFER, PROBLEM } from './samples';

let fake: FakeWorkbench;
let model: ServicesModel;
let widget: Widget;
let opened: unknown[];
let editors: any;
let contents: { localPath: (path: string) => string; fileChanged: Signal<object, any> };

const documents = { openOrReveal: jest.fn() };

beforeEach(() => {
  fake = new FakeWorkbench();
  fake.services = [service('words')];
  opened = [];
  editors = null;
  contents = { localPath: path => path.replace(/^RTC:/, ''), fileChanged: new Signal({}) };
  documents.openOrReveal.mockReset();
});

afterEach(() => {
  act(() => widget.dispose());
  model.dispose();
});

async function open(
  more: { path?: string | null; update?: string | null } = { path: 'words' }
): Promise<void> {
  model = new ServicesModel({ api: fake.api, isVisible: () => true, stream: { delay: () => 5 } });
  const commands = new CommandRegistry();
  commands.addCommand(CommandIDs.open, {
    execute: args => opened.push(args),
    describedBy: { args: { type: 'object', properties: { key: { type: 'string' } } } }
  });
  widget = createDeploy({
    path: null,
    update: null,
    ...more,
    model,
    translator: nullTranslator,
    commands,
    shell: {} as any,
    documents: { ...documents, services: { contents } } as any,
    editors,
    notebooks: null
  });
  await act(async () => {
    Widget.attach(widget, document.body);
    MessageLoop.flush();
  });
  await seen(() => model.offer !== null, 'the offer');
}

async function seen(look: () => boolean, what: string): Promise<void> {
  await waitFor(() => expect([what, look()]).toEqual([what, true]), { timeout: 4000 });
}

const has = (words: string) => (widget.node.textContent ?? '').includes(words);
const button = (name: string | RegExp) => screen.getByRole<HTMLButtonElement>('button', { name });
const type = (label: string | RegExp, value: string) =>
  fireEvent.change(screen.getByLabelText(label), { target: { value } });

it('is filled from the definition, makes the service and opens it', async () => {
  await open({ path: 'words' });
  await seen(() => has('/words'), 'the form');
  expect(screen.getByLabelText<HTMLInputElement>('Name').value).toBe('words');
  expect(screen.queryByLabelText('Image')).toBeNull();
  expect(screen.queryByLabelText('GPUs of each replica')).toBeNull();
  expect(screen.queryByLabelText(/^CPUs|^Memory/)).toBeNull();
  type('Replicas', '2');
  fireEvent.click(button('Add a Variable'));
  type('Name of variable 1', 'WORDS');
  type('Value of variable 1', 'many');
  fireEvent.click(screen.getByLabelText(/^Public/));
  fireEvent.click(button('Deploy'));
  await seen(() => opened.length > 0, 'the view');
  expect(fake.sent.find(([name]) => name === 'create')?.[1]).toEqual({
    folder: '/home/ann/words',
    name: 'words',
    replicas: 2,
    public: true,
    environment: { WORDS: 'many' }
  });
  expect(opened).toEqual([{ key: 'ann/words' }]);
});

it('says who forbids public services where they are', async () => {
  const api = fake.api;
  const offer = { ...OFFER, public: false, public_set_by: 'the administrator, for the group ds' };
  Object.defineProperty(fake, 'api', { get: () => ({ ...api, offer: async () => offer }) });
  await open({ path: 'words' });
  const sentence =
    'It will be private, and may not be made public: so says the administrator, for the group ds.';
  await seen(() => screen.queryByText(sentence) !== null, 'whose word it is');
  expect(screen.queryByLabelText(/^Public/)).toBeNull();
});

it('offers images and the GPUs that are free where replicas are containers', async () => {
  const offer = {
    ...OFFER,
    containers: true,
    memory: 2 ** 33,
    own_image: 'lab:1',
    gpus: { total: 4, free: 3 }
  };
  const api = fake.api;
  Object.defineProperty(fake, 'api', { get: () => ({ ...api, offer: async () => offer }) });
  await open({ path: 'words' });
  await seen(() => has('3 of 4 are held by no replica now.'), 'the GPUs');
  expect(screen.getByLabelText<HTMLInputElement>('Image').placeholder).toBe('lab:1');
  expect(has('At most 8 GiB.')).toBe(true);
  type('CPUs of each replica', '1.5');
  type('Memory of each replica, in GiB', '16');
  fireEvent.click(button('Deploy'));
  expect(has('A number of GiB above 0, up to 8.')).toBe(true);
  type('Memory of each replica, in GiB', '0.5');
  fireEvent.click(button('Deploy'));
  await seen(() => opened.length > 0, 'the view');
  const made = fake.sent.find(([name]) => name === 'create')?.[1];
  expect(made).toMatchObject({ cpus: 1.5, memory: 2 ** 29 });
});

it('tells whoever has as many services as she may have', async () => {
  const api = fake.api;
  Object.defineProperty(fake, 'api', {
    get: () => ({ ...api, offer: async () => ({ ...OFFER, services_left: 0 }) })
  });
  await open({ path: 'words' });
  await seen(() => has('You have as many services as you may have: delete one before.'), 'the limit');
});

it('tells what is wrong with the definition before anything starts, opens its line, and looks again', async () => {
  fake.folders.words = folder({ problems: [PROBLEM], definition: null });
  await open({ path: 'RTC:words' });
  await seen(() => has('is 70000'), 'the problem');
  expect(button('Deploy').disabled).toBe(true);
  fireEvent.submit(screen.getByRole('form')); // as the key Enter may
  expect(fake.sent.some(([name]) => name === 'create')).toBe(false);
  fireEvent.click(button('Open model-definition.yaml, line 5'));
  expect(documents.openOrReveal.mock.calls[0][0]).toBe('words/model-definition.yaml');

  type('Replicas', '3');
  fake.folders.words = folder();
  act(
    () =>
      void contents.fileChanged.emit({ type: 'save', newValue: { path: 'RTC:other/model-definition.yaml' } })
  );
  act(
    () =>
      void contents.fileChanged.emit({ type: 'save', newValue: { path: 'RTC:words/model-definition.yaml' } })
  );
  await seen(() => !has('is 70000'), 'that it is mended');
  expect(fake.sent.filter(([name, path]) => name === 'folder' && path === 'words').length).toBe(2);
  expect(screen.getByLabelText<HTMLInputElement>('Replicas').value).toBe('3');
  expect(button('Deploy').disabled).toBe(false);
});

it('says that nothing tells the port, unless a variable does', async () => {
  const port = { ...PROBLEM, message: 'Nothing says which port.', where: 'models[0].service.start_command' };
  fake.folders.words = folder({ port_problem: port });
  await open({ path: 'words' });
  await seen(() => has('Nothing says which port.'), 'the problem');
  expect(button('Deploy').disabled).toBe(true);
  fireEvent.click(button('Add a Variable'));
  type('Name of variable 1', 'PORT');
  type('Value of variable 1', '{port}');
  expect(has('Nothing says which port.')).toBe(false);
  expect(button('Deploy').disabled).toBe(false);
});

it('follows what is typed in the editor, and deploys nothing that is not what is seen', async () => {
  const model = { dirty: false, toString: () => 'models: typed' } as any;
  model.contentChanged = new Signal<object, void>(model);
  model.stateChanged = new Signal<object, void>(model);
  const save = jest.fn(async () => {
    model.dirty = false;
    model.stateChanged.emit();
  });
  const editor = {
    context: { path: 'words/model-definition.yaml', model, save, ready: Promise.resolve() },
    content: { editor: {} },
    disposed: new Signal<object, void>({})
  };
  editors = { widgetAdded: new Signal<object, any>({}), forEach: (look: any) => look(editor) };
  await open({ path: 'words' });
  await seen(() => has('/words'), 'the form');
  fake.answers.check = () => ({ problems: [PROBLEM], port_problem: null });
  model.dirty = true;
  act(() => void model.contentChanged.emit());
  expect(has('unsaved changes of model-definition.yaml: save them to deploy them')).toBe(true);
  expect(button('Deploy').disabled).toBe(true);
  expect(button('Dry Run').disabled).toBe(true);
  await seen(() => has('is 70000'), 'the problem of the text');
  expect(fake.sent).toContainEqual(['check', { path: 'words', text: 'models: typed' }]);
  fireEvent.click(button('Save'));
  await seen(() => !has('unsaved') && !has('is 70000'), 'what is saved');
  expect(save).toHaveBeenCalledTimes(1);
  expect(button('Deploy').disabled).toBe(false);
});

it.each([
  ['divides the page where the form is all of it', 0, 'split-right'],
  ['opens a file as a tab beside an editor that is there', 2, 'tab-after']
])('%s', async (_, others, mode) => {
  fake.folders.words = folder({ problems: [PROBLEM] });
  await open({ path: 'words' });
  const dock = new DockPanel();
  const form = new Widget();
  form.id = 'form';
  const [left, right] = ['left', 'right'].map(id => Object.assign(new Widget(), { id }));
  editors = { has: (each: Widget) => each === right, currentWidget: null };
  dock.addWidget(form);
  if (others > 0) {
    dock.addWidget(left, { mode: 'split-left', ref: form });
    dock.addWidget(right, { mode: 'split-right', ref: form });
  }
  await openAt({ documents, editors } as any, 'words/serve.py', null, form);
  expect(documents.openOrReveal.mock.calls[0][3]).toEqual({ mode, ref: others > 0 ? 'right' : 'form' });
  dock.dispose();
});

it('sends nothing while a field is wrong', async () => {
  await open({ path: 'words' });
  await seen(() => has('/words'), 'the form');
  type('Name', 'No Name');
  fireEvent.click(button('Deploy'));
  expect(screen.getByLabelText('Name').getAttribute('aria-invalid')).toBe('true');
  expect(fake.sent.some(([name]) => name === 'create')).toBe(false);
});

it('says what is under way, and what the server refuses', async () => {
  let refuse: () => void = () => undefined;
  fake.answers.create = () =>
    new Promise(
      (_, reject) => (refuse = () => reject(new ApiError('There is a service words.', 409, 'conflict')))
    );
  await open({ path: 'words' });
  await seen(() => has('/words'), 'the form');
  fireEvent.click(button('Deploy'));
  await seen(() => has('Making the service …'), 'what is under way');
  expect(button('Deploy').disabled).toBe(true);
  act(() =>
    fake.events.say({
      kind: 'copying',
      copy: { service: 'ann/words', bytes: 1024, of_bytes: 4096, over: false } as any
    })
  );
  await seen(() => has('Copying the folder: 1 KiB of 4 KiB (25 %)'), 'the copy');
  act(() => refuse());
  await seen(() => has('There is a service words.'), 'the refusal');
  expect(button('Deploy').disabled).toBe(false);
  expect(opened).toEqual([]);
});

it('asks for the folder where none is given', async () => {
  fake.answers.folder = path => {
    if (path !== 'words') {
      throw new ApiError(`There is no folder ${path} in Jupyter's files.`, 404, 'not_found');
    }
    return folder();
  };
  await open({});
  type('Model folder', '/nowhere/');
  fireEvent.click(button('Next'));
  await seen(() => has('There is no folder nowhere'), 'the refusal');
  type('Model folder', '/words/');
  button('Next').focus();
  fireEvent.click(button('Next'));
  await seen(() => screen.queryByLabelText('Name') !== null, 'the form');
  expect(document.activeElement).toBe(screen.getByRole('heading', { name: 'New model service' }));
});

it('makes the next revision of a service', async () => {
  const revision = {
    number: 1,
    created_at: 1,
    folder: '/elsewhere/words',
    definition: {},
    environment: ['KEY'],
    files: {},
    image: null,
    model_name: 'words',
    mounts: [],
    resources: {}
  } as any;
  fake.services = [service('words', { revisions: [revision] })];
  fake.answers.site = () => ({ version: '1', mode: 'embedded', user: 'ann', root: '/home/ann', kinds: [] });
  await open({ update: 'ann/words' });
  await seen(() => has('/elsewhere/words'), 'the form');
  expect(screen.queryByLabelText('Name')).toBeNull();
  fireEvent.click(screen.getByLabelText('Set other variables instead of KEY'));
  fireEvent.click(button('Update'));
  await seen(() => opened.length > 0, 'the view');
  expect(fake.sent.find(([name]) => name === 'update')?.[1]).toEqual(['ann/words', { environment: {} }]);
});

it('writes a definition where there is none, opens it beside the form, and goes on', async () => {
  const kind = { name: 'command', title: 'A command', help: '', fields: [], writes: [] };
  fake.answers.site = () => ({ version: '1', mode: 'embedded', user: 'ann', root: '/', kinds: [kind] });
  fake.folders.words = folder({ definition_file: null, definition: null });
  const files = [{ name: 'model-definition.yaml', text: 'models:', exists: false, notes: [] }];
  fake.answers.draft = ({ write }) => {
    if (write) {
      fake.folders.words = folder();
    }
    return { files, written: write ? ['requirements.txt', 'model-definition.yaml', 'serve.py'] : [] };
  };
  await open({ path: 'words' });
  await seen(() => has('A command') && has('models:'), 'the draft');
  fireEvent.click(button('Write the Files'));
  await seen(() => screen.queryByLabelText('Name') !== null, 'the form');
  await seen(() => documents.openOrReveal.mock.calls.length === 2, 'the files');
  expect(documents.openOrReveal.mock.calls.map(([path]) => path)).toEqual([
    'words/serve.py',
    'words/model-definition.yaml'
  ]);
});

it('runs the server beside the notebook, tells how it goes, and ends it with the form', async () => {
  let stopped = 0;
  fake.answers.startDryRun = () => 'a1';
  fake.answers.stopDryRun = () => (stopped += 1);
  const api = fake.api;
  const told = async (name: 'startDryRun' | 'stopDryRun', given: unknown) => {
    fake.sent.push([name, given]);
    return fake.answers[name]!(given) as any;
  };
  async function* dryRun(_: string, signal: AbortSignal) {
    yield { kind: 'phase', phase: { phase: 'loading', sentence: 'Waiting until it is well.', at: 1 } } as any;
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
  }
  Object.defineProperty(fake, 'api', {
    get: () => ({
      ...api,
      dryRun,
      startDryRun: (body: unknown) => told('startDryRun', body),
      stopDryRun: (id: string) => told('stopDryRun', id)
    })
  });
  await open({ path: 'words' });
  await seen(() => has('/words'), 'the form');
  fireEvent.click(button('Dry Run'));
  await seen(() => has('Under way: Waiting until it is well.'), 'how it goes');
  expect(fake.sent).toContainEqual(['startDryRun', { path: 'words', request: null }]);
  act(() => widget.dispose());
  expect(stopped).toBe(1);
});

it('has nothing kept current while it is hidden', async () => {
  await open({ path: 'words' });
  expect(model.active).toBe(true);
  act(() => widget.hide());
  expect(model.active).toBe(false);
  act(() => widget.show());
  expect(model.active).toBe(true);
});

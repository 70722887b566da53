import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';

import { ApiError } from '../api';
import { addCommands } from '../commands';
import { ServicesModel } from '../model/services';
import { CommandIDs, PANEL_ID } from '../parts';
import { eventually, FakeApi, service } from './fakes';

let fake: FakeApi;
let model: ServicesModel;
let commands: CommandRegistry;
let opened: string[];
let update: jest.Mock;

beforeEach(async () => {
  fake = new FakeApi();
  fake.services = [service('words'), service('off', { state: 'stopped' })];
  const api = fake.api as any;
  update = api.update = jest.fn(async () => service('words', { public: true }));
  model = new ServicesModel({ api, isVisible: () => true, stream: { delay: () => 5 } });
  model.watch();
  await eventually(() => model.status === 'ready' && model.offer !== null, 'the list');
  commands = new CommandRegistry();
  opened = [];
  addCommands({
    app: {
      commands,
      shell: { activateById: (id: string) => opened.push(id) },
      contextMenuHitTest: () => ({ dataset: { key: 'ann/off' } })
    } as any,
    model,
    opener: {
      current: null,
      view: (key: string, tab?: string) => opened.push(`view ${key} ${tab}`),
      console: (key: string) => opened.push(`console ${key}`),
      deploy: (path: string | null, key: string | null) => opened.push(`deploy ${path} ${key}`)
    } as any,
    trans: nullTranslator.load('jupyter_model_service'),
    browsers: null
  });
});

afterEach(() => {
  model.dispose();
  Notification.dismiss();
});

const key = 'ann/words';
const asked = (name: string) => fake.calls.filter(each => each.split(' ')[0] === name);

/** Runs a command and presses a button of the question that it asks. */
async function answered(command: string, button: string, args: object = { key }): Promise<string> {
  const done = commands.execute(command, args as any);
  const buttons = () => [...document.querySelectorAll<HTMLElement>('.jp-Dialog button')];
  await eventually(() => buttons().some(each => each.textContent === button), 'the question');
  const question = document.querySelector('.jp-Dialog')!.textContent ?? '';
  buttons()
    .find(each => each.textContent === button)!
    .click();
  await done;
  return question;
}

it('deletes only what somebody says to delete', async () => {
  expect(await answered(CommandIDs.remove, 'Cancel')).toContain('The model folder stays as it is');
  expect(asked('remove')).toEqual([]);
  await answered(CommandIDs.remove, 'Delete');
  expect(asked('remove')).toEqual(['remove ann/words']);
});

it('makes public only what somebody says to, who was told what that means', async () => {
  expect(await answered(CommandIDs.setVisibility, 'Cancel')).toContain('without a token');
  expect(update).not.toHaveBeenCalled();
  await answered(CommandIDs.setVisibility, 'Make Public');
  expect(update).toHaveBeenCalledWith(key, { visibility: 'public' });
  await answered(CommandIDs.setVisibility, 'Make Private', { key, visibility: 'private' });
  expect(update).toHaveBeenLastCalledWith(key, { visibility: 'private' });
  const question = await answered(CommandIDs.setVisibility, 'Keep It Shared', { key, visibility: 'shared' });
  expect(question).toContain('All others need one of its tokens');
  expect(update).toHaveBeenLastCalledWith(key, { visibility: 'shared' });
});

it('scales within what is possible', async () => {
  await commands.execute(CommandIDs.scale, { key, by: 9 });
  await commands.execute(CommandIDs.scale, { key, by: 1 });
  await commands.execute(CommandIDs.scale, { key, by: -9 });
  expect(asked('scale')).toEqual(['scale ann/words 3', 'scale ann/words 3', 'scale ann/words 0']);
});

it('tells of a refusal in one sentence, and leaves nothing to its caller', async () => {
  fake.refusals = { scaled: new ApiError('There is no room.', 409, 'conflict') };
  await commands.execute(CommandIDs.scale, { key, by: 1 });
  expect(Notification.manager.notifications.map(each => each.message)).toEqual(['There is no room.']);
});

it('offers what fits the state, to the service that is named or under the mouse', () => {
  expect(commands.isEnabled(CommandIDs.start, { key })).toBe(false);
  expect(commands.isEnabled(CommandIDs.stop, { key })).toBe(true);
  expect(commands.isVisible(CommandIDs.start, { context: true })).toBe(true);
  expect(commands.isVisible(CommandIDs.stop, { context: true })).toBe(false);
  expect(commands.isEnabled(CommandIDs.stop)).toBe(false); // none is named, and none is open
});

it('opens views, consoles and forms', async () => {
  await commands.execute(CommandIDs.open, { key, tab: 'logs' });
  await commands.execute(CommandIDs.tryIt, { context: true });
  await commands.execute(CommandIDs.update, { key });
  await commands.execute(CommandIDs.deploy, { cwd: 'a/b' });
  await commands.execute(CommandIDs.deploy, { key });
  await commands.execute(CommandIDs.open);
  expect(opened).toEqual([
    'view ann/words logs',
    'console ann/off',
    'deploy null ann/words',
    'deploy a/b null',
    'deploy null ann/words'
  ]);
});

it('shows the panel, and again when the palette has handed the focus to the main area', async () => {
  const done = commands.execute(CommandIDs.showPanel);
  expect(opened).toEqual([PANEL_ID]);
  opened.push('main area');
  await done;
  expect(opened).toEqual([PANEL_ID, 'main area', PANEL_ID]);
});

it('offers only what the role allows', async () => {
  const enabled = (id: string) => commands.isEnabled(id, { key });
  const verbs = ['restart', 'stop', 'scale', 'update', 'setVisibility', 'remove', 'copyEndpoint'] as const;
  const offered = async (role: 'viewer' | 'operator' | 'owner') => {
    fake.services = [service('words', { role })];
    await model.refresh();
    return verbs.filter(each => enabled(CommandIDs[each])).join(' ');
  };
  expect(await offered('viewer')).toBe('copyEndpoint');
  expect(await offered('operator')).toBe('restart stop scale copyEndpoint');
  expect(await offered('owner')).toBe(verbs.join(' '));
});

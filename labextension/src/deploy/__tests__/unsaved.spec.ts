import { Signal } from '@lumino/signaling';

import { Unsaved } from '../unsaved';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function editor(path: string) {
  const model = { dirty: false, text: '', toString: () => model.text } as any;
  model.contentChanged = new Signal<object, void>(model);
  model.stateChanged = new Signal<object, void>(model);
  const context: any = { path, model, save: jest.fn(async () => change(widget, model.text, false)) };
  const widget = { context, isDisposed: false, disposed: new Signal<object, void>({}) };
  return widget;
}

function change({ context: { model } }: any, text: string, dirty = true): void {
  model.text = text;
  model.dirty = dirty;
  model.contentChanged.emit();
  model.stateChanged.emit();
}

it('tells of unsaved files of its folder at once, and of the text a moment after it was typed', async () => {
  const open = [editor('RTC:words/model-definition.yaml'), editor('RTC:other/model-definition.yaml')];
  const widgetAdded = new Signal<object, any>({});
  const tracker = { widgetAdded, forEach: (look: (each: any) => void) => open.forEach(look) } as any;
  const unsaved = new Unsaved(tracker, path => path.replace(/^RTC:/, ''));
  unsaved.folder = 'words';
  const texts: Array<string | null> = [];
  unsaved.edited.connect((_, text) => void texts.push(text));
  let told = 0;
  unsaved.changed.connect(() => void (told += 1));

  change(open[1], 'of another folder');
  expect(unsaved.names).toEqual([]);
  const later = editor('RTC:words/serve.py');
  open.push(later);
  widgetAdded.emit(later);
  change(later, 'print()');
  for (const text of ['m', 'mo', 'models:']) {
    told = 0;
    change(open[0], text);
    expect(told).toBeGreaterThan(0);
    jest.advanceTimersByTime(499);
  }
  expect(unsaved.names).toEqual(['model-definition.yaml', 'serve.py']);
  expect(texts).toEqual([]);
  jest.advanceTimersByTime(1);
  expect(texts).toEqual(['models:']);

  await unsaved.save();
  expect([open[1].context.save, later.context.save].map(each => each.mock.calls.length)).toEqual([0, 1]);
  jest.advanceTimersByTime(500);
  expect(unsaved.names).toEqual([]);
  expect(texts).toEqual(['models:', null]);

  change(open[0], 'again');
  unsaved.dispose();
  change(open[0], 'and again');
  jest.advanceTimersByTime(1000);
  expect(texts).toHaveLength(2);
});

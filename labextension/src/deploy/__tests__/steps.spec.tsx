import { nullTranslator } from '@jupyterlab/translation';
import { act, fireEvent, render, screen, waitFor } from '@testing-library/react';
import React from 'react';

import { ApiError, Draft, Kind } from '../../api';
import { Tryout, TryoutProps } from '../tryout';
import { Wizard, WizardProps } from '../wizard';

const trans = nullTranslator.load('');
const none = () => undefined;

const field = (name: string, more: object = {}) => ({
  ...{ name, label: name, help: `Help of ${name}.`, type: 'text' as const, default: '', required: false },
  ...{ choices: [], ...more }
});
const KINDS: Kind[] = [
  { name: 'command', title: 'A command', help: 'Any server.', fields: [field('command')], writes: [] },
  {
    name: 'fastapi',
    title: 'FastAPI application',
    help: 'An application.',
    fields: [
      field('app', { default: 'app:app' }),
      field('dtype', { type: 'choice', choices: ['a', 'b'], default: 'a' })
    ],
    writes: []
  }
];
const DRAFT: Draft = {
  files: [
    {
      name: 'model-definition.yaml',
      text: 'models:\n  - name: words\n',
      exists: false,
      notes: [{ line: 2, text: 'What it is called.' }]
    },
    { name: 'serve.py', text: 'print()', exists: true, notes: [] }
  ],
  written: []
};

describe('the wizard', () => {
  let asked: unknown[][];
  let props: WizardProps;

  beforeEach(() => {
    asked = [];
    props = {
      folder: '/words',
      kinds: KINDS,
      guesses: [{ kind: 'fastapi', reason: 'server.py makes a FastAPI().', fields: { app: 'server:app' } }],
      trans,
      onDraft: async (...given) => {
        asked.push(given);
        return given[2] ? { ...DRAFT, written: ['model-definition.yaml'] } : DRAFT;
      },
      onWritten: none,
      onOther: none
    };
  });

  it('begins with what fits the folder, with the reason, and shows what would be written', async () => {
    render(<Wizard {...props} />);
    const kinds = screen.getAllByRole<HTMLInputElement>('radio');
    expect(kinds.map(each => [each.parentElement?.textContent, each.checked])).toEqual([
      ['FastAPI application server.py makes a FastAPI().', true],
      ['A command Any server.', false]
    ]);
    expect(screen.getByLabelText<HTMLInputElement>('app').value).toBe('server:app');
    const file = await screen.findByRole('region', { name: 'model-definition.yaml' });
    expect(file.textContent).toContain('- name: wordsWhat it is called.');
    expect(screen.getByRole('region', { name: 'serve.py' }).textContent).toContain('stays as it is');
    expect(asked).toEqual([['fastapi', { app: 'server:app', dtype: 'a' }, false]]);
  });

  it('drafts again with what is typed, once, and writes just that', async () => {
    const onWritten = jest.fn();
    render(<Wizard {...props} onWritten={onWritten} />);
    fireEvent.change(screen.getByLabelText('app'), { target: { value: 'other' } });
    fireEvent.change(screen.getByLabelText('app'), { target: { value: 'other:app' } });
    fireEvent.change(screen.getByLabelText('dtype'), { target: { value: 'b' } });
    await screen.findByRole('region', { name: 'model-definition.yaml' });
    fireEvent.click(screen.getByRole('button', { name: 'Write the Files' }));
    await waitFor(() => expect(onWritten).toHaveBeenCalled());
    const fields = { app: 'other:app', dtype: 'b' };
    expect(asked).toEqual([
      ['fastapi', fields, false],
      ['fastapi', fields, true]
    ]);
    expect(onWritten.mock.calls[0][0].written).toEqual(['model-definition.yaml']);
  });

  it('says what is wrong with the fields, and writes nothing then', async () => {
    const onDraft = async () => {
      throw new ApiError('command is missing.', 400, 'invalid_request');
    };
    render(<Wizard {...props} onDraft={onDraft} />);
    fireEvent.click(screen.getAllByRole('radio')[1]);
    expect((await screen.findByRole('alert')).textContent).toBe('command is missing.');
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Write the Files' }).disabled).toBe(true);
  });
});

describe('the dry run', () => {
  const props: TryoutProps = {
    samples: [],
    phases: [],
    sentence: '',
    log: [],
    answer: null,
    outcome: null,
    blocked: false,
    trans,
    onStart: none,
    onStop: none
  };
  const SAMPLES = [
    { name: 'one', path: '/1' },
    { name: 'two', path: '/2' }
  ];

  it('sends the sample that is chosen', () => {
    const onStart = jest.fn();
    render(<Tryout {...props} samples={SAMPLES} onStart={onStart} />);
    fireEvent.click(screen.getByRole('button', { name: 'Dry Run' }));
    fireEvent.change(screen.getByLabelText('It is sent'), { target: { value: 'two' } });
    fireEvent.click(screen.getByRole('button', { name: 'Dry Run' }));
    expect(onStart.mock.calls).toEqual([[SAMPLES[0]], [SAMPLES[1]]]);
  });

  it('does not begin with a definition that cannot be served', () => {
    render(<Tryout {...props} blocked />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Dry Run' }).disabled).toBe(true);
  });

  it('tells what is done and what the server prints, and can be stopped', () => {
    const onStop = jest.fn();
    const phases = [{ phase: 'loading' as const, sentence: 'Waiting until it is well.', at: 0.5 }];
    render(
      <Tryout
        {...props}
        {...{ phases, onStop, outcome: 'running', sentence: 'Waiting.', log: ['listening'] }}
      />
    );
    expect(screen.getByText('Under way: Waiting.')).toBeTruthy();
    expect(screen.getByRole('list', { name: 'What was done' }).textContent).toContain(
      'Waiting until it is well. 500 ms'
    );
    expect(screen.getByRole('log').textContent).toBe('listening');
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Run Again' }).disabled).toBe(true);
    act(() => screen.getByRole('button', { name: 'Stop' }).click());
    expect(onStop).toHaveBeenCalled();
  });

  it('shows what came of it', () => {
    const answer = {
      ...{ request: SAMPLES[0], status: 500, problem: null, headers: {}, body: 'boom', truncated: true },
      ...{ first_byte: 0.02, seconds: 1 }
    };
    render(<Tryout {...props} outcome="failed" sentence="It answered 500." answer={answer} />);
    expect(screen.getByRole('alert').textContent).toBe('Failed: It answered 500.');
    expect(screen.getByRole('region', { name: 'Its answer' }).textContent).toBe(
      'GET /1 500 first byte after 20 ms boom …'
    );
  });
});

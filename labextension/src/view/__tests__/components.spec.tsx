import { nullTranslator } from '@jupyterlab/translation';
import { act, fireEvent, render, screen, within } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import type { Decision, Replica } from '../../types';
import { Decisions, Events } from '../happened';
import { Header, HeaderProps } from '../header';
import { Logs, LogsProps } from '../logs';
import { Replicas } from '../replicas';
import { Definition, Revisions } from '../revisions';
import { Scaling, ScalingProps } from '../scaling';
import { Share, curl } from '../share';
import { Tabs } from '../tabs';
import { Tokens, TokensProps } from '../tokens';
import { POLICY } from './samples';

const trans = nullTranslator.load('');
const none = () => undefined;
const nothing = async () => undefined;

function replica(id: string, more: Partial<Replica> = {}): Replica {
  return {
    id,
    revision: 1,
    phase: 'ready',
    since: 940,
    reason: null,
    pid: 1,
    address: null,
    action: null,
    in_flight: 0,
    suspect: false,
    exit: null,
    gpus: null,
    rss: null,
    created_at: 880,
    ...more
  };
}

async function click(name: string | RegExp): Promise<void> {
  await act(async () => {
    fireEvent.click(screen.getByRole('button', { name }));
  });
}

function write(label: string | RegExp, value: string): void {
  fireEvent.change(screen.getByLabelText(label), { target: { value } });
}

describe('the header', () => {
  const props: HeaderProps = {
    service: service('words', { replicas: { want: 2, ready: 1, total: 2 } }),
    wanted: 3,
    most: 4,
    pending: null,
    copy: null,
    trans,
    onScale: none,
    onStart: none,
    onStop: none,
    onRestart: none,
    onUpdate: none,
    onDelete: none,
    onCopy: none
  };

  it('counts what was asked for just now, and scales', () => {
    const onScale = jest.fn();
    render(<Header {...props} onScale={onScale} />);
    expect(screen.getByText('1 of 3 ready')).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'One replica more of ann/words' }));
    fireEvent.click(screen.getByRole('button', { name: 'One replica fewer of ann/words' }));
    expect(onScale.mock.calls).toEqual([[1], [-1]]);
  });

  it('goes neither below zero nor above what may be asked for', () => {
    const { rerender } = render(<Header {...props} wanted={4} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: /One replica more/ }).disabled).toBe(true);
    rerender(<Header {...props} wanted={0} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: /One replica fewer/ }).disabled).toBe(true);
  });

  it('tells the reason of a state to who listens, and what is being done instead while it is', () => {
    const bad = service('words', { state: 'degraded', reason: 'One replica has died.' });
    const { rerender } = render(<Header {...props} service={bad} />);
    expect(screen.getByText('Degraded')).toBeTruthy();
    expect(screen.getAllByRole('status')[0].textContent).toBe('One replica has died.');
    rerender(<Header {...props} service={bad} pending="Restarting" />);
    expect(screen.getAllByRole('status')[0].textContent).toBe('Restarting …');
  });

  it('offers to start what is stopped, and not to stop it', () => {
    render(<Header {...props} service={service('words', { state: 'stopped', public: true })} />);
    expect(screen.getByRole('button', { name: 'Start' })).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Stop' })).toBeNull();
    expect(screen.getByText('public')).toBeTruthy();
  });

  it('says that the endpoint is copied', () => {
    const onCopy = jest.fn();
    render(<Header {...props} onCopy={onCopy} />);
    fireEvent.click(screen.getByRole('button', { name: 'Copy the endpoint' }));
    expect(onCopy).toHaveBeenCalledWith('http://127.0.0.1:1/endpoints/ann/words/');
    expect(screen.getByRole('button', { name: 'Copied' })).toBeTruthy();
  });
});

describe('the tabs', () => {
  const tabs = [
    { id: 'overview', text: 'Overview' },
    { id: 'logs', text: 'Logs' },
    { id: 'events', text: 'Events' }
  ] as const;

  it('are gone through with the arrows, around the ends; only the shown one is in the order of Tab', () => {
    const onTab = jest.fn();
    render(<Tabs label="x" prefix="p" tabs={tabs} shown="overview" onTab={onTab} />);
    expect(screen.getAllByRole('tab').map(each => each.tabIndex)).toEqual([0, -1, -1]);
    const list = screen.getByRole('tablist');
    for (const key of ['ArrowRight', 'ArrowLeft', 'End', 'Home']) {
      fireEvent.keyDown(list, { key });
    }
    expect(onTab.mock.calls).toEqual([['logs'], ['events'], ['events'], ['overview']]);
    expect(document.activeElement?.textContent).toBe('Overview');
  });
});

describe('the replicas', () => {
  it('are told with their phase, age, reason and what they have of GPUs', () => {
    const busy = replica('r-2', {
      phase: 'preparing',
      action: { index: 2, count: 3, label: 'pip install' },
      gpus: [{ uuid: 'g', utilization: 87, memory_used: 1024 ** 3, memory_total: 4 * 1024 ** 3 }]
    });
    const gone = replica('r-3', { phase: 'gone', reason: 'It exited with code 1.' });
    const onLog = jest.fn();
    render(
      <Replicas
        service={service('words', {
          state: 'degraded',
          replica_list: [replica('r-1'), busy, gone],
          restarts: 2
        })}
        now={1000}
        trans={trans}
        onLog={onLog}
      />
    );
    const rows = screen.getAllByRole('row').slice(1);
    expect(rows[0].textContent).toContain('Ready1 min2 min1');
    expect(rows[1].textContent).toContain('pip install (2 of 3)');
    expect(rows[1].textContent).toContain('87 %, 1 GiB of 4 GiB');
    expect(rows[2].textContent).toContain('It exited with code 1.');
    expect(screen.getByText('replaced 2 times')).toBeTruthy();
    fireEvent.click(within(rows[2]).getByRole('button', { name: 'Log of r-3' }));
    expect(onLog).toHaveBeenCalledWith('r-3');
  });

  it('have no column for GPUs where there are none', () => {
    render(
      <Replicas
        service={service('words', { replica_list: [replica('r-1')] })}
        now={1000}
        trans={trans}
        onLog={none}
      />
    );
    expect(screen.queryByRole('columnheader', { name: 'GPU' })).toBeNull();
  });

  it('of an idle service are missed with a reason', () => {
    render(<Replicas service={service('words', { state: 'idle' })} now={1} trans={trans} onLog={none} />);
    expect(screen.getByRole('status').textContent).toContain('The next call starts one.');
  });
});

describe('what happened', () => {
  it('is listed the newest first, and found by words', () => {
    const event = (id: number, kind: string, message: string) => ({
      id,
      at: id,
      service: 'ann/words',
      kind,
      message,
      replica: null,
      details: {}
    });
    render(
      <Events
        events={[event(1, 'service_created', 'made'), event(2, 'replica_failed', 'it died')]}
        trans={trans}
        onLog={none}
      />
    );
    expect(screen.getAllByRole('row')[1].textContent).toContain('replica failedit died');
    write('Find in the events', 'CREATED');
    expect(screen.getAllByRole('row')).toHaveLength(2);
    expect(screen.getByRole('status').textContent).toBe('1 event');
  });

  it('tells why it scaled, with what was measured and wanted; the newest is open', () => {
    const decision = (since: number, more: Partial<Decision>): Decision => ({
      at: since,
      since,
      before: 1,
      count: 1,
      changed: false,
      reason: 'stays at 1',
      wishes: [],
      measured: {},
      bounds: null,
      bound: null,
      ...more
    });
    const newest = decision(20, {
      count: 3,
      changed: true,
      reason: 'up to 3',
      wishes: [{ source: 'target', count: 5, why: '28 calls at once' }],
      measured: { demand: 28, gpu_util: null },
      bounds: { min: 1, max: 3, why_min: 'min', why_max: 'max', changes_at: null },
      bound: 'max'
    });
    render(
      <Decisions
        service={service('words', { autoscaling: POLICY })}
        decisions={[decision(10, {}), newest]}
        trans={trans}
        onSetUp={none}
      />
    );
    const [first, second] = screen.getAllByRole('listitem');
    expect(first.textContent).toContain('1 → 3');
    expect(first.textContent).toContain('28 calls at once');
    expect(first.textContent).toContain('gpu utilunknown');
    expect(first.textContent).toContain('Allowed were 1 to 3; what cut it: max.');
    expect(second.querySelector('details')?.open).toBe(false);
  });

  it('of a service without autoscaling leads to where that is set up', () => {
    const onSetUp = jest.fn();
    render(<Decisions service={service('words')} decisions={[]} trans={trans} onSetUp={onSetUp} />);
    fireEvent.click(screen.getByRole('button', { name: 'Set Up Autoscaling' }));
    expect(onSetUp).toHaveBeenCalled();
  });
});

describe('the log', () => {
  const props: LogsProps = {
    log: {
      lines: ['started', 'Error: one', 'fine', '\x1b[31merror\x1b[0m: two'],
      lost: 12,
      replica: 'r-1',
      problem: null,
      following: true
    },
    replicas: [replica('r-1'), replica('r-2', { phase: 'loading', created_at: 990 })],
    trans,
    onReplica: none,
    onFollow: none,
    onCopy: none
  };

  it('marks and counts what is looked for, goes from place to place, and tells what is lost', () => {
    const { container } = render(<Logs {...props} />);
    expect(screen.getByText('12 earlier lines are not kept any more.')).toBeTruthy();
    write('Find in the log', 'error');
    expect([...container.querySelectorAll('mark')].map(each => each.textContent)).toEqual(['Error', 'error']);
    expect(screen.getByText('2 places')).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'Next' }));
    expect(container.querySelector('mark.jp-mod-current')?.textContent).toBe('error');
    write('Find in the log', 'nowhere');
    expect(screen.getByText('not found')).toBeTruthy();
  });

  it('is of the replica that is chosen, and followed or not', () => {
    const onReplica = jest.fn();
    const onFollow = jest.fn();
    render(<Logs {...props} onReplica={onReplica} onFollow={onFollow} />);
    write('Replica', 'r-2');
    expect(onReplica).toHaveBeenCalledWith('r-2');
    fireEvent.click(screen.getByLabelText('Follow'));
    expect(onFollow).toHaveBeenCalledWith(false);
  });

  it('says why it cannot be read', () => {
    render(<Logs {...props} log={{ ...props.log, lines: [], problem: 'There is no replica r-1.' }} />);
    expect(screen.getByRole('alert').textContent).toBe('There is no replica r-1.');
  });
});

describe('the editor of autoscaling', () => {
  const props: ScalingProps = {
    service: service('words', { autoscaling: POLICY }),
    now: 1000,
    trans,
    onSave: nothing,
    onEnd: async () => true,
    onResume: nothing,
    onAddRule: nothing,
    onRemoveRule: nothing,
    onAddSchedule: nothing,
    onRemoveSchedule: nothing
  };

  it('saves what was changed', async () => {
    const onSave = jest.fn(nothing);
    render(<Scaling {...props} onSave={onSave} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Save' }).disabled).toBe(true);
    write('Most', '8');
    await click('Save');
    expect(onSave).toHaveBeenCalledWith(expect.objectContaining({ min: 1, max: 8, down_delay: 90 }));
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Save' }).disabled).toBe(true);
  });

  it('tells at the field what is wrong, before it sends anything', async () => {
    const onSave = jest.fn(nothing);
    render(<Scaling {...props} onSave={onSave} />);
    write('Idle after', 'soon');
    await click('Save');
    const field = screen.getByLabelText('Idle after');
    expect(field.getAttribute('aria-invalid')).toBe('true');
    expect(screen.getByRole('alert').textContent).toBe('Write a time such as 90s, 15m or 2h.');
    expect(onSave).not.toHaveBeenCalled();
  });

  it('tells at the field what the server refuses, and keeps what was typed', async () => {
    const onSave = async () => {
      throw new Error('min is 9, above max, which is 4; lower it or raise max.');
    };
    render(<Scaling {...props} onSave={onSave} />);
    write('Least', '9');
    await click('Save');
    const field = screen.getByLabelText<HTMLInputElement>('Least');
    const told = field
      .getAttribute('aria-describedby')!
      .split(' ')
      .map(id => document.getElementById(id)!.textContent);
    expect(told).toContain('min is 9, above max, which is 4; lower it or raise max.');
    expect(field.value).toBe('9');
  });

  it('adds and removes rules and schedules', async () => {
    const onAddRule = jest.fn(nothing);
    const onRemoveRule = jest.fn(nothing);
    const onAddSchedule = jest.fn(nothing);
    render(<Scaling {...props} {...{ onAddRule, onRemoveRule, onAddSchedule }} />);
    await click('Remove rule r1');
    expect(onRemoveRule).toHaveBeenCalledWith('r1');
    await click('Add a Rule');
    write('Above', '75');
    await click('Add');
    expect(onAddRule).toHaveBeenCalledWith(expect.objectContaining({ metric: 'gpu_util', above: 75 }));
    await click('Add a Schedule');
    const form = within(screen.getByRole('form', { name: 'New schedule' }));
    fireEvent.change(form.getByLabelText('When'), { target: { value: 'Mon-Fri 08:00-19:00' } });
    fireEvent.change(form.getByLabelText('Least'), { target: { value: '2' } });
    await click('Add');
    expect(onAddSchedule).toHaveBeenCalledWith(
      expect.objectContaining({ when: 'Mon-Fri 08:00-19:00', min: 2 })
    );
  });

  it('says that the count is held, and resumes', async () => {
    const onResume = jest.fn(nothing);
    render(
      <Scaling
        {...props}
        service={service('words', { autoscaling: { ...POLICY, held: true } })}
        onResume={onResume}
      />
    );
    expect(screen.getByText(/Held at 1 replica, since it was scaled by hand/)).toBeTruthy();
    await click('Resume Autoscaling');
    expect(onResume).toHaveBeenCalled();
  });
});

describe('the tokens', () => {
  const props: TokensProps = {
    tokens: [{ id: 't1', name: 'ci', created_at: 1, expires_at: 30 * 86400, last_used_at: null }],
    fresh: null,
    isPublic: false,
    now: 1,
    trans,
    onMake: nothing,
    onForget: none,
    onRevoke: async () => true,
    onCopy: none
  };

  it('are made with a label and an expiry, and revoked', async () => {
    const onMake = jest.fn(nothing);
    const onRevoke = jest.fn(async () => true);
    render(<Tokens {...props} onMake={onMake} onRevoke={onRevoke} />);
    write('Label', ' laptop ');
    write('Expires', '7');
    await click('Make Token');
    expect(onMake).toHaveBeenCalledWith({ name: 'laptop', expires_in: 7 * 86400 });
    await click('Revoke ci');
    expect(onRevoke).toHaveBeenCalledWith(props.tokens![0]);
    expect(screen.getByText('in 30 d')).toBeTruthy();
  });

  it('are shown once: the new one until it is dismissed', async () => {
    const onForget = jest.fn();
    const fresh = { ...props.tokens![0], id: 't2', token: 'jms_secret' };
    const { rerender } = render(<Tokens {...props} fresh={fresh} onForget={onForget} />);
    expect(screen.getByText('jms_secret')).toBeTruthy();
    await click('Done');
    expect(onForget).toHaveBeenCalled();
    rerender(<Tokens {...props} />);
    expect(screen.queryByText('jms_secret')).toBeNull();
  });

  it('say why one was refused', async () => {
    const onMake = async () => {
      throw new Error('There are 100 tokens already; revoke one.');
    };
    render(<Tokens {...props} onMake={onMake} />);
    await click('Make Token');
    expect(screen.getByRole('alert').textContent).toBe('There are 100 tokens already; revoke one.');
  });
});

describe('sharing', () => {
  it('says what private means, and asks for the other', async () => {
    const onPublic = jest.fn();
    const props = { mayBePublic: true, trans, onPublic, onTokens: none, onCopy: none };
    const { rerender } = render(<Share {...props} service={service('words')} />);
    expect(screen.getByText('Private: whoever calls it needs one of its tokens.')).toBeTruthy();
    await click('Make Public…');
    expect(onPublic).toHaveBeenCalledWith(true);
    rerender(<Share {...props} mayBePublic={false} service={service('words')} />);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Make Public…' }).disabled).toBe(true);
  });

  it('has a line for the shell that asks what the model answers for sure, without a token in it', () => {
    const revision = { number: 1, definition: { health_check: { path: '/health' } } };
    const shared = service('words', { revisions: [revision] as any });
    expect(curl(shared)).toBe(
      `curl -H "Authorization: Bearer TOKEN" 'http://127.0.0.1:1/endpoints/ann/words/health'`
    );
    expect(curl({ ...shared, public: true })).toBe(`curl 'http://127.0.0.1:1/endpoints/ann/words/health'`);
  });
});

describe('the revisions', () => {
  const revision = (number: number, port: number): any => ({
    number,
    created_at: number,
    folder: '/m',
    model_name: 'm',
    image: null,
    environment: [],
    mounts: [],
    resources: { cpus: null, memory: null, gpus: 0 },
    files: {
      kind: 'live',
      source: 'live',
      files: 0,
      bytes: 0,
      linked: 0,
      path: null,
      why: null,
      fingerprint: null
    },
    definition: { name: 'm', port }
  });
  const two = service('words', {
    revision: 2,
    stable_revision: 1,
    revisions: [revision(1, 8000), revision(2, 8001)]
  });

  it('tell what serves, what differs, and go back', async () => {
    const onRollback = jest.fn(nothing);
    render(
      <Revisions service={two} trans={trans} onTakeUp={nothing} onUpdate={none} onRollback={onRollback} />
    );
    const rows = screen.getAllByRole('row').slice(1);
    expect(rows[0].textContent).toContain('2 active');
    expect(rows[1].textContent).toContain('serving');
    await click('What differs from revision 1');
    expect(screen.getByRole('rowheader', { name: 'definition.port' }).closest('tr')?.textContent).toBe(
      'definition.port80008001'
    );
    await click('Roll back to revision 1');
    expect(onRollback).toHaveBeenCalledWith(1);
  });

  it('say which files have changed, and take them up', async () => {
    const onTakeUp = jest.fn(nothing);
    render(
      <Revisions
        service={{ ...two, changed: ['serve.py'] }}
        trans={trans}
        onTakeUp={onTakeUp}
        onUpdate={none}
        onRollback={nothing}
      />
    );
    expect(screen.getByText('Changed in the folder since revision 2: serve.py')).toBeTruthy();
    await click('Take Up the Changes');
    expect(onTakeUp).toHaveBeenCalled();
  });

  it('have a definition to be read', () => {
    render(<Definition service={two} trans={trans} onCopy={none} />);
    expect(screen.getByLabelText('Definition').textContent).toBe('name: m\nport: 8001\n');
  });
});

import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import { service } from '../../__tests__/fakes';
import type { Decision, ServiceEvent } from '../../types';
import { Decisions, Events, Lately } from '../happened';
import { none, trans, write } from './hands';
import { POLICY } from './samples';

function event(id: number, kind: string, message: string, more: Partial<ServiceEvent> = {}): ServiceEvent {
  return { id, at: id, service: 'ann/words', kind, message, replica: null, details: {}, ...more };
}

describe('what happened', () => {
  it('is listed the newest first, and found by words', () => {
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

describe('what failed lately', () => {
  const failures = [1, 2, 3, 4].map(id =>
    event(id, 'replica.failed', `replica r-${id} was killed by SIGKILL`, { replica: `r-${id}`, at: 1e6 + id })
  );

  it('is told by the newest three failures, also of replicas that are in no list any more', () => {
    const onLog = jest.fn();
    const onEvents = jest.fn();
    const events = [...failures, event(5, 'replica.gone', 'replica r-4 is gone', { at: 1e6 + 5 })];
    render(<Lately events={events} now={1e6 + 60} trans={trans} onLog={onLog} onEvents={onEvents} />);
    const told = screen
      .getAllByRole('listitem')
      .map(each => /replica \S+ \w+ \w+/.exec(each.textContent!)![0]);
    expect(told).toEqual(['replica r-4 was killed', 'replica r-3 was killed', 'replica r-2 was killed']);
    fireEvent.click(screen.getByRole('button', { name: 'Log of r-4' }));
    expect(onLog).toHaveBeenCalledWith('r-4');
    fireEvent.click(screen.getByRole('button', { name: 'All Events' }));
    expect(onEvents).toHaveBeenCalled();
  });

  it('is not there where nothing failed, or not for a day', () => {
    const fine = [event(5, 'replica.ready', 'replica r-1 is ready', { at: 2e6 })];
    const { container } = render(
      <Lately events={[...failures, ...fine]} now={2e6} trans={trans} onLog={none} onEvents={none} />
    );
    expect(container.textContent).toBe('');
  });
});

it('tells of what happened nothing that would turn the text around or is not seen', () => {
  const events = [event(1, 'replica.failed', 'exit\u202e0\u2066 by \x1b[2J\x9bkill', { at: 5 })];
  const told = (page: JSX.Element) => {
    const { container, unmount } = render(page);
    const found = container.textContent;
    unmount();
    return found;
  };
  const seen = 'exit0 by kill';
  expect(told(<Events events={events} trans={trans} onLog={none} />)).toContain(seen);
  expect(told(<Lately events={events} now={9} trans={trans} onLog={none} onEvents={none} />)).toContain(seen);
});

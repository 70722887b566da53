import { act, fireEvent, render, screen, within } from '@testing-library/react';
import React from 'react';

import { replica, service } from '../../__tests__/fakes';
import { Replicas } from '../replicas';
import { none, trans } from './hands';

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

  it('have their reason in a row of their own where there is little room, and the log in sight', () => {
    let tell: (width: number) => void = none;
    (globalThis as any).ResizeObserver = class {
      constructor(told: (entries: unknown[]) => void) {
        tell = width => act(() => told([{ contentRect: { width } }]));
      }
      observe = none;
      disconnect = none;
    };
    const died = replica('r-1', { phase: 'unhealthy', reason: 'Its health check fails.', rss: 1024 ** 2 });
    const shown = service('words', { state: 'degraded', replica_list: [died] });
    render(<Replicas service={shown} now={1000} trans={trans} onLog={none} />);
    const rows = () => screen.getAllByRole('row').slice(1);
    tell(900);
    expect(rows()).toHaveLength(1);
    tell(500);
    const [first, second] = rows();
    expect(screen.getAllByRole('columnheader').map(each => each.textContent)).toEqual([
      'Replica',
      'Phase',
      'For',
      'In flight'
    ]);
    expect(within(first).getByRole('button', { name: 'Log of r-1' })).toBeTruthy();
    expect(second.textContent).toBe('Its health check fails.revision 1, age 2 min, 1 MiB of memory');
    tell(0); // hidden
    expect(rows()).toHaveLength(2);
    delete (globalThis as any).ResizeObserver;
  });

  it('of an idle service are missed with a reason', () => {
    render(<Replicas service={service('words', { state: 'idle' })} now={1} trans={trans} onLog={none} />);
    expect(screen.getByRole('status').textContent).toContain('The next call starts one.');
  });
});

import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import { replica } from '../../__tests__/fakes';
import { Logs, LogsProps } from '../logs';
import { click, none, trans, write } from './hands';

describe('the log', () => {
  const props: LogsProps = {
    log: {
      lines: ['started', 'Error: one', 'fine', '\x1b[31merror\x1b[0m: two'],
      lost: 12,
      replica: 'r-1',
      gone: false,
      problem: null,
      following: true,
      catchingUp: false
    },
    replicas: [replica('r-1'), replica('r-2', { phase: 'loading', created_at: 990 })],
    healthPath: '/health',
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
    // Where it is found first is shown while it is typed.
    expect(screen.getByText('1 of 2')).toBeTruthy();
    expect(container.querySelector('mark.jp-mod-current')?.textContent).toBe('Error');
    fireEvent.click(screen.getByRole('button', { name: 'Next' }));
    expect(screen.getByText('2 of 2')).toBeTruthy();
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

  it('leaves out what the health check writes, if one wants it so', () => {
    const check = '127.0.0.1:1 - "GET /health HTTP/1.1" 200';
    const lines = [check, 'GET /healthy', 'a call', check];
    const { rerender } = render(<Logs {...props} log={{ ...props.log, lines }} />);
    expect(screen.getByRole('log').textContent).toContain(check);
    fireEvent.click(screen.getByLabelText('Hide health checks'));
    expect(screen.getByRole('log').textContent).toBe('GET /healthy\na call\n');
    rerender(<Logs {...props} log={{ ...props.log, lines: [check] }} />);
    expect(screen.getByRole('log').textContent).toBe('Only health checks were written.');
    rerender(<Logs {...props} healthPath={null} />);
    expect(screen.queryByLabelText('Hide health checks')).toBeNull();
  });

  it('says that its replica is gone, keeps the last lines, and leads to the newest', async () => {
    const onReplica = jest.fn();
    render(<Logs {...props} log={{ ...props.log, replica: 'r-0', gone: true }} onReplica={onReplica} />);
    expect(screen.getByText('r-0 is gone. These are its last lines.')).toBeTruthy();
    expect(screen.getByRole('option', { name: 'r-0 (Gone)' })).toBeTruthy();
    expect(screen.getByRole('log').textContent).toContain('started');
    await click('Log of the Newest');
    expect(onReplica).toHaveBeenCalledWith(null);
  });

  it('says that it does not keep up with what is written', () => {
    const { rerender } = render(<Logs {...props} log={{ ...props.log, catchingUp: true }} />);
    expect(screen.getByText('Catching up …')).toBeTruthy();
    rerender(<Logs {...props} />);
    expect(screen.queryByText('Catching up …')).toBeNull();
  });

  it('says why it cannot be read', () => {
    render(<Logs {...props} log={{ ...props.log, lines: [], problem: 'There is no replica r-1.' }} />);
    expect(screen.getByRole('alert').textContent).toBe('There is no replica r-1.');
  });
});

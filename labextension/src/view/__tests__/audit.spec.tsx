import { fireEvent, render, screen } from '@testing-library/react';
import React from 'react';

import type { AuditEntry } from '../../types';
import { Audit, AuditProps, changed } from '../audit';
import { click, none, nothing, trans, write } from './hands';

const SCALED: AuditEntry = {
  id: 7,
  at: 1,
  who: 'ann',
  address: '10.0.0.7',
  action: 'scale_service',
  target: 'ann/words',
  status: 200,
  code: '',
  before: { replicas: 1 },
  after: { replicas: 3 },
  request_id: 'r',
  count: 1
};
const DENIED: AuditEntry = {
  ...SCALED,
  id: 8,
  who: '',
  action: 'delete_service',
  status: 404,
  code: 'not_found',
  before: null,
  after: null,
  count: 12
};
const PROPS: AuditProps = {
  entries: [SCALED, DENIED],
  more: false,
  problem: null,
  now: 1,
  trans,
  onLook: none,
  onOlder: nothing,
  onSave: nothing
};
const rows = () =>
  [...document.querySelectorAll('[data-entry]')].map(each => each.getAttribute('data-entry'));
const words = (id: number) => document.querySelector(`[data-entry="${id}"]`)!.textContent;

describe('who did what', () => {
  it('tells who from where did what, and what became of it, the newest first', () => {
    render(<Audit {...PROPS} />);
    expect(rows()).toEqual(['8', '7']);
    expect(words(7)).toContain('ann10.0.0.7scale servicedonereplicas: 1 → 3');
    expect(words(8)).toContain('nobody who is known');
    expect(words(8)).toContain('refused: 404 not_found, 12 times');
  });

  it('finds by who or what, and shows what was refused alone', () => {
    render(<Audit {...PROPS} />);
    write('Find who or what', 'SCALE');
    expect(rows()).toEqual(['7']);
    write('Find who or what', '');
    fireEvent.click(screen.getByLabelText('Only what was refused'));
    expect(rows()).toEqual(['8']);
    expect(screen.getByText('1 entry')).toBeTruthy();
  });

  it('saves all of it, and says why that did not work', async () => {
    const onSave = jest.fn(async (): Promise<void> => {
      throw new Error('The gateway does not answer.');
    });
    render(<Audit {...PROPS} onSave={onSave} />);
    await click('Save All…');
    expect(onSave).toHaveBeenCalledTimes(1);
    expect(screen.getByText('The gateway does not answer.')).toBeTruthy();
  });

  it('asks for older ones only where there are some', async () => {
    const onOlder = jest.fn(nothing);
    const { rerender } = render(<Audit {...PROPS} />);
    expect(screen.queryByText('Show older ones')).toBeNull();
    rerender(<Audit {...PROPS} more onOlder={onOlder} />);
    await click('Show older ones');
    expect(onOlder).toHaveBeenCalledTimes(1);
  });

  it('draws no control characters and no markup that somebody put into a name', () => {
    render(<Audit {...PROPS} entries={[{ ...SCALED, who: 'a\u202eb<img src=x onerror=alert(1)>' }]} />);
    expect(document.querySelector('[data-entry] img')).toBeNull();
    expect(words(7)).not.toContain('\u202e');
  });
});

describe('what changed', () => {
  const said = (before: AuditEntry['before'], after: AuditEntry['after']): string =>
    changed({ before, after }, 1_700_000_000, trans);

  it('is each key with what it was and is, and bounded', () => {
    expect(said({ a: 1, b: 'x' }, { a: 2, c: [1] })).toBe('a: 1 → 2, b: x → -, c: - → [1]');
    expect(said(null, null)).toBe('');
    expect(said({}, { name: 'demo', mounts: [], image: null })).toBe('name: demo');
    expect(said(null, { a: 'y'.repeat(1000) })).toHaveLength(300);
  });

  it('is in words, as the command line has them', () => {
    const rules = [{ methods: ['GET', 'HEAD'], path: '/a' }];
    expect(said(null, { tried: { role: 'operator', user: 'bob', public: true } })).toBe(
      'tried role: operator, tried user: bob, tried public: yes'
    );
    expect(said({ replicas: 1 }, { replicas: 2, tried: { replicas: 2 } })).toBe(
      'replicas: 1 → 2, tried replicas: 2'
    );
    expect(said({ tokens: { t1: { rules } } }, null)).toBe('tokens t1 rules: [methods [GET, HEAD] path /a]');
    expect(said({ limits: { in_flight: 2 } }, { limits: null })).toBe('limits in_flight: 2 → -');
  });

  it('has dates and durations instead of seconds', () => {
    expect(said({ expires_at: 1_798_059_028.57 }, { expires_at: null })).toMatch(
      /^expires_at: 2026-12-2\d \d\d:\d\d → -$/
    );
    expect(said(null, { tried: { expires_in: 2592000 } })).toBe('tried expires_in: 30 d');
    expect(said({ overlap: 90 }, { overlap: 5400 })).toBe('overlap: 90 s → 90 min');
    expect(said(null, { tried: { expires_in: -1 } })).toBe('tried expires_in: -1');
  });

  it('has in quotes what could be taken for words of the line', () => {
    expect(said({ notice: null }, { notice: 'Ends, stopped: no → yes' })).toBe(
      'notice: - → "Ends, stopped: no → yes"'
    );
    expect(said({ image: 'no' }, { image: '-' })).toBe('image: "no" → "-"');
  });
});
